"""One installation whose tree is hot, stored and offline in parts, opened by its configuration as a program would."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.whole.site import OK, SKIPPED, Site
from tests.whole.tree import noise, text, write
from tiering.reading.installation import installation

CONTENT = {
    "hot.bin": noise(1, 70_000),
    "offline/text.txt": text(2, 400_000),
    "offline/noise.bin": noise(3, 3_000_000),
    "offline/deep/small.json": b'{"a": 1}',
}


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Everything below offline/ is offline."""
    site = Site(tmp_path_factory.mktemp("reading"))
    for name, data in CONTENT.items():
        write(os.fsencode(site.root / name), data)
    site.init()
    site.set("min_size", "0")
    site.run("scan")
    site.run("migrate", str(site.root / "offline"), "--to", "standard", "--release", "--yes", expect=(OK, SKIPPED))
    yield site
    installation(str(site.config)).close()


@pytest.fixture
def root(away: Site) -> Path:
    """The tree."""
    return away.root
