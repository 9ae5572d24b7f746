"""`dnstap-bgp log-level`: more or less in the log."""

from tests.commands.asking_kit import Asked


def test_the_log_can_be_made_to_say_more(asked: Asked):
    assert "debug" in asked.text("log-level", "debug")
    assert "info" in asked.text("log-level", "info")
