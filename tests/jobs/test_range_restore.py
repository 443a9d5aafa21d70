"""Of an archived file only the packs that a range needs are looked at and asked for, bases of its blocks included."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import items, learn, rows
from tests.jobs.test_references import bf16, safetensors, weights
from tests.stores.faults import FaultyStore
from tiering.catalog import packs
from tiering.errors import ObjectArchived, UsageError, WaitingOnRestore
from tiering.jobs import tickets
from tiering.jobs.advance import advance
from tiering.jobs.block_cache import BlockCache
from tiering.jobs.context import Context
from tiering.jobs.migrate import migrate
from tiering.jobs.random_access import open_stored
from tiering.jobs.recall_quote import quote_recall
from tiering.jobs.release import release
from tiering.jobs.stored_bytes import StoredBytes
from tiering.reading.files import StoredFile

NEWER, OLDER = "run/model_00002.safetensors", "run/model_00001.safetensors"
HALF = 1_200_000
"""Bytes of each of the two tensors."""


def checkpoint(moves: int) -> bytes:
    """Two tensors that move a little."""
    named = {}
    for seed, name in ((1, "a"), (2, "b")):
        values = weights(seed)
        if moves:
            values = values + weights(seed + 10, scale=1e-4)
        named[name] = ("BF16", bf16(values))
    return safetensors(**named)


CONTENT = {NEWER: checkpoint(1), OLDER: checkpoint(0)}
HEAD = len(CONTENT[OLDER]) - 2 * HALF


@pytest.fixture
def archived(tmp_path: Path) -> Iterator[tuple[Lab, Context, FaultyStore]]:
    """Two checkpoints in DEEP_ARCHIVE, the older coded against the newer and in packs of its own."""
    with open_lab(tmp_path / "lab", chunking={"pack_bytes": "256KiB"}) as lab:
        for name, data in CONTENT.items():
            lab.write(name, data)
        learn(lab)
        for name in CONTENT:  # one after the other: which blocks share a pack hangs on the threads of a migrate
            migrate(lab.context, items(lab, "archive", [name.encode()]))
        assert not release(lab.context, items(lab, "archive"), wait_parked=True).files_skipped
        tier = lab.context.tiers["archive"]
        store = FaultyStore(tier.store)
        tiers = {**lab.context.tiers, "archive": replace(tier, store=store)}
        yield lab, replace(lab.context, tiers=tiers), store


def asked(store: FaultyStore) -> list[str]:
    """Keys of the packs that were asked for."""
    return sorted(key for kind, key in store.calls if kind == "restore")


def opened(lab: Lab, ctx: Context, name: str, *, asks: bool = False) -> StoredBytes:
    """A stored file."""
    return open_stored(ctx, str(lab.root / name), BlockCache(), asks=asks)


def keys_of(lab: Lab, name: str, start: int, end: int) -> tuple[set[str], set[str]]:
    """Packs that hold the blocks of a range of bytes, and those that only the bases of these need, one by one."""
    number = rows(lab)[name.encode()].recipe_no
    assert number is not None
    stored = opened(lab, lab.context, name)
    with lab.catalog.read() as tx:
        known = packs.locate(tx, number)
    own, bases, at = set(), set(), 0
    for part in stored.recipe.parts:
        if start <= at < end:
            place = known[part.digest].block  # type: ignore[union-attr]
            own.add(place.key)
            if place.base is not None:
                bases.add(known[place.base].block.key)
        at += part.length
    return own, bases - own


def test_a_range_of_a_delta_asks_for_its_pack_and_its_base_alone(
    archived: tuple[Lab, Context, FaultyStore],
) -> None:
    lab, ctx, store = archived
    own, bases = keys_of(lab, OLDER, HEAD + HALF, HEAD + 2 * HALF)
    assert bases
    everything = [info.key for info in store.list("packs/")]
    stored = opened(lab, ctx, OLDER, asks=True)

    with pytest.raises(WaitingOnRestore) as waiting:
        stored.read_at(HEAD + HALF + 1000, 4096)

    assert asked(store) == sorted(own | bases)
    assert len(asked(store)) < len(everything)
    (ticket,) = tickets.open_tickets(ctx)
    assert (ticket.number, ticket.files, ticket.quote.objects) == (waiting.value.ticket, 0, len(own | bases))
    with pytest.raises(WaitingOnRestore) as again:
        stored.read_at(HEAD + HALF + 9000, 4096)
    assert again.value.ticket == ticket.number
    lab.clock.advance(12.1 * 3600)
    advance(ctx)
    assert tickets.open_tickets(ctx) == []
    assert stored.read_at(HEAD + HALF, HALF) == CONTENT[OLDER][HEAD + HALF :]
    assert asked(store) == sorted(own | bases)


def test_without_being_told_to_a_read_asks_for_nothing_and_says_what_it_would_take(
    archived: tuple[Lab, Context, FaultyStore],
) -> None:
    lab, ctx, store = archived
    stored = opened(lab, ctx, OLDER)
    assert store.count("head") == 0  # nothing is looked at before something is read

    with pytest.raises(ObjectArchived) as refused:
        stored.read_at(HEAD, 10)

    assert f"--range {HEAD}+10" in refused.value.hint
    assert "up to 12 h" in refused.value.now
    assert asked(store) == []
    assert tickets.open_tickets(ctx) == []
    looked = store.count("head")
    with pytest.raises(ObjectArchived):
        stored.read_at(HEAD, 10)
    assert store.count("head") == looked  # and not again at once


def test_what_a_buffer_would_read_beyond_the_program_is_not_asked_for(
    archived: tuple[Lab, Context, FaultyStore],
) -> None:
    lab, ctx, store = archived
    stored = opened(lab, ctx, NEWER, asks=True)
    with pytest.raises(WaitingOnRestore):
        stored.read_at(HEAD, 10)
    lab.clock.advance(12.1 * 3600)
    count = len(asked(store))
    raw = StoredFile(stored, NEWER, lambda: None)
    raw.seek(HEAD + 10)

    found = raw.read(2 * HALF)  # as much as is there now, though the buffer goes beyond

    assert found is not None
    assert 0 < len(found) < HALF + HALF
    assert found == CONTENT[NEWER][HEAD + 10 : HEAD + 10 + len(found)]
    assert len(asked(store)) == count
    with pytest.raises(WaitingOnRestore):
        raw.read(10)  # the next byte is in the archive
    assert len(asked(store)) > count


def test_a_quote_counts_the_whole_chain(archived: tuple[Lab, Context, FaultyStore]) -> None:
    lab, ctx, store = archived
    own, bases = keys_of(lab, OLDER, 0, len(CONTENT[OLDER]))
    assert bases

    told = quote_recall(ctx, items(lab, "archive", [OLDER.encode()]))

    assert told.packs == len(own | bases)
    assert told.base_packs == len(bases)
    assert told.new_bytes == told.pack_bytes > 0
    assert asked(store) == []


def test_ranges_at_and_beyond_the_end(archived: tuple[Lab, Context, FaultyStore]) -> None:
    lab, ctx, store = archived
    stored = opened(lab, ctx, NEWER, asks=True)
    assert stored.read_at(stored.size, 10) == b""
    assert stored.packs_of(stored.size + 5, 10) == set()
    assert asked(store) == []
    with pytest.raises(UsageError, match="stores nothing"):
        opened(lab, ctx, "run/none")
