"""Options that many commands share."""

from dnstap_bgp.commands.options import CONFIG
from dnstap_bgp.config import DEFAULT_PATH


def test_the_default_configuration_is_the_one_that_the_loader_knows():
    assert CONFIG == DEFAULT_PATH
