"""Puts coded blocks into packs on a spool and packs into the store, while files are still being read.

Used by migrate, one Packer per batch. Disk use is bounded by SPOOLED_PACKS packs in the state folder, in files
without a name: a crash leaves nothing behind. Every pack has its pending row before its first byte is sent, under a
key with a nonce of that row: what a dead process uploaded is never taken for ours.
"""

import errno
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, cast

from dedup.codecs import Coded
from dedup.layout import PackKind
from dedup.pack import PackSummary, PackWriter
from dedup.references import Candidate
from dedup.values import ChunkPart, Digest, Fingerprint
from tiering.catalog import packs
from tiering.catalog.values import PendingPack
from tiering.direct import Appender
from tiering.errors import FrostlineError, NoSpace, ObjectExists
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.upload_choice import class_of_new_packs
from tiering.stores.checksum import Checksum
from tiering.stores.nameless import is_taken_over, open_nameless
from tiering.stores.verified import put_verified

# One being filled, two being uploaded, one waiting: config's catalog.state_dir promises room for four.
SPOOLED_PACKS = 4
UPLOADERS = 2
# One for the unit in hand, and the one before it, whose last blocks may still be being coded.
OPEN_PACKS = 2
# Of pack_bytes: a pack that holds this much of one unit is not filled up with another. Units cool one after the other,
# and what is mixed has to be torn apart then; below it, requests and overheads of a small object outweigh that.
UNIT_SHARE = 1 / 4
# A key is ours alone; another object under it is a store that lies, and a few new keys will show that.
KEY_ATTEMPTS = 3
FOLDERS: Mapping[PackKind, str] = {"data": "packs", "recipes": "recipes"}


@dataclass(frozen=True, slots=True)
class UploadedPack:
    """A pack that the store holds, verified, and whose row is pending."""

    pack_no: int
    summary: PackSummary


class Spool:
    """A nameless file that a pack is written to; keeps the checksum of what it was *given*, not of what it reads
    back.

    It is written past the page cache if the store at *url* takes it over; any other store reads it from there.
    """

    def __init__(self, folder: Path, url: str = "", writer: Executor | None = None) -> None:
        """Open a file in *folder*; see Appender for *writer*. Raises NoSpace, FrostlineError."""
        self.checksum = Checksum()
        self._past_cache: Appender | None = None
        try:
            self.file = open_nameless(folder)
        except OSError as error:
            raise _spool_error(error) from error
        if is_taken_over(folder, url):
            self._past_cache = Appender(self.file.fileno(), writer)

    def write(self, data: bytes) -> int:
        """Append. Raises NoSpace, FrostlineError, also for what was appended before."""
        self.checksum.update(data)
        view = memoryview(data)
        try:
            if self._past_cache is not None:
                self._past_cache.write(view)
                return len(data)
            while view:
                view = view[self.file.write(view) :]
        except OSError as error:
            raise _spool_error(error) from error
        return len(data)

    def rewind(self) -> BinaryIO:
        """Return the file at its beginning, to be written to no more: a local store takes it over.

        Raises NoSpace, FrostlineError: the last bytes may have been held back until now.
        """
        try:
            if self._past_cache is not None:
                self._past_cache.finish()
        except OSError as error:
            raise _spool_error(error) from error
        self.file.seek(0)
        return cast(BinaryIO, self.file)

    def close(self) -> None:
        """Give the file up, and its space unless a store took it over."""
        if self._past_cache is not None:
            self._past_cache.close()
        self.file.close()


def spool_folder(ctx: Context) -> Path:
    """Return the spool's folder, made if it is not there, closed to other users. Raises NoSpace, FrostlineError."""
    folder = Path(ctx.config.catalog.state_dir) / "spool"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _spool_error(error) from error
    return folder


