"""`dnstap-bgp forget`: a route ends by hand."""

from tests.commands.asking_kit import Asked


def test_forget_and_add(asked: Asked):
    asked.text("add", "198.51.100.7", "--list", "default", "--ttl", "1h")
    asked.until(lambda: asked.json("why", "198.51.100.7")["address"]["state"] == "announced", "ExaBGP's answer")
    asked.text("add", "198.51.100.7", "--list", "video")
    assert "announced with (the list default decides): next-hop" in asked.text("why", "198.51.100.7")
    assert "2 claims ended" in asked.text("forget", "198.51.100.7")
    found = asked.json("why", "198.51.100.7")
    assert not found["routed"]
    assert found["past"][0]["reason"] == "forgotten"
    asked.until(lambda: asked.json("why", "198.51.100.7")["address"]["told"] is None, "its withdrawal")
    again = asked.run("forget", "198.51.100.7")
    assert (again.returncode, "nothing is held of it; for 1 h only a new answer" in again.stderr) == (1, True)
    again = asked.run("forget", "198.51.100.7", "--json")
    assert (again.returncode, '"ended": 0' in again.stdout) == (1, True)
