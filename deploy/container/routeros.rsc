# MikroTik RouterOS 7 runs dnstap-bgp in a container of its own (arm64, x86; not tested here).
#
#   router 192.168.88.1, container 172.31.53.2 behind veth-dnstap, the tunnel's far end 198.51.100.2
#
# It needs the package `container`, `/system/device-mode/update container=yes` with a press of the button, and a disk.
# 1. On a machine with this processor, or with PLATFORM=linux/arm64:  ARCHIVE=dnstap-bgp.tar deploy/build-image
# 2. Copy dnstap-bgp.tar to disk1/, and to disk1/dnstap-bgp/ a dnstap-bgp.toml and its domains.txt with
#
#      domains = "domains.txt"
#      cache   = "/var/lib/dnstap-bgp/state"
#      [dnstap]
#      listen = "172.31.53.2:6000"        # a resolver elsewhere sends its tap here; RouterOS' own has none
#      allow  = ["192.168.88.0/24"]       # with tls_cert and tls_client_ca where the way to it is not yours alone
#      [bgp]
#      as          = 64512
#      router_id   = "172.31.53.2"
#      source_ip   = "172.31.53.2"
#      next_hop    = "198.51.100.2"
#      communities = ["64512:53", "no-export"]
#      peers       = ["172.31.53.1"]
#
# 3. Import this file, and deploy/routers/mikrotik-routeros7.rsc with 172.31.53.1 in the place of 192.0.2.4 and
#    172.31.53.2 in that of 192.0.2.10.
#
# `/container/print` says `running`; `/container/shell` gives a shell for `dnstap-bgp status`. After a change:
# /container/stop and start. What was learnt stays in root-dir, and the routes by graceful restart.

/interface/veth/add name=veth-dnstap address=172.31.53.2/24 gateway=172.31.53.1
/ip/address/add address=172.31.53.1/24 interface=veth-dnstap

/container/mounts/add name=dnstap-config src=disk1/dnstap-bgp dst=/etc/dnstap-bgp
/container/add file=disk1/dnstap-bgp.tar interface=veth-dnstap root-dir=disk1/dnstap-bgp-root \
    mounts=dnstap-config start-on-boot=yes logging=yes
