"""Where a pack under construction is written: past the page cache if its store takes the file over as it is."""

import mmap
import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tiering import direct
from tiering.errors import NoSpace
from tiering.hot.syscalls import cached_pages
from tiering.jobs.packing import Spool
from tiering.stores.checksum import checksum_of
from tiering.stores.local import open_local

BODY = os.urandom(direct.STEP_BYTES + 70_001)
PIECES = [BODY[start : start + 190_000] for start in range(0, len(BODY), 190_000)]


@pytest.fixture
def beside(tmp_path: Path) -> str:
    """The URL of a store on the file system of the spool."""
    return open_local(tmp_path / "store", create=True).url


@pytest.fixture(params=["at once", "behind"])
def spool(request: pytest.FixtureRequest, tmp_path: Path, beside: str) -> Iterator[Spool]:
    with ThreadPoolExecutor(1) as writer:
        made = Spool(tmp_path, beside, writer if request.param == "behind" else None)
        yield made
        made.close()


@pytest.fixture
def small_files() -> Iterator[int]:
    """No file may grow beyond this many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (direct.STEP_BYTES, before[1]))
    yield direct.STEP_BYTES
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_spool_holds_what_it_was_given_and_its_checksum(spool: Spool) -> None:
    for piece in PIECES:
        assert spool.write(piece) == len(piece)
    for _ in range(2):  # a second key is tried with the same file
        assert spool.rewind().read() == BODY
    assert spool.checksum.text() == checksum_of(BODY)


def test_only_what_is_taken_over_is_kept_out_of_the_page_cache(spool: Spool, tmp_path: Path) -> None:
    other = Spool(tmp_path, "s3://bucket/prefix")
    for piece in PIECES:
        spool.write(piece)
        other.write(piece)
    try:
        sent, taken = (cached_pages(made.rewind().fileno()) for made in (other, spool))
    except OSError:
        pytest.skip("this kernel does not tell what is in the page cache")
    finally:
        other.close()
    if direct.turn_on(spool.file.fileno()) and _is_on_a_disk(tmp_path):
        assert taken == 1  # of the last bytes
    assert sent * mmap.PAGESIZE > len(BODY)


def test_a_store_that_is_not_there_takes_nothing_over(tmp_path: Path) -> None:
    spool = Spool(tmp_path, (tmp_path / "gone").as_uri())
    spool.write(BODY)
    assert os.fstat(spool.file.fileno()).st_size == len(BODY)
    spool.close()


def test_a_spool_that_may_not_grow_says_so_while_it_is_written(spool: Spool, small_files: int) -> None:
    with pytest.raises(NoSpace, match="no room for packs under construction"):
        _write_often(spool, BODY[:small_files])


def test_a_spool_that_may_not_grow_says_so_at_its_end(spool: Spool, small_files: int) -> None:
    spool.write(BODY[: small_files + 5])
    with pytest.raises(NoSpace, match="no room for packs under construction"):
        spool.rewind()


def _write_often(spool: Spool, data: bytes) -> None:
    for _ in range(3):  # the second is too much, and the third at the latest is told so
        spool.write(data)


def _is_on_a_disk(folder: Path) -> bool:
    return os.major(folder.stat().st_dev) != 0
