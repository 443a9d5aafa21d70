"""Stored objects as programs and commands read them: tiering.open, frostline://, ls, by prefix and by range."""

import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

import tiering
from policies.prices import PriceBook
from tests.cloud.intake import DELETING, body, context, take_in
from tests.cloud.killing import killing
from tests.cloud.lake import MIB, Lake
from tiering.app.targets import find_targets, whole_roots
from tiering.errors import UsageError
from tiering.jobs.stored_paths import absolute_path
from tiering.reading.installation import installation
from tiering.report.residency import residency

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("aws_credentials")]
BIG = os.urandom(3 * MIB)


@pytest.fixture
def away(tmp_path: Path, shipped_book: PriceBook) -> Iterator[tuple[Lake, str]]:
    """A lake whose two objects are in packs alone, and its configuration."""
    with killing(tmp_path / "lab", shipped_book, DELETING, []) as killer:
        body(killer.lake, "a/b/big.bin", BIG)
        body(killer.lake, "a/text", b"hello\n")
        assert take_in(killer.lake).originals_deleted == 2
        yield killer.lake, str(killer.config)
        installation(str(killer.config)).close()


def test_p7_an_object_whose_original_is_gone_is_read_by_programs(away: tuple[Lake, str]) -> None:
    lake, config = away
    with tiering.open("s3://lake/a/b/big.bin", config=config) as file:
        file.seek(2 * MIB + 5)
        assert file.read(1000) == BIG[2 * MIB + 5 :][:1000]
    with fsspec.open("frostline://s3://lake/a/text", config=config) as text:
        assert text.read() == b"hello\n"
    found = fsspec.filesystem("frostline", config=config)
    assert found.ls("s3://lake/a", detail=False) == ["s3://lake/a/b", "s3://lake/a/text"]
    assert found.info("s3://lake/a/b/big.bin")["size"] == 3 * MIB
    assert found.isdir("s3://lake/a/b")
    assert found.cat_file("s3://lake/a/b/big.bin", 10, 20) == BIG[10:20]
    with pytest.raises(FileNotFoundError):
        tiering.open("s3://lake/never", config=config)

    ctx = context(lake)
    assert [row.path for row in residency(ctx, find_targets(ctx, ["lake/a/b"], with_objects=True))] == [
        "s3://lake/a/b/big.bin"
    ]
    shown = {row.path: (row.state, row.tier) for row in residency(ctx, whole_roots(ctx))}
    assert shown["s3://lake/a/text"] == ("offline", "standard")


def test_a_command_that_is_not_for_objects_says_so(away: tuple[Lake, str]) -> None:
    ctx = context(away[0])
    assert absolute_path(ctx, "lake/a/text") == "s3://lake/a/text"
    with pytest.raises(UsageError, match="is an object of a bucket, which this command does not do"):
        find_targets(ctx, ["s3://lake/a/text"])
    with pytest.raises(UsageError, match="nothing is stored of s3://lake/other"):
        find_targets(ctx, ["s3://lake/other"], with_objects=True)
    with pytest.raises(UsageError, match="is in no bucket of which objects are stored"):
        find_targets(ctx, ["s3://elsewhere/x"], with_objects=True)
