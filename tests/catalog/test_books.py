"""P6 as a property: whatever happens, in whatever order, both identities hold and the ledger equals the rows,
at every commit.
"""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from tests.catalog.rows import Seen, Storage, add_root, name_of, new_file, recipe_of
from tests.postgres import PostgresServer
from tiering.catalog import (
    bases,
    commit,
    files,
    journal,
    ledger,
    packs,
    segments,
    stores,
    sums,
    tables,
    temperature,
    versions,
)
from tiering.catalog.open import Catalog, open_catalog
from tiering.catalog.transaction import Tx
from tiering.catalog.values import (
    AdoptedFile,
    FileRow,
    FileState,
    JournalKind,
    PackState,
    PlacedFile,
    ScannedFile,
)
from tiering.clock import NS_PER_DAY, FakeClock

WORDS = "abcdefgh"
COLDER = {"standard": ("standard",), "archive": ("standard", "archive")}
Step = tuple[str, int, int]


class World:
    """A catalog under random operations; numbers pick the rows they apply to."""

    def __init__(self, catalog: Catalog, clock: FakeClock) -> None:
        self.catalog, self.clock = catalog, clock
        self.numbers = count(1)
        self.storage: Storage | None = None
        with catalog.write() as tx:
            self.root_id = add_root(tx)

    def run(self, step: Step) -> None:
        name, first, second = step
        self.clock.advance(60)
        with self.catalog.write() as tx:
            if self.storage is None:
                self.storage = Storage(tx)
            self.storage.tx = tx
            act: Callable[[Tx, int, int], None] = getattr(self, "do_" + name)
            act(tx, first, second)
        with self.catalog.read() as tx:
            assert sums.differences(tx) == {}, step
            assert sums.identities(ledger.all_balances(tx)) == [], step
            assert list(temperature.misplaced(tx, {"standard": 0, "archive": 1})) == []
            assert every_chunk_in_use_has_its_bases(tx), step

    def pick(self, tx: Tx, number: int, *states: FileState) -> FileRow | None:
        rows = [row for row in files.page(tx, self.root_id) if not states or row.state in states]
        return rows[number % len(rows)] if rows else None

    def op(self) -> str:
        return f"op:{next(self.numbers)}"

    def do_add(self, tx: Tx, first: int, second: int) -> None:
        number = next(self.numbers)
        row = new_file(self.root_id, b"d%d/f%d" % (first % 3, number), Seen(number, 10 * (second % 50)))
        files.add_new(tx, [row], op_id=self.op())

    def do_link(self, tx: Tx, first: int, second: int) -> None:
        row = self.pick(tx, first, FileState.REGULAR, FileState.DUAL)
        if row is not None:
            seen = Seen(row.ino, row.size, row.mtime_ns, row.ctime_ns, row.dev)
            files.add_new(tx, [new_file(self.root_id, b"l/%d" % next(self.numbers), seen, nlink=2)], op_id=self.op())

    def do_store(self, tx: Tx, first: int, second: int) -> None:
        row = self.pick(tx, first, FileState.REGULAR, FileState.DUAL, FileState.MIGRATING)
        if row is None or not row.is_leader:
            return
        tier = "archive" if second % 4 == 0 else "standard"
        words = [WORDS[(first + k * second) % len(WORDS)] * (1 + k % 2) for k in range(1 + second % 4)]
        needed = list(words)
        if second % 3 == 1:  # one is coded against another, at one remove or two
            base = WORDS[second % len(WORDS)]
            coded = f"{WORDS[first % len(WORDS)]}<{base}"
            words.append(coded if second % 2 else f"z<{coded}")
            needed += [base, coded, words[-1]]
        known = packs.lookup(tx, [name_of(word)[0] for word in needed], COLDER[tier])
        new = [word for word in dict.fromkeys(needed) if name_of(word)[0] not in known or second % 5 == 0]
        if second % 7 == 0:
            new = new[1:]  # one is missing: the file must be rejected, the pack goes live all the same
        recipe = recipe_of(next(self.numbers), words, hole=100 * (second % 3), path=row.path if first % 4 else b"")
        assert self.storage is not None
        self.storage.store([(row.file_id, recipe)], new, tier=tier, tiers=COLDER[tier])

    def do_release(self, tx: Tx, first: int, second: int) -> None:
        row = self.pick(tx, first, FileState.DUAL)
        if row is not None and row.is_leader:
            names = [row, *files.links_of(tx, row.file_id)]
            placed = [PlacedFile(name.file_id, Seen(next(self.numbers), 40)) for name in names]
            commit.set_offline(tx, placed, op_id=self.op())

    def do_recall(self, tx: Tx, first: int, second: int) -> None:
        row = self.pick(tx, first, FileState.OFFLINE)
        if row is not None:
            commit.set_dual(tx, [PlacedFile(row.file_id, Seen(next(self.numbers), row.size))], op_id=self.op())

    def do_change(self, tx: Tx, first: int, second: int) -> None:
        row = self.pick(tx, first)
        if row is not None:
            self._scan(tx, row, Seen(row.ino if second % 2 else next(self.numbers), second, mtime_ns=9))

    def do_see(self, tx: Tx, first: int, second: int) -> None:
        row = self.pick(tx, first)
        if row is not None:
            here = Seen(row.ino, row.size, row.mtime_ns, row.ctime_ns, row.dev)
            self._scan(tx, row, here, placeholder=row.state in {FileState.OFFLINE, FileState.RECALLING})

    def do_placeholder(self, tx: Tx, first: int, second: int) -> None:
        row = self.pick(tx, first)
        if row is not None and row.recipe_no is not None:
            self._scan(tx, row, Seen(next(self.numbers), 40), placeholder=True)

    def do_miss(self, tx: Tx, first: int, second: int) -> None:
        rows = [row for number in (first, second) if (row := self.pick(tx, number)) is not None]
        files.mark_missing(tx, [row.file_id for row in rows], op_id=self.op())

    def do_forget(self, tx: Tx, first: int, second: int) -> None:
        row = self.pick(tx, first, FileState.MISSING)
        if row is not None:
            commit.delete_files(tx, [row.file_id], op_id=self.op(), reason="retention over")

    def do_supersede(self, tx: Tx, first: int, second: int) -> None:
        row = self.pick(tx, first, FileState.DUAL)
        if row is not None:
            keep = None if second % 3 == 0 else tx.now_ns + NS_PER_DAY
            commit.supersede(tx, [row.file_id], op_id=self.op(), keep_until_ns=keep, reason="changed")

    def do_adopt(self, tx: Tx, first: int, second: int) -> None:
        row = self.pick(tx, first, FileState.OFFLINE)
        if row is None or row.recipe_no is None:
            return
        number = next(self.numbers)
        copy = AdoptedFile(self.root_id, b"c/", b"%d" % number, row.recipe_no, Seen(number, 40), 0o100644, 1000, 1000)
        commit.adopt(tx, [copy], op_id=self.op())

    def do_expire(self, tx: Tx, first: int, second: int) -> None:
        self.clock.advance(86_400 * (first % 3))
        commit.drop_versions(tx, versions.expired(tx, before_ns=tx.now_ns), op_id=self.op(), reason="retention over")

    def do_doom(self, tx: Tx, first: int, second: int) -> None:
        found = packs.unreferenced(tx, created_before_ns=tx.now_ns, limit=1 + first % 3)
        packs.doom(tx, [row.pack_no for row in found], op_id=self.op(), reason="unreferenced")

    def do_delete(self, tx: Tx, first: int, second: int) -> None:
        doomed = [row.pack_no for row in packs.in_state(tx, PackState.DOOMED)]
        claimed = packs.claim_for_deletion(tx, doomed, doomed_before_ns=tx.now_ns)
        if second % 2:
            packs.mark_deleted(tx, [row.pack_no for row in claimed], op_id=self.op(), reason="grace over")

    def do_crash(self, tx: Tx, first: int, second: int) -> None:
        assert self.storage is not None
        if second % 2:
            pack_no, _ = self.storage.pending([WORDS[first % 8]])
        else:
            pack_no, _ = self.storage.pending_recipes([recipe_of(next(self.numbers), [WORDS[first % 8]])])
        if second % 3:
            size = 500 if second % 5 else 0
            packs.doom_pending(tx, [(pack_no, size)], op_id=self.op(), reason="its process died")
            packs.correct_size(tx, pack_no, size + second % 2, op_id=self.op(), reason="landed late")

    def do_claim(self, tx: Tx, first: int, second: int) -> None:
        row = self.pick(tx, first)
        if row is not None:
            kind = [JournalKind.MIGRATE, JournalKind.RECALL, JournalKind.RELEASE][second % 3]
            claim = journal.Claim(self.op(), kind, row.file_id, "begun")
            journal.claim(tx, [claim], owner="me", until_ns=tx.now_ns)

    def do_unclaim(self, tx: Tx, first: int, second: int) -> None:
        journal.finish(tx, [row.op_id for row in journal.every(tx)])

    def do_flush(self, tx: Tx, first: int, second: int) -> None:
        batch = segments.next_batch(tx, limit=1 + first % 50)
        if batch is not None:
            segments.mark_pending(tx, batch, key=f"s{batch.number}", size=20 + second, hash=str(batch.number))
            if second % 3:
                segments.mark_durable(tx, batch.number, tier="standard")

    def do_own(self, tx: Tx, first: int, second: int) -> None:
        stores.put(tx, stores.StoreRow("file:///s", "abc", first, "{}", tx.now_ns, "standard", 100 + second))

    def _scan(self, tx: Tx, row: FileRow, seen: Seen, *, placeholder: bool = False) -> None:
        found = ScannedFile(
            file_id=row.file_id,
            size=seen.size,
            mtime_ns=seen.mtime_ns,
            ctime_ns=seen.ctime_ns,
            dev=seen.dev,
            ino=seen.ino,
            nlink=row.nlink,
            mode=row.mode,
            uid=row.uid,
            gid=row.gid,
            last_access_ns=None,
            access_quality="none",
            is_placeholder=placeholder,
        )
        files.update_scanned(tx, [found], op_id=self.op(), keep_until_ns=tx.now_ns + NS_PER_DAY)


