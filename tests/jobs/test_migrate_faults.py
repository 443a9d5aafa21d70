"""Migrate under failure: stopped at every step, failing and lying stores, claims of the dead; nothing lost or twice."""

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from tests.jobs.lab import Lab, open_lab, open_tiers, settings
from tests.jobs.outbound import (
    Killed,
    StopAt,
    books_balance,
    items,
    learn,
    packs_in,
    rows,
    states,
    stored_bytes,
)
from tiering.catalog import journal, packs, segments
from tiering.catalog.journal import Claim
from tiering.catalog.open import open_catalog
from tiering.catalog.values import FileState, JournalKind, PackState
from tiering.errors import FrostlineError, NoSpace, NotOwner, ObjectExists, StoreError, StoreUnavailable
from tiering.jobs.context import Context
from tiering.jobs.migrate import migrate
from tiering.jobs.packing import Spool
from tiering.jobs.reports import Skip
from tiering.jobs.segments import flush
from tiering.stores.wrapper import Operation, Wrapper

T = TypeVar("T")

STEPS = [
    ("migrate.claimed", 1),
    ("migrate.packed", 1),
    ("migrate.packed", 3),
    ("migrate.pending", 1),
    ("migrate.pending", 2),
    ("migrate.uploaded", 1),
    ("migrate.uploaded", 2),
    ("migrate.recipes_uploaded", 1),
    ("migrate.committed", 1),
    ("segments.pending", 1),
    ("segments.uploaded", 1),
    ("segments.durable", 1),
    ("migrate.flushed", 1),
]
CONTENTS = {
    f"{number}/file".encode(): random.Random(number).randbytes(size)
    for number, size in enumerate([3_600_000, 10, 0, 700_000, 33_000])
}


class Faulty(Wrapper):
    """Does *fault* instead of a put of a key that begins with *prefix*, from the n-th on."""

    def __init__(self, lab: Lab, prefix: str, fault: Callable[[Callable[[], object]], None], *, skip: int = 0) -> None:
        super().__init__(lab.context.tiers["standard"].store)
        self.prefix, self.fault, self.skip = prefix, fault, skip

    def run(self, operation: Operation, call: Callable[[], T]) -> T:
        if operation.kind == "put" and operation.key.startswith(self.prefix):
            self.skip -= 1
            if self.skip < 0:
                self.fault(call)
        return call()


def unavailable(call: Callable[[], object]) -> None:
    raise StoreUnavailable("the line is down")


def with_store(lab: Lab, store: Wrapper) -> Context:
    tier = replace(lab.context.tiers["standard"], store=store)
    metadata = replace(lab.context.metadata, store=store)
    return replace(lab.context, tiers={**lab.context.tiers, "standard": tier}, metadata=metadata)


def fill(lab: Lab) -> None:
    for path, data in CONTENTS.items():
        lab.write(path, data)
    learn(lab)


def all_is_well(lab: Lab) -> None:
    assert set(states(lab).values()) == {FileState.DUAL}
    for path, data in CONTENTS.items():
        assert stored_bytes(lab, path) == data
    with lab.catalog.read() as tx:
        assert journal.every(tx) == []
        assert packs.in_state(tx, PackState.PENDING) == []
        assert segments.next_batch(tx) is None
    books_balance(lab)


@pytest.mark.parametrize(("step", "number"), STEPS)
def test_p4_an_error_at_any_step_leaves_nothing_claimed_and_the_next_run_finishes(
    lab: Lab, step: str, number: int
) -> None:
    fill(lab)

    with pytest.raises(Killed):
        migrate(lab.with_steps(StopAt(step, number)), items(lab))

    assert FileState.MIGRATING not in states(lab).values()
    assert packs_in(lab, PackState.PENDING) == []
    flush(lab.context)  # a segment under way is in no book yet
    books_balance(lab)
    migrate(lab.context, items(lab))
    all_is_well(lab)


@contextmanager
def reopened(lab: Lab, image: Path) -> Iterator[Lab]:
    """Open the image of a crashed lab as the next process would, on the same root."""
    config = settings(image, tiers=file_tiers(image))
    catalog = open_catalog(f"sqlite:///{image}/state/catalog.db", clock=lab.clock)
    try:
        tiers = open_tiers(config, catalog, lab.clock)
        context = replace(
            lab.context,
            config=config,
            catalog=catalog,
            tiers=tiers,
            metadata=replace(tiers["standard"], storage_class="STANDARD"),
            owner="test:2:boot",
        )
        yield Lab(lab.base, context, lab.clock)
    finally:
        catalog.close()


def file_tiers(base: Path) -> dict[str, dict[str, str]]:
    return {"standard": {"store": f"file://{base}/standard"}, "archive": {"store": f"file://{base}/archive"}}


