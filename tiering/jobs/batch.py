"""One batch of migrate: claimed, read with all cores, packed and uploaded on the way, committed in one transaction.

Used by tiering.jobs.migrate alone. Kill points, each passed when that much is durable: migrate.claimed, .packed,
.pending, .uploaded (per pack), .recipes_uploaded, .committed. A batch that fails releases its claims and dooms its
packs.
"""

import os
import secrets
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from dedup.codecs import encode
from dedup.fingerprint import DEFAULT_FINGERPRINT, digest
from dedup.recipe import recipe_key
from dedup.values import ChunkPart, Fingerprint, PackEntry
from tiering.catalog import journal, packs
from tiering.catalog.commit import commit_stored
from tiering.catalog.journal import Claim
from tiering.catalog.transaction import Tx
from tiering.catalog.values import JournalKind, NewChunk, StoredBatch, StoredFile
from tiering.clock import NS_PER_S
from tiering.errors import FrostlineError, SourceError
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.gathering import Gathering
from tiering.jobs.outgoing import Outgoing, Reader, Stopped, StoredChunks, Wanted, skip_kind, skip_reason
from tiering.jobs.packing import OpenPack, Packer, UploadedPack, UploadJournal, spool_folder, upload_pack
from tiering.jobs.reports import Skip

# Longer than the slowest upload of the packs on the spool; reconcile need not wait for it where the process is known
# dead.
LEASE_S = 900
HEARTBEAT_S = 30.0
# After this long no further file is begun: what is read gets committed, and its segment written.
BATCH_S = 60.0


@dataclass(frozen=True, slots=True)
class Batch:
    """What all batches of one call have in common."""

    tier: OpenTier
    fingerprint: str = DEFAULT_FINGERPRINT


@dataclass(slots=True)
class BatchOutcome:
    """What became of the files of a batch."""

    stored: list[Wanted] = field(default_factory=list)
    skipped: list[tuple[Wanted, str, Skip]] = field(default_factory=list)
    rejected: list[tuple[Wanted, str]] = field(default_factory=list)
    """Read, but not committed: worth another reading."""
    left: list[Wanted] = field(default_factory=list)
    """Not begun."""
    bytes_read: int = 0
    bytes_stored: int = 0


def run_batch(ctx: Context, batch: Batch, wanted: Sequence[Wanted]) -> BatchOutcome:
    """Store *wanted* and return what became of each; on return nothing of it is claimed.

    What was stored is committed, and waits for its segment. Raises what ends a job (store, space, catalog, integrity):
    then nothing of the batch is committed.
    """
    run = _Run(ctx, batch, f"migrate:{secrets.token_hex(12)}")
    with ExitStack() as stack:
        stack.callback(run.packer.close)
        stack.push(run.abandon_if_failed)
        run.claim(wanted)
        ctx.step("migrate.claimed")
        run.read_all()
        data_packs = run.packer.finish()
        if run.outgoing:
            run.store_recipes()
        run.commit(data_packs)
        ctx.step("migrate.committed")
    run.outcome.bytes_stored = run.packer.journal.uploaded_bytes
    return run.outcome


