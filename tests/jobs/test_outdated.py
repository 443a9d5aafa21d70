"""An old copy of the catalog that was put back is noticed before it writes, releases or deletes anything."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from dedup.segment import encode_segment, segment_hash
from tests.jobs.debris import keys, put
from tests.jobs.lab import Lab
from tests.jobs.outbound import Killed, StopAt, books_balance, items, learn, rows, stored_bytes
from tests.jobs.rebuilding import lose_catalog, rebuilt
from tiering.catalog import segments
from tiering.catalog.open import open_catalog
from tiering.errors import NotOwner
from tiering.jobs import segments as segment_job
from tiering.jobs.context import Context
from tiering.jobs.gc import collect
from tiering.jobs.migrate import migrate
from tiering.jobs.outdated import refuse_outdated
from tiering.jobs.release import release
from tiering.jobs.scan import scan_root


def send(lab: Lab, name: str) -> bytes:
    data = os.urandom(100_000)
    lab.write(name, data)
    learn(lab)
    migrate(lab.context, items(lab))
    return data


def backup(lab: Lab) -> str:
    """Copy the catalog as it is now; return the copy's path."""
    copy = f"{lab.base}/state/old.db"
    with closing(sqlite3.connect(f"{lab.base}/state/catalog.db")) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


@contextmanager
def put_back(lab: Lab, copy: str) -> Iterator[Context]:
    """Run on with the old copy."""
    old = open_catalog(f"sqlite:///{copy}", clock=lab.clock)
    try:
        yield replace(lab.context, catalog=old, owner="test:3:boot")
    finally:
        old.close()


def test_p5_an_old_copy_of_the_catalog_deletes_nothing(lab: Lab) -> None:
    send(lab, "a.bin")
    copy = backup(lab)
    data = send(lab, "b.bin")
    release(lab.context, items(lab), wait_parked=True)
    segment_job.flush(lab.context)
    stands = keys(lab, "")
    with put_back(lab, copy) as ctx:
        scan_root(ctx, ctx.roots[0])
        for _ in range(2):
            with pytest.raises(NotOwner, match="older than its store"):
                collect(ctx)
            lab.clock.advance(1000 * 86_400)
    assert keys(lab, "") == stands
    assert stored_bytes(lab, b"b.bin") == data


def test_p1_an_old_copy_of_the_catalog_releases_nothing(lab: Lab) -> None:
    send(lab, "a.bin")
    copy = backup(lab)
    send(lab, "b.bin")
    lab.write("c.bin", os.urandom(50_000))
    with put_back(lab, copy) as ctx:
        scan_root(ctx, ctx.roots[0])
        old = replace(lab, context=ctx)
        with pytest.raises(NotOwner):
            migrate(ctx, items(old))
        with pytest.raises(NotOwner):
            release(ctx, items(old, paths=[b"c.bin"]), wait_parked=True)
        assert not (lab.root / "c.bin").is_symlink()
        with ctx.catalog.read() as tx:
            assert segments.pending(tx) is None


def test_our_own_unfinished_segment_is_not_a_newer_catalog(lab: Lab) -> None:
    lab.write("a.bin", b"a" * 1000)
    learn(lab)
    with pytest.raises(Killed):
        migrate(lab.with_steps(StopAt("segments.uploaded")), items(lab))
    refuse_outdated(lab.context)
    with lab.catalog.read() as tx:
        waiting, pending = segments.next_batch(tx), segments.pending(tx)
    assert waiting is not None
    assert pending is not None
    # A damaged attempt at the same number.
    again = encode_segment(waiting.number, waiting.prev_hash, waiting.records)
    other = again[:-1] + bytes([again[-1] ^ 1])
    put(lab, f"segments/{waiting.number:012d}-{segment_hash(other)[:16]}", other)
    refuse_outdated(lab.context)
    assert segment_job.flush(lab.context) >= waiting.number
    lab.context.metadata.store.delete(f"segments/{waiting.number:012d}-{segment_hash(other)[:16]}")
    assert rows(lab)[b"a.bin"].recipe_no is not None
    books_balance(lab)


