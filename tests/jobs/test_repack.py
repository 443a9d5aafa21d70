"""repack: what is needed of half-dead packs moves to new ones, proven; the rest goes; nothing is lost."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import books_balance, items, learn, packs_in, stored_bytes
from tests.jobs.rebuilding import lose_catalog, rebuilt
from tests.jobs.scanning import scan
from tests.whole.tree import noise
from tiering.catalog import packs as pack_rows
from tiering.catalog.repacking import chunk_numbers
from tiering.catalog.temperature import chunk_ranks
from tiering.catalog.values import BlockPlace, PackRow, PackState
from tiering.jobs.audit import audit
from tiering.jobs.gc import collect
from tiering.jobs.migrate import migrate
from tiering.jobs.pack_plans import ranks_of
from tiering.jobs.pack_ranges import GAP_BYTES, RANGE_BYTES, ranges_of
from tiering.jobs.reconcile import reconcile
from tiering.jobs.repack import repack
from tiering.jobs.segments import flush
from tiering.stores.memory import shelf

SIZE = 2_500_000
"""Two blocks and more."""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A laboratory whose packs hold several files."""
    with open_lab(tmp_path / "lab", chunking={"pack_bytes": "16MiB"}) as made:
        yield made


class Killed(BaseException):
    """The process died here."""


def half_dead(lab: Lab, files: int = 4) -> dict[str, bytes]:
    """Store files, then change most of them and let the old versions end; return what there is."""
    content = {f"{number}.bin": noise(number, SIZE) for number in range(files)}
    for name, data in content.items():
        lab.write(name, data)
    learn(lab)
    migrate(lab.context, items(lab))
    for name in list(content)[1:]:
        lab.write(name, b"changed")
        content[name] = b"changed"
    scan(lab)
    with lab.catalog.write() as tx:
        tx.conn.execute(text("UPDATE versions SET keep_until_ns = 0"))
    collect(lab.context)
    return {name: data for name, data in content.items() if len(data) == SIZE}


def ranges_wanted(lab: Lab) -> int:
    """Return how many reads it takes to have what is needed of the packs: readers in parallel mix files in them."""
    ranks = ranks_of(lab.context)
    wanted: set[BlockPlace] = set()
    with lab.catalog.read() as tx:
        for (number,) in tx.conn.execute(text("SELECT DISTINCT pack_no FROM blocks")).all():
            needed, numbers = chunk_ranks(tx, number, ranks), chunk_numbers(tx, number)
            held = pack_rows.chunks_of(tx, number)
            wanted |= {at.block for at in held if numbers[at.block.block_no, at.inner_offset] in needed}
    packs = {place.pack_no for place in wanted}
    return sum(len(ranges_of(place for place in wanted if place.pack_no == pack)) for pack in packs)


def settled(lab: Lab) -> None:
    """Let doomed packs go."""
    for _ in range(3):
        collect(lab.context)
        lab.clock.advance(1)


def test_what_is_needed_moves_and_the_rest_goes(lab: Lab) -> None:
    kept = half_dead(lab)
    before = packs_in(lab, PackState.LIVE)
    report = repack(lab.context)
    assert (report.packs_rewritten, report.packs_written, report.notes) == (1, 1, [])
    assert report.bytes_freed > 2 * SIZE
    books_balance(lab)
    settled(lab)
    after = packs_in(lab, PackState.LIVE)
    assert set(before) != set(after)
    for name, data in kept.items():
        assert stored_bytes(lab, name.encode()) == data
    assert audit(lab.context).ok
    assert repack(lab.context).packs_rewritten == 0


@pytest.mark.parametrize("step", ["repack.uploaded", "repack.committed"])
def test_p4_killed_anywhere_it_loses_nothing(lab: Lab, step: str) -> None:
    kept = half_dead(lab)

    def die(name: str) -> None:
        if name == step:
            raise Killed

    with pytest.raises(Killed):
        repack(lab.with_steps(die))
    lab.clock.advance(7 * 3600)  # its lease runs out
    reconcile(replace(lab.context, owner="test:1:another"))
    books_balance(lab)
    repack(lab.context)
    settled(lab)
    for name, data in kept.items():
        assert stored_bytes(lab, name.encode()) == data
    assert audit(lab.context).ok


def the_pack(lab: Lab) -> PackRow:
    """Return the only live data pack."""
    with lab.catalog.read() as tx:
        (row,) = [row for row in pack_rows.in_state(tx, PackState.LIVE) if row.kind == "data"]
    return row


