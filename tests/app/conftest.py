"""Fixtures of the app tests: the jobs' laboratory."""

from tests.jobs.conftest import lab

__all__ = ["lab"]
