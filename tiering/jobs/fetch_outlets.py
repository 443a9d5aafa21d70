"""Pieces of files, and of pages that have to be wrapped again, on their way to whoever writes them.

Used by tiering.jobs.fetch_plan and tiering.jobs.fetch. What a thread has decoded is gathered by files, and delivered
when it is some megabytes: one write instead of many, and many small files at once.
"""

from dataclasses import dataclass, field
from operator import itemgetter
from threading import Lock

from dedup.assemble import rewrapped
from dedup.errors import DedupError
from dedup.fingerprint import FileDigest
from dedup.values import ChunkPart, Digest, WrappedPart
from tiering.catalog.values import BlockPlace
from tiering.errors import IntegrityError
from tiering.jobs.fetch_order import DigestInOrder, Room
from tiering.jobs.fetch_sinks import Buffer, Given, Taking, Target, Whole, not_the_whole

Written = tuple[int, tuple[ChunkPart, ...], BlockPlace]
"""Given, without the bytes."""

_gathering = Lock()  # of files whose runs come from several threads; held for a few assignments


class Haul:
    """What one thread has decoded and not delivered yet."""

    __slots__ = ("_runs", "_taking", "held_bytes", "room", "wholes")

    def __init__(self, room: Room, taking: Taking) -> None:
        """Begin with nothing; *room* is shared by all threads."""
        self.room = room
        self.held_bytes = 0
        """What the blocks decode to of which something is here."""
        self._taking = taking
        self._runs: dict[Outlet, list[Given]] = {}
        self.wholes: list[Whole] = []
        """Proven files."""

    def add(self, outlet: "Outlet", given: Given) -> None:
        """Gather a run of a file."""
        self._runs.setdefault(outlet, []).append(given)

    def deliver(self) -> None:
        """Hand on all that was gathered."""
        runs, self._runs = self._runs, {}
        for outlet, found in runs.items():
            outlet.take(sorted(found), self)
        wholes, self.wholes = self.wholes, []
        if wholes:
            self._taking(wholes)
        self.held_bytes = 0


@dataclass(slots=True, eq=False)
class Outlet:
    """A file on its way: handed over whole where its runs come soon after one another, else written as they come."""

    target: Target
    size: int
    digest: Digest
    """Of the whole file."""
    waiting: int = 0
    """Runs and pages still to come."""
    gathered: list[Given] | None = None
    """What is here of a file that is handed over whole; None: it is written as it comes."""
    holes: tuple[tuple[int, int], ...] = ()
    """(offset, length)."""
    is_failed: bool = False
    _kept_bytes: int = 0
    """Room taken for what is gathered; that of a file that fails is not given back."""
    _order: DigestInOrder | None = None
    _written: list[Written] | None = None
    """What was written as it came."""

    def take(self, runs: list[Given], haul: Haul) -> None:
        """Take some runs, ascending; none of a file that has none."""
        try:
            whole, written = self._gather(runs, haul.room)
            if whole is not None:
                self._hand_over(whole, haul)
            elif written is not None:
                self._write(written, haul.room)
        except (OSError, IntegrityError) as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Pass on that the file cannot be had; what has come of it is let go."""
        with _gathering:
            self.is_failed = True
            self.gathered = self._order = self._written = None
        self.target.fail(error)

    def _hand_over(self, runs: list[Given], haul: Haul) -> None:
        """Give *haul* the whole file, made of *runs*. Raises IntegrityError where its digest is not what it must be."""
        if self._digest_of(runs) != self.digest:
            for run in runs:
                run.check()
            raise not_the_whole()
        haul.wholes.append((self.target, [(run.offset, run.data) for run in runs]))

    def _gather(self, runs: list[Given], room: Room) -> tuple[list[Given] | None, list[Given] | None]:
        """Return all runs of a file that is to be handed over now, or what is to be written now; or neither."""
        with _gathering:
            before = self.gathered
            if self.is_failed:
                return None, None
            if before is None:
                return None, runs
            self.waiting -= len(runs)
            kept = [] if self.waiting == 0 else self._keep(runs, room)
            if kept:
                before += kept
                return None, None
            self.gathered = None
            room.give_back(self._kept_bytes)
            found = sorted(before + runs)
            return (found, None) if self.waiting == 0 else (None, found)

    def _keep(self, runs: list[Given], room: Room) -> list[Given]:
        """Return *runs* as they may wait for the others, none where there is no room for them."""
        kept = []
        for run in runs:
            cost = room.keep(run)
            if cost >= 0:
                kept.append(run)
            elif room.take(cost := len(run.data)):
                kept.append(run._replace(data=bytes(run.data)))
            else:
                return []
            self._kept_bytes += cost
        return kept

    def _write(self, runs: list[Given], room: Room) -> None:
        if runs:
            self.target.write([(run.offset, run.data) for run in runs])
        with _gathering:
            if self.is_failed:
                return
            order = self._order = self._order or DigestInOrder(self.size, self.holes)
            written = self._written = self._written or []
            written += [(run.offset, run.parts, run.place) for run in runs]
        if order.add(runs, self.target.read, room):
            if order.digest() != self.digest:
                self._blame(written)
            self._order = self._written = None
            self.target.finish()

    def _blame(self, written: list[Written]) -> None:
        """Raise IntegrityError for the damaged chunk of a file that was written and is not what it must be."""
        for offset, parts, place in sorted(written, key=itemgetter(0)):
            data = memoryview(bytearray(sum(part.length for part in parts)))
            done = 0
            while done < len(data) and (count := self.target.read(data[done:], offset + done)) > 0:
                done += count
            Given(offset, data, parts, place).check()
        raise not_the_whole()

    def _digest_of(self, runs: list[Given]) -> Digest:
        whole, position = FileDigest(), 0
        for run in runs:
            whole.update_zeros(run.offset - position)
            whole.update(run.data)
            position = run.offset + len(run.data)
        whole.update_zeros(self.size - position)
        return whole.digest()


@dataclass(slots=True, eq=False)
class Page:
    """A wrapped part on its way: its plain form is gathered, then wrapped again and handed on."""

    part: WrappedPart
    offset: int
    """In the file."""
    outlet: Outlet
    is_apart: bool = False
    """Its chunks come in several tasks: it has one of its own, and what these bring is let go."""
    pieces: list[Given] = field(default_factory=list)

    def take(self, given: Given, haul: Haul) -> None:
        """Keep a confirmed chunk of the plain form; its offset is in that."""
        if self.is_apart:
            return
        self.pieces.append(given)
        if len(self.pieces) == len(self.part.inner):
            self.wrap([piece.data for piece in sorted(self.pieces)], given.place, haul)
            self.pieces = []

    def wrap(self, plain: list[Buffer], place: BlockPlace, haul: Haul) -> None:
        """Hand the file's bytes on, made of all chunks of the plain form in order."""
        try:
            data = rewrapped(self.part, plain[0] if len(plain) == 1 else b"".join(plain))
        except DedupError as error:
            self.outlet.fail(IntegrityError(f"a page cannot be wrapped again: {error}", hint="frostline scrub"))
            return
        haul.add(self.outlet, Given(self.offset, data, (), place))

    def fail(self, error: Exception) -> None:
        """Pass on that a chunk cannot be had."""
        if not self.is_apart:
            self.outlet.fail(error)


Sink = Outlet | Page
