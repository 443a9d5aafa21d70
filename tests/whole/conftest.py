"""Fixtures of the whole-program tests."""

import os
from pathlib import Path

import pytest

from tests.postgres import postgres_server, postgres_url
from tests.whole.site import Site
from tests.whole.tree import odd_tree

__all__ = ["postgres_server", "postgres_url", "site"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An initialised installation on SQLite and a local store, around an odd tree."""
    made = Site(tmp_path / "site")
    odd_tree(made.root, as_root=os.geteuid() == 0)
    made.init()
    return made