class _Run:
    """The state of one batch; what threads share is the deques and lists, whose single operations are atomic."""

    def __init__(self, ctx: Context, batch: Batch, op_id: str) -> None:
        self.ctx = ctx
        self.batch = batch
        self.op_id = op_id
        self.packer = Packer(ctx, batch.tier)
        self.outcome = BatchOutcome()
        self.claimed: list[Wanted] = []
        self.todo: deque[Wanted] = deque()
        self.outgoing: list[Outgoing] = []
        self.recipe_pack: UploadedPack | None = None
        self.recipe_entries: dict[str, PackEntry] = {}
        self.is_committed = False
        self._give_up = threading.Event()
        self._failures: list[BaseException] = []

    @property
    def tiers(self) -> tuple[str, ...]:
        """Tiers whose chunks may be reused: none colder than the batch's own."""
        return tuple(tier.name for tier in self.ctx.tiers.values() if tier.rank <= self.batch.tier.rank)

    def claim(self, wanted: Sequence[Wanted]) -> None:
        named = {f"{self.op_id}:{item.row.file_id}": item for item in wanted}
        claims = [Claim(op_id, JournalKind.MIGRATE, item.row.file_id, step="claimed") for op_id, item in named.items()]
        with self.ctx.catalog.write() as tx:
            granted = journal.claim(tx, claims, owner=self.ctx.owner, until_ns=_lease_until(tx))
        won = {claim.op_id for claim in granted}
        self.claimed = [replace(item, op_id=op_id) for op_id, item in named.items() if op_id in won]
        self.todo.extend(self.claimed)
        for op_id, item in named.items():
            if op_id not in won:
                self.outcome.skipped.append((item, "is being worked on by another process", Skip.BUSY))

    def read_all(self) -> None:
        """Read the claimed files with one thread per core; those not begun in time are left."""
        threads = len(os.sched_getaffinity(0))
        until_s = self.ctx.clock.monotonic_s() + BATCH_S
        with (
            ThreadPoolExecutor(threads, "frostline-encode") as encoders,
            ThreadPoolExecutor(threads, "frostline-read") as readers,
        ):
            index = StoredChunks(self.ctx.catalog, self.packer, self.tiers)
            small = Gathering(index, self.packer)
            workers: list[Future[None]] = []
            reader = Reader(
                ctx=self.ctx,
                packer=self.packer,
                index=index,
                small=small,
                fingerprint=self.batch.fingerprint,
                encoders=encoders,
                threads=threads,
                is_given_up=self._give_up.is_set,
                has_idle_core=lambda: sum(not worker.done() for worker in workers) < threads,
            )
            workers += [readers.submit(self._work, reader, until_s) for _ in range(min(threads, len(self.todo)))]
            try:
                while wait(workers, timeout=HEARTBEAT_S).not_done:
                    self._extend()
            except BaseException:
                self._give_up.set()
                raise
        if self._failures:
            raise self._failures[0]
        small.flush()
        self.outcome.left = list(self.todo)

    def _work(self, reader: Reader, until_s: float) -> None:
        try:
            while self.todo and not self._give_up.is_set() and not self.ctx.stop.is_set():
                if self.ctx.clock.monotonic_s() >= until_s:
                    return
                self._read_one(reader, self.todo.popleft())
        except IndexError:
            pass  # another thread took the last one
        except BaseException as error:  # noqa: BLE001  # kept, and raised in the thread that waits
            self._failures.append(error)
            self._give_up.set()

    def _read_one(self, reader: Reader, wanted: Wanted) -> None:
        try:
            outgoing = reader.read(wanted)
        except Stopped:
            self.outcome.left.append(wanted)
            return
        except (SourceError, OSError) as error:
            self.outcome.skipped.append((wanted, skip_reason(error), skip_kind(error)))
        else:
            self.outgoing.append(outgoing)
            self.outcome.bytes_read += outgoing.recipe.size - outgoing.recipe.hole_bytes
        self.ctx.progress.advance(files=1)

    def _extend(self) -> None:
        with self.ctx.catalog.write() as tx:
            op_ids = [item.op_id for item in self.claimed]
            journal.extend(tx, op_ids, owner=self.ctx.owner, until_ns=_lease_until(tx))

    def store_recipes(self) -> None:
        """Pack the recipes of everything read and upload them to the metadata tier."""
        pack = OpenPack.begin(spool_folder(self.ctx), "recipes")
        try:
            for outgoing in self.outgoing:
                data = outgoing.encoded
                coded = encode(data, effort=self.ctx.config.chunking.effort)
                key = Fingerprint(recipe_key(outgoing.recipe.recipe_id))
                entry = pack.writer.add(key, digest(data), len(data), coded.codec, coded.payload)
                self.recipe_entries[str(outgoing.recipe.recipe_id)] = entry
            self.recipe_pack = upload_pack(
                *(self.ctx, self.ctx.metadata, pack.spool, pack.writer.finish()),
                kind="recipes",
                journal=self.packer.journal,
            )
        finally:
            pack.spool.close()
        self.ctx.step("migrate.recipes_uploaded")

    def commit(self, data_packs: Sequence[UploadedPack]) -> None:
        """Make it so: packs live, files dual, claims gone; packs that nothing refers to are doomed."""
        with self.ctx.catalog.write() as tx:
            held = {row.op_id for row in journal.of_kind(tx, JournalKind.MIGRATE, owner=self.ctx.owner)}
            ready = [outgoing for outgoing in self.outgoing if outgoing.wanted.op_id in held]
            used = _used_packs(data_packs, ready)
            refused: dict[int, str] = {}
            if ready and self.recipe_pack is not None:
                stored = self._stored_batch(ready, used, self.recipe_pack)
                refused = {item.file_id: item.reason for item in commit_stored(tx, stored)}
            live = {pack.pack_no for pack in used} | {self.recipe_pack.pack_no if ready and self.recipe_pack else 0}
            _doom(tx, self.packer.journal, live, self.op_id)
            journal.finish(tx, [item.op_id for item in self.claimed])
        self.is_committed = True
        for outgoing in self.outgoing:
            wanted = outgoing.wanted
            if wanted.op_id not in held:
                self.outcome.skipped.append((wanted, "was taken over by another process", Skip.BUSY))
            elif wanted.row.file_id in refused:
                self.outcome.rejected.append((wanted, refused[wanted.row.file_id]))
            else:
                self.outcome.stored.append(wanted)

    def _stored_batch(
        self, ready: Sequence[Outgoing], used: Sequence[UploadedPack], recipes: UploadedPack
    ) -> StoredBatch:
        return StoredBatch(
            op_id=self.op_id,
            tier=self.batch.tier.name,
            tiers=self.tiers,
            pack_nos=(*(pack.pack_no for pack in used), recipes.pack_no),
            chunks=tuple(NewChunk(pack.pack_no, entry) for pack in used for entry in pack.summary.entries),
            files=tuple(
                StoredFile(
                    file_id=outgoing.wanted.row.file_id,
                    identity=outgoing.identity,
                    recipe=outgoing.recipe,
                    entry=self.recipe_entries[str(outgoing.recipe.recipe_id)],
                    pack_no=recipes.pack_no,
                    read_under_lease=outgoing.has_lease,
                )
                for outgoing in ready
            ),
            reason="; ".join(sorted({outgoing.wanted.reason for outgoing in ready} - {""}))[:500],
        )

    def abandon_if_failed(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Release the claims and doom the packs of a failed batch; what a dead catalog prevents, reconcile does."""
        if error is None or self.is_committed:
            return
        self.packer.close()  # no upload may land behind our back
        try:
            with self.ctx.catalog.write() as tx:
                _doom(tx, self.packer.journal, set(), self.op_id)
                journal.finish(tx, [item.op_id for item in self.claimed])
        except FrostlineError:
            pass  # the catalog is what failed; the first error says so


def _used_packs(data_packs: Iterable[UploadedPack], ready: Iterable[Outgoing]) -> list[UploadedPack]:
    """Return the packs that hold a chunk of a file to be committed."""
    wanted = {
        (part.fingerprint, part.digest)
        for outgoing in ready
        for part in outgoing.recipe.parts
        if isinstance(part, ChunkPart)
    }
    return [
        pack
        for pack in data_packs
        if any((entry.fingerprint, entry.digest) in wanted for entry in pack.summary.entries)
    ]


def _doom(tx: Tx, uploads: UploadJournal, live: set[int], op_id: str) -> None:
    """Doom the batch's packs that are not *live*: they are nobody's, and are never adopted."""
    sizes = [(pack_no, size) for pack_no, size in uploads.sizes.items() if pack_no not in live]
    if sizes:
        packs.doom_pending(tx, sizes, op_id=f"{op_id}:unused", reason="uploaded, then not needed")


def _lease_until(tx: Tx) -> int:
    return tx.now_ns + LEASE_S * NS_PER_S