def test_an_object_that_is_no_segment_stops_nobody(lab: Lab) -> None:
    send(lab, "a.bin")
    put(lab, "segments/000000000099-0123456789abcdef", b"forged")
    send(lab, "b.bin")
    collect(lab.context)


def test_p5_over_an_old_copy_of_the_store_nothing_is_deleted_or_recorded(lab: Lab) -> None:
    send(lab, "a.bin")
    data = send(lab, "b.bin")
    release(lab.context, items(lab), wait_parked=True)
    segment_job.flush(lab.context)
    with lab.catalog.read() as tx:
        last = segments.last_durable(tx)
    assert last is not None
    lab.context.metadata.store.delete(last.key)  # a snapshot from before it was put back
    stands = keys(lab, "")
    lab.clock.advance(1000 * 86_400)
    with pytest.raises(NotOwner, match="is older than the catalog"):
        collect(lab.context)
    lab.write("c.bin", b"c" * 50_000)
    learn(lab)
    with pytest.raises(NotOwner, match="is older than the catalog"):
        migrate(lab.context, items(lab, paths=[b"c.bin"]))
    with pytest.raises(NotOwner, match="is older than the catalog"):
        release(lab.context, items(lab, paths=[b"c.bin"]), wait_parked=True)
    assert set(stands) <= set(keys(lab, ""))
    assert not (lab.root / "c.bin").is_symlink()
    assert stored_bytes(lab, b"b.bin") == data  # what it holds can be had


def test_p5_of_two_copies_that_write_at_the_same_time_one_relies_on_nothing(lab: Lab) -> None:
    """A machine was cloned with its daemon, and both wake at the same minute."""
    send(lab, "a.bin")
    copy = backup(lab)
    before = set(keys(lab, "segments/"))
    mine = lab.write("mine.bin", os.urandom(50_000))
    theirs = lab.write("theirs.bin", os.urandom(60_000))
    store = lab.context.metadata.store
    with put_back(lab, copy) as ctx:
        other = replace(lab, context=ctx)
        scan_root(ctx, ctx.roots[0])
        migrate(ctx, items(other, paths=[b"theirs.bin"]))
        assert release(ctx, items(other, paths=[b"theirs.bin"]), wait_parked=True).files_skipped == ()
    late = {key: store.get(key) for key in keys(lab, "segments/") if key not in before}
    for key in late:
        store.delete(key)

    def meanwhile(step: str) -> None:
        """Let the other's segments stand only after this copy has looked, and before it uploads its own."""
        while step == "segments.pending" and late:
            put(lab, *late.popitem())

    learn(lab)
    with pytest.raises(NotOwner, match="two copies of one catalog"):
        migrate(lab.with_steps(meanwhile), items(lab, paths=[b"mine.bin"]))
    stands = keys(lab, "")
    with pytest.raises(NotOwner):
        release(lab.context, items(lab), wait_parked=True)
    with pytest.raises(NotOwner):
        collect(lab.context)
    assert keys(lab, "") == stands
    assert theirs.is_symlink()
    assert not mine.is_symlink()
    with lose_catalog(lab) as (again, catalog):
        rebuilt(again, catalog)
        assert rows(again)[b"theirs.bin"].state == "offline"
        assert len(stored_bytes(again, b"theirs.bin")) == 60_000
        collect(again.context)
        assert len(stored_bytes(again, b"theirs.bin")) == 60_000


def test_segments_in_the_store_of_another_tier_are_not_looked_for_here(lab: Lab) -> None:
    send(lab, "a.bin")
    segment_job.flush(lab.context)
    refuse_outdated(replace(lab.context, metadata=lab.context.tiers["archive"]))
