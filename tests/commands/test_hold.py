"""`dnstap-bgp hold`: everything is answered at once, until switched back."""

from tests.commands.asking_kit import Asked


def test_without_the_table_there_is_nothing_to_switch(asked: Asked):
    done = asked.run("hold", "off")
    assert done.returncode == 1
    assert "no [hold]" in done.stderr
    assert asked.run("hold", "maybe").returncode == 2
