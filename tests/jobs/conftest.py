"""Fixtures of the job tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.lab import Lab, open_lab
from tests.postgres import postgres_server, postgres_url

__all__ = ["lab", "postgres_server", "postgres_url"]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """An open installation with an empty root."""
    with open_lab(tmp_path / "lab") as opened:
        yield opened
