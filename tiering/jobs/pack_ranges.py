"""What is needed of a pack, brought to the spool in a few ranged reads; kept there until what it is for is committed.

Used by tiering.jobs.rewriting. A file for each range, under the names of its pack and of its place: a process that died
after it read a range leaves it for the next one, and nothing is paid for twice. Bytes are proven by whoever decodes
them, not here; files of an earlier boot are not trusted.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dedup.values import Span
from tiering.catalog.values import BlockPlace, PackRow
from tiering.errors import NoSpace
from tiering.jobs.context import Context
from tiering.jobs.packing import spool_folder

RANGE_BYTES = 16 << 20
"""One request, held in memory once. A pack of 64 MiB takes four: $0.0000016 in STANDARD."""
GAP_BYTES = 64 << 10
"""Unwanted bytes that cost less than a request of their own."""
_PREFIX = "moving-"


def ranges_of(places: Iterable[BlockPlace]) -> list[Span]:
    """Return what to read so that all of *places*, of one pack, are there; ascending."""
    spans: list[Span] = []
    for place in sorted(places, key=lambda place: place.offset):
        end = place.offset + place.stored_len
        if spans and place.offset - spans[-1].end <= GAP_BYTES and end - spans[-1].start <= RANGE_BYTES:
            spans[-1] = Span(spans[-1].start, end - spans[-1].start)
        else:
            spans.append(Span(place.offset, place.stored_len))
    return spans


@dataclass(slots=True)
class Ranges:
    """Ranges of packs on the spool."""

    ctx: Context
    _held: dict[int, list[tuple[Span, Path]]] = field(default_factory=dict)
    """pack_no -> what is there of it."""

    def fetch(self, pack: PackRow, places: Iterable[BlockPlace]) -> int:
        """Bring what holds *places* of *pack* to the spool; return the requests that took. Raises what the store
        raises, NoSpace.
        """
        asked = 0
        held = self._held.setdefault(pack.pack_no, self._left(pack.pack_no))
        for span in ranges_of(place for place in places if self._file(place) is None):
            data = self.ctx.tier(pack.tier).store.get(pack.key, span)
            asked += 1
            path = self._path(pack.pack_no, span)
            _write(path, data)
            held.append((span, path))
            self.ctx.step("repack.read")
        return asked

    def payload(self, place: BlockPlace) -> bytes | None:
        """Return the coded bytes of a block, None where they are not on the spool."""
        found = self._file(place)
        if found is None:
            return None
        span, path = found
        with open(path, "rb") as file:
            file.seek(place.offset - span.start)
            return file.read(place.stored_len)

    def drop(self, pack_nos: Iterable[int]) -> None:
        """Give up what is there of these packs."""
        for number in pack_nos:
            for _, path in self._held.pop(number, ()):
                path.unlink(missing_ok=True)

    def _file(self, place: BlockPlace) -> tuple[Span, Path] | None:
        for span, path in self._held.get(place.pack_no, ()):
            if span.start <= place.offset and place.offset + place.stored_len <= span.end:
                return span, path
        return None

    def _left(self, pack_no: int) -> list[tuple[Span, Path]]:
        """Return what a dead process left of a pack."""
        found = []
        for path in sorted(spool_folder(self.ctx).glob(f"{_PREFIX}{_boot(self.ctx)}-{pack_no}-*")):
            start, _, end = path.name.split("-", 3)[3].partition("-")
            if start.isdigit() and end.isdigit() and path.stat().st_size == int(end) - int(start):
                found.append((Span(int(start), int(end) - int(start)), path))
        return found

    def _path(self, pack_no: int, span: Span) -> Path:
        return spool_folder(self.ctx) / f"{_PREFIX}{_boot(self.ctx)}-{pack_no}-{span.start}-{span.end}"


def tidy(ctx: Context) -> None:
    """Delete what dead processes left: nothing is wanted of it once all packs were looked at."""
    for path in spool_folder(ctx).glob(f"{_PREFIX}*"):
        path.unlink(missing_ok=True)


def _boot(ctx: Context) -> str:
    """Name this boot of this host, as the process' owner does."""
    parts = ctx.owner.split(":")
    return "".join(letter for letter in f"{parts[0]}{parts[2] if len(parts) > 2 else ''}" if letter.isalnum())


def _write(path: Path, data: bytes) -> None:
    """Write a file that is whole once it has its name; not fsynced: after a power cut it is not used."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data)
        os.rename(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise NoSpace(
            f"no room for what is to be rewritten: {error.strerror}",
            now="nothing was changed; every pack stands as it did",
            hint="free space under catalog.state_dir, or lower chunking.pack_bytes",
        ) from error
