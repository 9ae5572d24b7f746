"""`dnstap-bgp save`: the state file as it is now."""

from tests.commands.asking_kit import Asked
from tests.commands.running import cli


def test_what_was_forgotten_is_not_in_the_state_file(asked: Asked):
    asked.text("add", "198.51.100.8", "--list", "default")
    asked.text("forget", "198.51.100.8")
    assert "saved: " in asked.text("save")
    held = cli("dump", "--format", "json", str(asked.instance.folder / "state")).stdout
    assert "203.0.113.8" in held
    assert "198.51.100.8" not in held
