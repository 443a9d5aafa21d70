"""Reads the chain of segments back from the store, in order, each one verified. Used by rebuild.

A number may have two objects (an upload given up for lost that landed): the one that its successor names is the
chain's, of the last number the one that holds more. What cannot be read is a gap: replay goes on after it, and
the report says up to which segment nothing is missing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from dedup.errors import DedupError
from dedup.segment import Segment, decode_segment
from tiering.errors import ObjectMissing, StoreError
from tiering.jobs.store_check import SEGMENT_PREFIX
from tiering.stores.base import ObjectInfo, Store


@dataclass(slots=True)
class Chain:
    """What was read so far."""

    complete_through: int = 0
    """Nothing before and including this number is missing."""
    last_number: int = 0
    last_hash: str = ""
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Found:
    """One segment and the object it stands in."""

    info: ObjectInfo
    segment: Segment


def read_chain(store: Store, chain: Chain) -> Iterator[Found]:
    """Yield the segments in the order of their numbers, keeping *chain* up to date. Raises StoreUnavailable,
    StoreDenied.
    """
    by_number = _listed(store, chain)
    for number in sorted(by_number):
        candidates = [found for info in by_number[number] if (found := _read(store, info, number, chain)) is not None]
        if not candidates:
            continue
        chosen = _chosen(store, candidates, by_number.get(number + 1, []), chain)
        follows = number == chain.last_number + 1 and chosen.segment.prev_hash == chain.last_hash
        if not follows:
            chain.problems.append(f"segment {number} does not follow segment {chain.last_number}: records are missing")
        elif chain.complete_through == number - 1:
            chain.complete_through = number
        chain.last_number, chain.last_hash = number, chosen.segment.hash
        yield chosen


def _listed(store: Store, chain: Chain) -> dict[int, list[ObjectInfo]]:
    by_number: dict[int, list[ObjectInfo]] = {}
    # Twice: what one listing leaves out is not lost.
    found = {info.key: info for _ in range(2) for info in store.list(SEGMENT_PREFIX)}
    for _, info in sorted(found.items()):
        text = info.key.removeprefix(SEGMENT_PREFIX).partition("-")[0]
        if text.isdigit():
            by_number.setdefault(int(text), []).append(info)
        else:
            chain.problems.append(f"{info.key} is no segment's name")
    return by_number


def _read(store: Store, info: ObjectInfo, number: int, chain: Chain) -> Found | None:
    try:
        segment = decode_segment(store.get(info.key))
    except (DedupError, ObjectMissing) as error:
        chain.problems.append(f"{info.key} cannot be read: {error}")
        return None
    if segment.number != number:
        chain.problems.append(f"{info.key} holds segment {segment.number}")
        return None
    return Found(info, segment)


def _chosen(store: Store, candidates: list[Found], after: list[ObjectInfo], chain: Chain) -> Found:
    if len(candidates) == 1:
        return candidates[0]
    named = set()
    for info in after:
        try:
            named.add(decode_segment(store.get(info.key)).prev_hash)
        except (DedupError, StoreError):
            continue
    fit = [found for found in candidates if found.segment.hash in named] or candidates
    chosen = max(fit, key=lambda found: len(found.segment.records))
    others = ", ".join(found.info.key for found in candidates if found is not chosen)
    chain.problems.append(f"segment {chosen.segment.number} exists twice; {others} is not of the chain")
    return chosen
