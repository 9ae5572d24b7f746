#!/bin/sh
# Records plugin/dnstap_bgp/demo/capture.fstrm anew: a real unbound resolves names that a real named serves, over cache
# misses and cache hits, and fstrm_capture writes what unbound mirrors. Run by hand where the demo's names change.
# Needs: unbound, named, fstrm_capture, dig. Everything listens on the loopback and runs in a folder of its own.
set -eu
capture=$(cd "$(dirname "$0")/../.." && pwd)/plugin/dnstap_bgp/demo/capture.fstrm
work=$(mktemp -d)
chmod 755 "$work"
pids=
trap 'kill $pids 2>/dev/null; wait; rm -rf "$work"' EXIT
cd "$work"

zone() { # zone NAME: records on stdin
    { printf '$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\n'; cat; } > "$1.zone"
    printf 'zone "%s" { type primary; file "%s/%s.zone"; };\n' "$1" "$work" "$1" >> named.conf
    printf 'stub-zone:\n  name: "%s"\n  stub-addr: 127.0.0.1@10053\n' "$1" >> unbound.conf
}

cat > named.conf <<EOF
options { directory "$work"; listen-on port 10053 { 127.0.0.1; }; listen-on-v6 { none; }; recursion no;
    pid-file none; session-keyfile none; minimal-responses yes; };
controls { };
EOF
cat > unbound.conf <<EOF
server:
  interface: 127.0.0.1@10054
  chroot: ""
  username: ""
  directory: "$work"
  pidfile: ""
  use-syslog: no
  logfile: "$work/unbound.log"
  do-not-query-localhost: no
  module-config: "iterator"
  local-zone: "example.com" nodefault
  local-zone: "example.net" nodefault
  local-zone: "example.org" nodefault
  minimal-responses: yes
dnstap:
  dnstap-enable: yes
  dnstap-bidirectional: yes
  dnstap-socket-path: "$work/dnstap.sock"
  dnstap-log-client-query-messages: yes
  dnstap-log-client-response-messages: yes
  dnstap-log-resolver-response-messages: yes
remote-control:
  control-enable: no
EOF
zone example.com <<'EOF'
@        A     192.0.2.1
www      A     192.0.2.10
www      AAAA  2001:db8:10::10
api      A     192.0.2.10
mail     A     192.0.2.25
video    CNAME edge7.cdn.example.net.
shop     CNAME shop.hosting.example.org.
secure   HTTPS 1 . alpn=h2,h3 ipv4hint=203.0.113.44 ipv6hint=2001:db8:44::44
secure   A     203.0.113.44
legacy   DNAME retired.example.net.
localhost-trap A 127.0.0.1
wiki.internal A 203.0.113.99
EOF
zone example.net <<'EOF'
static   A     198.51.100.80
other    A     198.51.100.81
a.static A     198.51.100.82
edge7.cdn A    198.51.100.20
edge7.cdn A    198.51.100.21
edge7.cdn AAAA 2001:db8:20::20
app.retired A  198.51.100.90
EOF
zone example.org <<'EOF'
stream   A     203.0.113.1
live.stream A  203.0.113.50
live.stream AAAA 2001:db8:50::50
shop.hosting CNAME lb1.hosting
lb1.hosting A  203.0.113.30
news     A     203.0.113.60
EOF

fstrm_capture -t protobuf:dnstap.Dnstap -u dnstap.sock -w capture.fstrm & pids="$pids $!"
/usr/sbin/named -f -c named.conf 2> named.log & pids="$pids $!"
while [ ! -S dnstap.sock ]; do sleep 0.1; done
/usr/sbin/unbound -d -c unbound.conf & pids="$pids $!"

ask() { dig +tries=1 +time=5 -p 10054 @127.0.0.1 "$@" > /dev/null; }
until ask probe.invalid && dig +tries=1 +time=1 -p 10053 @127.0.0.1 example.com SOA | grep -q NOERROR; do sleep 0.2; done
for round in miss hit; do
    ask www.example.com A;           ask WWW.Example.COM AAAA;        ask api.example.com A
    ask video.example.com A;         ask video.example.com AAAA;      ask shop.example.com A
    ask secure.example.com HTTPS;    ask app.legacy.example.com A;    ask nothing.example.com A
    ask wiki.internal.example.com A; ask localhost-trap.example.com A; ask static.example.net A
    ask a.static.example.net A;      ask other.example.net A;         ask stream.example.org A
    ask live.stream.example.org A;   ask live.stream.example.org AAAA; ask news.example.org A
done
sleep 2 # unbound's writer wakes at 32 messages or after 1 s
for pid in $pids; do last=$pid; done
kill "$last"; wait "$last" || true
first=${pids# }; first=${first%% *}
sleep 0.5
kill "$first"; wait "$first" || true
install -m 644 capture.fstrm "$capture"
ls -l "$capture"