def every_chunk_in_use_has_its_bases(tx: Tx) -> bool:
    """Whether each recipe refers to all that its chunks are coded against, and look-ups find nothing without it."""
    refs: dict[int, set[int]] = {}
    for recipe_no, chunk_no in tx.conn.execute(select(tables.refs.c.recipe_no, tables.refs.c.chunk_no)):
        refs.setdefault(recipe_no, set()).add(chunk_no)
    behind = bases.chains(tx, {number for numbers in refs.values() for number in numbers})
    every = set(tx.conn.execute(select(tables.chunks.c.chunk_no)).scalars())
    standing = set(bases.bases_of(tx, every).values()) <= every
    return standing and all(set(behind.get(n, ())) <= numbers for numbers in refs.values() for n in numbers)


NAMES = sorted(name.removeprefix("do_") for name in vars(World) if name.startswith("do_"))
# What makes rows and holders comes up more often than what ends them.
STEPS = st.tuples(
    st.sampled_from([*NAMES, "add", "add", "store", "store", "store", "release", "release"]),
    st.integers(0, 99),
    st.integers(0, 99),
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=40, max_size=60))
def test_p6_the_books_balance_at_every_commit(steps: list[Step]) -> None:
    with TemporaryDirectory() as folder:
        walk(f"sqlite:///{Path(folder)}/c.db", steps)


@pytest.mark.postgres
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=20, max_size=40))
def test_p6_the_books_balance_at_every_commit_on_postgres(postgres_server: PostgresServer, steps: list[Step]) -> None:
    with postgres_server.database() as url:
        walk(url, steps)


def walk(url: str, steps: list[Step]) -> None:
    clock = FakeClock()
    catalog = open_catalog(url, clock=clock, create=True)
    try:
        world = World(catalog, clock)
        for step in [("add", 1, 20), ("add", 2, 30), ("store", 0, 1), ("store", 1, 2), *steps]:
            world.run(step)
        with catalog.read() as tx:
            assert list(ledger.verify_chain(tx)) == []
            assert list(ledger.verify_balances(tx)) == []
    finally:
        catalog.close()