def take_image(lab: Lab, image: Path) -> None:
    """Copy what would be on the disks if the power failed now: catalog and stores, not the process's memory.

    The stores first: other threads go on meanwhile, and in a crash no object is without its earlier pending row.
    """
    for name in ("standard", "archive"):
        shutil.copytree(lab.base / name, image / name, ignore=shutil.ignore_patterns(".tmp"))
    (image / "state").mkdir()
    with (
        closing(sqlite3.connect(lab.base / "state" / "catalog.db")) as source,
        closing(sqlite3.connect(image / "state" / "catalog.db")) as target,
    ):
        source.backup(target)
        target.execute("UPDATE stores SET url = replace(url, ?, ?)", (str(lab.base), str(image)))
        target.commit()


@pytest.mark.parametrize(("step", "number"), STEPS)
def test_p4_a_dead_process_at_any_step_is_taken_over(tmp_path: Path, step: str, number: int) -> None:
    base, image = tmp_path / "lab", tmp_path / "image"
    with open_lab(base, tiers=file_tiers(base)) as lab:
        fill(lab)
        stop = StopAt(step, number, action=lambda: take_image(lab, image))
        migrate(lab.with_steps(stop), items(lab))
        assert image.is_dir()
        with reopened(lab, image) as after:
            after.clock.advance(3600)
            orphans = set(packs_in(after, PackState.PENDING))

            migrate(after.context, items(after))
            flush(after.context)

            assert set(packs_in(after, PackState.PENDING)) == orphans  # reconcile's, never adopted
            with after.catalog.write() as tx:
                dead = [(pack.pack_no, size_of(after, pack.key)) for pack in packs.in_state(tx, PackState.PENDING)]
                packs.doom_pending(tx, dead, op_id="test", reason="its process died")
            flush(after.context)
            all_is_well(after)


def size_of(lab: Lab, key: str) -> int:
    try:
        return lab.context.tiers["standard"].store.head(key).size_bytes
    except StoreError:
        return 0


def test_p4_crash_after_upload_then_the_same_bytes_again_never_adopts_the_doomed_pack(tmp_path: Path) -> None:
    base, image = tmp_path / "lab", tmp_path / "image"
    with open_lab(base, tiers=file_tiers(base)) as lab:
        fill(lab)
        migrate(lab.with_steps(StopAt("migrate.uploaded", 1, lambda: take_image(lab, image))), items(lab))
        with reopened(lab, image) as after:
            after.clock.advance(3600)
            with after.catalog.write() as tx:
                orphans = [p for p in packs.in_state(tx, PackState.PENDING) if size_of(after, p.key)]
                dead = [(pack.pack_no, pack.size) for pack in orphans]
                packs.doom_pending(tx, dead, op_id="test", reason="its process died")

            migrate(after.context, items(after))

            doomed = {pack.key for pack in orphans}
            assert doomed
            assert doomed <= set(packs_in(after, PackState.DOOMED))
            assert doomed.isdisjoint(packs_in(after, PackState.LIVE))
            for key in doomed:
                after.context.tiers["standard"].store.delete(key)
            for path, data in CONTENTS.items():
                assert stored_bytes(after, path) == data


@pytest.mark.parametrize("prefix", ["packs/", "recipes/"])
@pytest.mark.parametrize("skip", [0, 1])
def test_a_store_that_fails_in_the_middle_ends_the_job_with_nothing_half_done(lab: Lab, prefix: str, skip: int) -> None:
    fill(lab)
    context = with_store(lab, Faulty(lab, prefix, unavailable, skip=0 if prefix == "recipes/" else skip))

    with pytest.raises(StoreUnavailable):
        migrate(context, items(lab))

    assert set(states(lab).values()) == {FileState.REGULAR}
    with lab.catalog.read() as tx:
        assert journal.every(tx) == []
        assert packs.in_state(tx, PackState.PENDING) == []
    books_balance(lab)
    migrate(lab.context, items(lab))
    all_is_well(lab)


def test_a_segment_that_cannot_be_written_waits_and_is_the_same_later(lab: Lab) -> None:
    fill(lab)

    with pytest.raises(StoreUnavailable):
        migrate(with_store(lab, Faulty(lab, "segments/", unavailable)), items(lab))

    assert set(states(lab).values()) == {FileState.DUAL}
    with lab.catalog.read() as tx:
        waiting = segments.pending(tx)
        assert waiting is not None
        assert segments.durable_through(tx) == 0
    assert flush(lab.context) >= 1
    with lab.catalog.read() as tx:
        assert waiting.key in segments.durable_keys(tx)
    all_is_well(lab)