@dataclass(slots=True)
class OpenPack:
    """A pack under construction."""

    spool: Spool
    writer: PackWriter

    @classmethod
    def begin(cls, folder: Path, kind: PackKind, url: str = "", writer: Executor | None = None) -> "OpenPack":
        """Start a pack of *kind* on a Spool(*folder*, *url*, *writer*). Raises NoSpace, FrostlineError."""
        spool = Spool(folder, url, writer)
        return cls(spool, PackWriter(cast(BinaryIO, spool), kind=kind))


class Packer:
    """Fills packs in the order coded blocks come, those of one unit (a checkpoint) together, and uploads them as they
    fill. Thread-safe.

    close() must be called; finish() first, if the packs are wanted.
    """

    def __init__(self, ctx: Context, tier: OpenTier) -> None:
        """Prepare to store blocks in *tier*; nothing is written before the first one."""
        self._ctx = ctx
        self._tier = tier
        self._storage_class = class_of_new_packs(ctx, tier)
        self._folder = spool_folder(ctx)
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(SPOOLED_PACKS)
        self._pool = ThreadPoolExecutor(UPLOADERS, thread_name_prefix="frostline-upload")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="frostline-spool")
        self._uploads: list[Future[UploadedPack | None]] = []
        self._open: dict[bytes, OpenPack] = {}
        """By unit, the one used last at the end."""
        self._failure: BaseException | None = None
        self.journal = UploadJournal()
        self.bases: dict[Digest, Fingerprint] = {}
        """What blocks are coded against: no index of the catalog leads from a digest to a chunk."""

    def add(
        self,
        coded: Coded,
        raw_len: int,
        chunks: Sequence[ChunkPart],
        base: Candidate | None = None,
        *,
        unit: bytes = b"",
    ) -> None:
        """Take one coded block; *base* is what it is coded against, *unit* names what it should share packs with.
        Blocks while SPOOLED_PACKS packs are in work.

        Raises NoSpace, and the first error of any upload: nothing more is taken then.
        """
        with self._lock:
            self._raise_failure()
            try:
                pack = self._pack_of(unit)
                if base is not None:
                    self.bases[base.digest] = base.fingerprint
                pack.writer.add_block(coded.codec, coded.payload, raw_len, chunks, base.digest if base else None)
                if pack.writer.size_bytes >= self._ctx.config.chunking.pack_bytes:
                    self._seal(unit)
            except BaseException as error:
                self._failure = self._failure or error  # a pack that missed a byte is worthless, and so is the batch
                raise

    def seal(self) -> None:
        """Begin to upload what is still open."""
        with self._lock:
            while self._open and self._failure is None:
                self._seal(next(iter(self._open)))

    def finish(self) -> list[UploadedPack]:
        """Upload what is still open and wait; return every pack, in the order they were sealed.

        Raises the first error of any upload, when all others have ended.
        """
        self.seal()
        done = [upload.result() for upload in self._uploads]
        self._raise_failure()
        return [pack for pack in done if pack is not None]

    def close(self) -> None:
        """Wait for the uploads under way, send no more, free the spool."""
        with self._lock:
            if self._failure is None:
                self._failure = _Closed()
            for pack in self._open.values():
                pack.spool.close()
            self._open.clear()
        self._pool.shutdown(wait=True)
        self._writer.shutdown(wait=True)

    def _pack_of(self, unit: bytes) -> OpenPack:
        """Return the pack to write to: the unit's own, one that holds little of another, or a new one."""
        pack = self._open.pop(unit, None)
        if pack is None and self._open:
            oldest = next(iter(self._open))
            if self._open[oldest].writer.size_bytes < UNIT_SHARE * self._ctx.config.chunking.pack_bytes:
                pack = self._open.pop(oldest)
            elif len(self._open) == OPEN_PACKS:
                self._seal(oldest)
        self._open[unit] = pack or self._begin()
        return self._open[unit]

    def _begin(self) -> OpenPack:
        self._slots.acquire()
        self._raise_failure()
        return OpenPack.begin(self._folder, "data", self._tier.store.url, self._writer)

    def _seal(self, unit: bytes) -> None:
        pack = self._open[unit]
        summary = pack.writer.finish()
        self._ctx.step("migrate.packed")
        del self._open[unit]
        self._uploads.append(self._pool.submit(self._upload, pack.spool, summary))

    def _upload(self, spool: Spool, summary: PackSummary) -> UploadedPack | None:
        try:
            if self._failure is not None:
                return None
            tier = replace(self._tier, storage_class=self._storage_class)
            uploaded = upload_pack(self._ctx, tier, spool, summary, kind="data", journal=self.journal)
            self._ctx.step("migrate.uploaded")
            return uploaded
        except BaseException as error:  # noqa: BLE001  # kept, and raised in the thread that waits
            self._failure = self._failure or error
            return None
        finally:
            spool.close()
            self._slots.release()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


