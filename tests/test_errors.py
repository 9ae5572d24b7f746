"""What the exceptions say to a person."""

from dnstap_bgp.errors import ConfigError, Problem


def test_a_configuration_s_error_tells_every_problem_with_its_place():
    problems = [Problem("a.toml: bgp.as", "is missing"), Problem("lists/a.txt:12", "is no name")]
    error = ConfigError(problems)
    assert error.problems == problems
    assert str(error) == "a.toml: bgp.as: is missing\nlists/a.txt:12: is no name"
