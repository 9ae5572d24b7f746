"""Fixtures of the tests of listeners: a site in front of a real table is what they are tried with."""

from tests.workers.web.conftest import site

__all__ = ["site"]