class _Closed(RuntimeError):
    """A block was offered to a packer that is closed."""


@dataclass(slots=True)
class UploadJournal:
    """The pending rows that a batch has made: what must be doomed if it is given up. Thread-safe by single appends."""

    sizes: dict[int, int] = field(default_factory=dict)
    """pack_no -> bytes known to stand in the store, 0 while that is not known."""
    uploaded_bytes: int = 0


def upload_pack(
    ctx: Context, tier: OpenTier, spool: Spool, summary: PackSummary, *, kind: PackKind, journal: UploadJournal
) -> UploadedPack:
    """Write the pending row of a finished pack, then the object, proven; return both. Raises what the store raises."""
    checksum = spool.checksum.text()
    for _ in range(KEY_ATTEMPTS):
        key = pack_key(kind, summary.content_hash, secrets.token_hex(8))
        row = PendingPack(
            key=key,
            kind=kind,
            tier=tier.name,
            storage_class=tier.storage_class,
            size=summary.size_bytes,
            framing=summary.framing_bytes,
            checksum=checksum,
            owner=ctx.owner,
        )
        with ctx.catalog.write() as tx:
            pack_no = packs.add_pending(tx, row)
        journal.sizes[pack_no] = 0
        ctx.step("migrate.pending")
        if put_pack(tier, key, spool.rewind, summary.size_bytes, checksum):
            journal.sizes[pack_no] = summary.size_bytes
            journal.uploaded_bytes += summary.size_bytes
            return UploadedPack(pack_no, summary)
    raise ObjectExists(
        f"{tier.store.url} says of {KEY_ATTEMPTS} new keys that they are taken",
        now="nothing was committed; no file was released",
        hint="frostline doctor probes what the store really does",
    )


def pack_key(kind: PackKind, content_hash: str, nonce: str) -> str:
    """Return the key of a pack: its content's hash spreads keys evenly, the nonce makes it this row's alone."""
    return f"{FOLDERS[kind]}/{content_hash[:2]}/{content_hash[:32]}-{nonce}"


def is_named_by(key: str, content_hash: str) -> bool:
    """Return whether *content_hash* is the one in a pack's key."""
    return content_hash.startswith(key.rpartition("/")[2].partition("-")[0])


def put_pack(tier: OpenTier, key: str, body: Callable[[], BinaryIO], size_bytes: int, checksum: str) -> bool:
    """Upload; False if another object stands under the key. Our own, whose answer was lost, is adopted."""
    try:
        put_verified(
            tier.store,
            tier.capabilities,
            key,
            body(),
            size_bytes=size_bytes,
            checksum=checksum,
            storage_class=tier.storage_class,
        )
    except ObjectExists:
        info = tier.store.head(key)
        return (info.size_bytes, info.checksum) == (size_bytes, checksum)
    return True


def _spool_error(error: OSError) -> FrostlineError:
    """Return what trouble with the spool means: never a file's own trouble, so never an OSError."""
    now = "the files in work are as they were; what was committed before stays"
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return NoSpace(
            f"no room for packs under construction: {error.strerror}",
            now=now,
            hint="free space under catalog.state_dir, or lower chunking.pack_bytes",
        )
    return FrostlineError(
        f"packs under construction cannot be written: {error.strerror or error}",
        now=now,
        hint="check that catalog.state_dir is a writable folder of a sound disk",
    )