def test_an_upload_whose_answer_was_lost_is_adopted(lab: Lab) -> None:
    fill(lab)

    def lose_the_answer(call: Callable[[], object]) -> None:
        call()
        raise ObjectExists("what a second attempt is told when the first one had arrived")

    report = migrate(with_store(lab, Faulty(lab, "packs/", lose_the_answer)), items(lab))

    assert report.files_done == len(CONTENTS)
    assert packs_in(lab, PackState.DOOMED) == []
    all_is_well(lab)


def test_another_object_under_our_key_is_not_adopted(lab: Lab) -> None:
    fill(lab)
    taken: list[str] = []

    class Usurped(Wrapper):
        """Puts three bytes of somebody else's where the first pack is to go."""

        def put(self, key, body, *, size_bytes, checksum, storage_class, if_absent=True):  # type: ignore[no-untyped-def]
            if key.startswith("packs/") and not taken:
                taken.append(key)
                raise ObjectExists(f"{key} is taken")
            return super().put(
                key, body, size_bytes=size_bytes, checksum=checksum, storage_class=storage_class, if_absent=if_absent
            )

        def head(self, key):  # type: ignore[no-untyped-def]
            info = super().head(next(iter(self.inner.list("frostline"))).key)
            return replace(info, key=key)

    migrate(with_store(lab, Usurped(lab.context.tiers["standard"].store)), items(lab))

    assert taken[0] in packs_in(lab, PackState.DOOMED)
    all_is_well(lab)


def test_a_file_claimed_by_a_live_process_is_skipped_and_by_a_dead_one_is_taken_over(lab: Lab) -> None:
    fill(lab)
    file_id = rows(lab)[b"0/file"].file_id
    claim = Claim("migrate:other", JournalKind.MIGRATE, file_id, "claimed")
    with lab.catalog.write() as tx:
        assert journal.claim(tx, [claim], owner="other:1:boot", until_ns=tx.now_ns + 10**9)

    report = migrate(lab.context, items(lab))

    assert [(Path(s.path).parent.name, s.kind) for s in report.files_skipped] == [("0", Skip.OTHER)]
    lab.clock.advance(2)
    assert migrate(lab.context, items(lab)).files_done == len(CONTENTS)
    all_is_well(lab)


def test_a_claim_lost_before_the_commit_leaves_the_file_to_whoever_has_it(lab: Lab) -> None:
    fill(lab)
    file_id = rows(lab)[b"3/file"].file_id

    def lose() -> None:
        with lab.catalog.write() as tx:
            (row,) = journal.every(tx)
            journal.give_up(tx, row.op_id, [file_id])

    context = lab.with_steps(StopAt("migrate.recipes_uploaded", action=lose))
    report = migrate(context, items(lab))

    assert report.files_done == len(CONTENTS) - 1
    assert [s.kind for s in report.files_skipped] == [Skip.BUSY]
    assert rows(lab)[b"3/file"].state is FileState.REGULAR
    books_balance(lab)


def test_a_batch_lost_before_the_commit_is_left_to_its_new_owner(lab: Lab) -> None:
    fill(lab)

    def steal() -> None:
        with lab.catalog.write() as tx:
            (row,) = journal.every(tx)
            journal.take_over(tx, row.op_id, owner="other:1:boot", until_ns=tx.now_ns)

    context = lab.with_steps(StopAt("migrate.recipes_uploaded", action=steal))
    report = migrate(context, items(lab))

    assert report.files_done == 0
    assert {s.kind for s in report.files_skipped} == {Skip.BUSY}
    books_balance(lab)
    lab.clock.advance(2)
    assert migrate(lab.context, items(lab)).files_done == len(CONTENTS)
    all_is_well(lab)


def test_a_catalog_that_lost_its_store_writes_no_segment(lab: Lab) -> None:
    fill(lab)
    with pytest.raises(NotOwner):
        migrate(replace(lab.context, epoch=7), items(lab))

    with lab.catalog.read() as tx:
        assert segments.pending(tx) is None


def test_no_room_on_the_spool_ends_the_job_with_a_sentence(lab: Lab) -> None:
    """/dev/full answers ENOSPC to every write, as a full disk does."""
    spool = Spool(lab.base / "state" / "spool")
    spool.close()
    spool.file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
    with pytest.raises(NoSpace, match="no room for packs"):
        spool.write(b"x")
    spool.close()


def test_a_state_folder_that_cannot_be_written_ends_the_job_with_a_sentence(lab: Lab) -> None:
    fill(lab)
    (lab.base / "state" / "spool").rmdir()
    (lab.base / "state" / "spool").write_bytes(b"in the way")

    with pytest.raises(FrostlineError, match="packs under construction cannot be written"):
        migrate(lab.context, items(lab))

    assert set(states(lab).values()) == {FileState.REGULAR}