def test_a_damaged_pack_is_left_as_it_is_and_named(lab: Lab) -> None:
    half_dead(lab)
    found = the_pack(lab)
    with lab.catalog.read() as tx:
        offsets = {at.block.offset for at in pack_rows.chunks_of(tx, found.pack_no)}
    store = lab.context.tiers["standard"].store
    held = shelf(store.url.removeprefix("memory://")).held
    damaged = bytearray(held[found.key].body)
    for offset in offsets:
        damaged[offset + 100] ^= 1
    held[found.key] = replace(held[found.key], body=bytes(damaged))
    report = repack(lab.context)
    assert report.packs_rewritten == 0
    assert found.key in report.notes[0]
    assert found.key in packs_in(lab, PackState.LIVE)


def test_what_is_needed_of_half_dead_blocks_gets_blocks_of_its_own(lab: Lab) -> None:
    """Small files share blocks; when most of a block's files are gone, the rest does not pay for them."""
    content = {f"{number}.txt": noise(number, 40_000) for number in range(100)}
    for name, data in content.items():
        lab.write(name, data)
    learn(lab)
    migrate(lab.context, items(lab))
    kept = {name: data for number, (name, data) in enumerate(content.items()) if number % 5 == 0}
    for name in content.keys() - kept.keys():
        (lab.root / name).unlink()
    scan(lab, confirm_missing=True)
    with lab.catalog.write() as tx:
        tx.conn.execute(text("UPDATE files SET missing_since_ns = 0 WHERE state = 'missing'"))
    collect(lab.context)
    report = repack(lab.context)
    assert (report.packs_rewritten, report.packs_written) == (1, 1)
    assert the_pack(lab).size < 1.1 * sum(map(len, kept.values()))
    books_balance(lab)
    settled(lab)
    for name, data in kept.items():
        assert stored_bytes(lab, name.encode()) == data
    assert audit(lab.context).ok
    flush(lab.context)
    with lose_catalog(lab) as (again, catalog):
        rebuilt(again, catalog)
        for name, data in kept.items():
            assert stored_bytes(again, name.encode()) == data


@given(st.lists(st.tuples(st.integers(1, 4 << 20), st.integers(0, 1 << 18)), min_size=1, max_size=60))
def test_a_pack_is_read_in_ranges_that_fit_in_memory(pairs: list[tuple[int, int]]) -> None:
    """(stored length, gap before it): every block is in one range, none is longer than it may be, no gap is long."""
    places: list[BlockPlace] = []
    at = 0
    for number, (length, gap) in enumerate(pairs):
        places.append(BlockPlace(number, 1, "key", "standard", at + gap, length, length, "raw", None))
        at += gap + length
    spans = ranges_of(reversed(places))
    assert all(span.length <= RANGE_BYTES for span in spans)
    for place in places:
        assert sum(span.start <= place.offset and place.offset + place.stored_len <= span.end for span in spans) == 1
    wanted = sum(length for length, _ in pairs)
    assert sum(span.length for span in spans) <= wanted + GAP_BYTES * len(places)


def test_what_a_dead_process_read_is_not_read_again_and_what_it_left_is_cleared_away(lab: Lab) -> None:
    kept = half_dead(lab)

    def die(name: str) -> None:
        if name == "repack.read":
            raise Killed

    wanted = ranges_wanted(lab)
    with pytest.raises(Killed):
        repack(lab.with_steps(die))
    lab.clock.advance(7 * 3600)
    assert repack(replace(lab.context, owner="test:1:boot")).reads == wanted - 1
    settled(lab)
    for name, data in kept.items():
        assert stored_bytes(lab, name.encode()) == data
    assert [path for path in (lab.base / "state" / "spool").iterdir() if path.name.startswith("moving-")] == []


def test_p4_what_a_dead_process_uploaded_is_taken_over(lab: Lab) -> None:
    kept = half_dead(lab)

    def die(name: str) -> None:
        if name == "repack.uploaded":
            raise Killed

    with pytest.raises(Killed):
        repack(lab.with_steps(die))
    (uploaded,) = packs_in(lab, PackState.PENDING)
    lab.clock.advance(7 * 3600)
    reconcile(replace(lab.context, owner="test:1:another"))
    assert [key for key in packs_in(lab, PackState.LIVE) if key.startswith("packs/")] == [uploaded]
    books_balance(lab)
    for name, data in kept.items():
        assert stored_bytes(lab, name.encode()) == data
