"""A reload of ExaBGP's configuration is repeated until it has taken effect."""

import signal
import socket

from tests.commands.running import running, write_config
from tests.commands.test_exabgpcli import exabgpcli


def test_reload_gets_through_although_routes_are_pending(tmp_path):
    """A neighbor that swallows SYNs keeps routes pending: ExaBGP drops the first signals silently."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.2", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        with socket.create_connection(("127.0.0.2", port)), running(write_config(tmp_path, port=port)) as up:
            up.until(lambda: "done" in up.noted, "a route that is pending")
            write_config(tmp_path, port=port, peer_as=65009)
            up.process.send_signal(signal.SIGHUP)
            up.until(lambda: "HUP" in up.noted, "the plugin's HUP, which does not wait for ExaBGP")
            up.until(lambda: "has not read its new configuration yet" in up.log, "that it is told")
            deaf.close()
            up.until(lambda: "runs with its new configuration" in up.log, "ExaBGP's reload")
            assert "65009" in exabgpcli(up.runtime_dir, "show", "neighbor", "summary").stdout
