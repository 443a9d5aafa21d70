"""Tables go out with their pages plain, and come back compressed as they were, whichever way they are fetched."""

import io
import random
from pathlib import Path

import pytest

from dedup.values import WrappedPart
from tests.dedup.parquets import Column, page, parquet, snappy
from tests.jobs.lab import Lab
from tests.jobs.outbound import books_balance, items, learn, rows, stored_bytes, stored_recipe
from tests.jobs.rebuilding import lose_catalog, rebuilt
from tiering.jobs.migrate import migrate
from tiering.jobs.recall import recall
from tiering.jobs.release import release
from tiering.jobs.restore import cat, restore

GOLDEN = Path(__file__).parents[1] / "dedup" / "golden" / "parquet"
PAGE_BYTES = 200_000


def table(edits: int = 0, letter: str = "b") -> bytes:
    """Return a table of two columns of three pages; *edits* rows differ from the table without."""
    chance, columns = random.Random(6), []
    for column in range(2):
        lines = [b"%d,%s\n" % (i * 7, chance.randbytes(30).hex().encode()) for i in range(column, 3 * PAGE_BYTES // 68)]
        for at in random.Random(edits).sample(range(len(lines)), edits):
            lines[at] = b"0,edited\n"
        whole = b"".join(lines)
        plains = [whole[i : i + PAGE_BYTES] for i in range(0, len(whole), PAGE_BYTES)]
        columns.append(Column(b"".join(page(len(plain), snappy(plain, letter)) for plain in plains)))
    return parquet(columns)


@pytest.fixture
def tables(lab: Lab) -> dict[str, bytes]:
    """Store five tables: one in two versions, one as another library writes it, two real ones."""
    content = {"v1.parquet": table(), "v2.parquet": table(3), "other.parquet": table(letter="f")}
    content |= {name: (GOLDEN / name).read_bytes() for name in ("duckdb-2.0.parquet", "spark-3.5.parquet")}
    for name, data in content.items():
        lab.write(name, data)
    learn(lab)
    assert migrate(lab.context, items(lab)).files_skipped == ()
    return content


def test_pages_are_stored_plain_and_what_versions_share_once(lab: Lab, tables: dict[str, bytes]) -> None:
    chunks: dict[str, set[bytes]] = {}
    for name in ("v1.parquet", "v2.parquet", "other.parquet"):
        recipe = stored_recipe(lab, name.encode())
        wrapped = [part for part in recipe.parts if isinstance(part, WrappedPart)]
        assert sum(part.length for part in wrapped) > 0.7 * recipe.size
        chunks[name] = {chunk.digest for part in wrapped for chunk in part.inner}

    assert len(chunks["v1.parquet"] & chunks["v2.parquet"]) > 0.6 * len(chunks["v1.parquet"])
    assert len(chunks["v1.parquet"] & chunks["other.parquet"]) > 0.9 * len(chunks["v1.parquet"])
    books_balance(lab)


def test_p1_every_way_back_gives_the_compressed_bytes(lab: Lab, tables: dict[str, bytes], tmp_path: Path) -> None:
    release(lab.context, items(lab), wait_parked=True)
    assert all((lab.root / name).is_symlink() for name in tables)

    restore(lab.context, [str(lab.root)], str(tmp_path / "out"))
    for name, data in tables.items():
        assert stored_bytes(lab, name.encode()) == data
        (copy,) = (tmp_path / "out").rglob(name)
        assert copy.read_bytes() == data
        taken = io.BytesIO()
        cat(lab.context, str(lab.root / name), taken)
        assert taken.getvalue() == data
    recall(lab.context, items(lab), reason="wanted")

    assert {name: (lab.root / name).read_bytes() for name in tables} == tables


def test_p4_pages_come_back_from_the_bucket_alone(lab: Lab, tables: dict[str, bytes]) -> None:
    with lose_catalog(lab) as (empty, catalog):
        rebuilt(empty, catalog)
        assert {path.decode() for path in rows(empty)} >= set(tables)
        for name, data in tables.items():
            assert stored_bytes(empty, name.encode()) == data
