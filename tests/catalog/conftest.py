"""Fixtures of the catalog's tests: an empty catalog on each engine, and a clock that moves when told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import postgres_server, postgres_url
from tiering.catalog.open import Catalog, open_catalog
from tiering.clock import FakeClock

__all__ = ["postgres_server", "postgres_url"]

ENGINES = [
    pytest.param("sqlite", id="sqlite"),
    pytest.param("postgres", id="postgres", marks=pytest.mark.postgres),
]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=ENGINES)
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/catalog.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def catalog(catalog_url: str, clock: FakeClock) -> Iterator[Catalog]:
    opened = open_catalog(catalog_url, clock=clock, create=True)
    yield opened
    opened.close()
