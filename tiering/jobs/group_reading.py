"""What readers of files and of objects do alike: group after group, and blocks coded on the way."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from dedup.blocks import CodedBlock, Gatherer, Newcomers, RawBlock, code
from dedup.errors import CorruptChunk
from tiering.errors import IntegrityError
from tiering.jobs.context import Context
from tiering.jobs.crew import Crew
from tiering.jobs.outgoing import SMALL_BYTES, BatchOutcome, Wanted


class GroupReader(Protocol):
    """Reads groups for one batch. Thread-safe."""

    @property
    def ctx(self) -> Context:
        """Has the clock and what stops the job."""

    @property
    def newcomers(self) -> Newcomers:
        """Which chunks are new."""

    @property
    def outcome(self) -> BatchOutcome:
        """Gets what is left."""

    @property
    def until_s(self) -> float:
        """On the monotonic clock: later than that no group is begun."""

    def read_small(self, group: Sequence[Wanted], gatherer: Gatherer, given_up: Callable[[], bool]) -> None:
        """Read small ones together."""

    def read_in_turn(self, group: Sequence[Wanted], gatherer: Gatherer, given_up: Callable[[], bool]) -> None:
        """Read long ones one after another."""


def read_groups(reader: GroupReader, crew: Crew[list[Wanted], RawBlock], groups: Iterable[list[Wanted]]) -> None:
    """Read groups until there are none, or time is up; one thread's work. Raises what ends the job."""
    gatherer = Gatherer(reader.newcomers, crew.offer)
    given_up = partial(getattr, crew, "has_failed")
    for group in groups:
        if is_over(reader):
            reader.outcome.left.extend(group)
            break
        if group[0].row.size > SMALL_BYTES:
            reader.read_in_turn(group, gatherer, given_up)
        else:
            reader.read_small(group, gatherer, given_up)
    if not crew.has_failed:
        gatherer.flush()


def is_over(reader: GroupReader) -> bool:
    """Tell whether nothing more is to be begun."""
    return reader.ctx.stop.is_set() or reader.ctx.clock.monotonic_s() >= reader.until_s


def coded(block: RawBlock, effort: str, *, untouched: str) -> CodedBlock | None:
    """Return a block coded, None where it is not needed any more. Raises IntegrityError; *untouched*: what it is of."""
    try:
        return code(block, effort=effort)
    except CorruptChunk as error:
        raise IntegrityError(
            str(error),
            now=f"nothing of this batch was committed; the {untouched} are untouched",
            hint="suspect this machine's memory or its zstandard library",
        ) from error
