"""The pure part of promise P1: may the hot bytes of this file go, and if not, why not.

The facts are gathered by the release job right before the swap; this decides on them and on nothing else. Every
objection is listed, so that an operator sees at once all that stands in the way.
"""

from dataclasses import dataclass
from enum import StrEnum

from policies.amounts import say_time
from policies.values import NS_PER_DAY, NS_PER_S, Verdict


class Lease(StrEnum):
    """What became of asking for a lease on the file."""

    GRANTED = "granted"
    """No other process has it open for writing."""
    REFUSED = "refused"
    """Some process has."""
    UNAVAILABLE = "unavailable"
    """The file system or our rights do not allow leases: unknown who has it open."""


@dataclass(frozen=True, slots=True)
class SafetyParameters:
    """How much doubt a release may carry. The defaults are what P1 promises; nothing here weakens proof (a) to (d)."""

    without_lease_ns: int | None = None
    """Release where no lease can be had once the file has not changed for this long; None: never."""
    park_ns: int = 60 * NS_PER_S
    """How long the old inode stays parked before it is unlinked."""
    min_stored_ns: int = 0
    """How long a copy must have stood in the store before the hot bytes go."""


STRICT = SafetyParameters()
"""Local file systems: leases always."""
NETWORK = SafetyParameters(without_lease_ns=7 * NS_PER_DAY)
"""What a root says with release_without_lease = "7d"."""
PARANOID = SafetyParameters(min_stored_ns=NS_PER_DAY, park_ns=600 * NS_PER_S)
"""A day between the copy and the release: time for a second opinion (scrub)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFacts:
    """What is known of a file and its stored copy at the moment of release."""

    copy_is_current: bool
    """The catalog has a recipe for the file as it is: state dual, not pinned away, no other operation on it."""
    packs_are_proven: bool
    """(a) every chunk it needs is in a live pack whose upload was verified."""
    was_compared: bool
    """(b) the bytes uploaded were decoded and compared with the source before upload."""
    segment_is_durable: bool
    """(c) the recipe, and the segment that says so, are durable in the store."""
    catalog_is_committed: bool
    """(d) the catalog committed durably."""
    identity_is_unchanged: bool
    """(e) device, inode, size, mtime_ns and ctime_ns are those that were read."""
    lease: Lease
    digest_was_read_twice: bool = False
    """The whole file was read again and its digest agrees; needed without a lease."""
    unchanged_ns: int = 0
    """How long the file has not changed (now - the later of mtime and ctime)."""
    stored_ns_ago: int = 0
    all_names_are_known: bool = True
    """Every hard link lies under the roots and is part of the operation."""
    is_pinned: bool = False
    can_exchange: bool = True
    """The file system has RENAME_EXCHANGE."""


def release_verdict(facts: ReleaseFacts, parameters: SafetyParameters = STRICT) -> Verdict:
    """Return whether the hot bytes may go; if not, every reason why not."""
    objections = [*_unproven(facts), *_unsafe_now(facts), *_lease_objections(facts, parameters)]
    if facts.stored_ns_ago < parameters.min_stored_ns:
        waited, wanted = say_time(facts.stored_ns_ago), say_time(parameters.min_stored_ns)
        objections.append(f"its copy has stood in the store for {waited}, less than {wanted}")
    if objections:
        return Verdict(False, tuple(objections))
    held = "a lease proves that nobody has it open for writing"
    if facts.lease is Lease.UNAVAILABLE:
        held = f"no lease, but unchanged for {say_time(facts.unchanged_ns)} and read twice with one digest"
    return Verdict(True, (f"the copy is proven and recorded in the store; the file is the one that was read; {held}",))


def _unproven(facts: ReleaseFacts) -> list[str]:
    checks = (
        (facts.copy_is_current, "no stored copy of the file as it is now"),
        (facts.packs_are_proven, "a pack it needs is not proven to be stored"),
        (facts.was_compared, "the uploaded bytes were not decoded and compared with the source"),
        (facts.segment_is_durable, "the segment that records the copy is not durable in the store yet"),
        (facts.catalog_is_committed, "the catalog has not committed the copy"),
    )
    return [objection for holds, objection in checks if not holds]


def _unsafe_now(facts: ReleaseFacts) -> list[str]:
    checks = (
        (facts.identity_is_unchanged, "the file changed since it was read"),
        (facts.all_names_are_known, "another name of the same file lies outside the roots"),
        (not facts.is_pinned, "the file is pinned"),
        (facts.can_exchange, "the file system cannot exchange two names atomically (RENAME_EXCHANGE)"),
    )
    return [objection for holds, objection in checks if not holds]


def _lease_objections(facts: ReleaseFacts, parameters: SafetyParameters) -> list[str]:
    if facts.lease is Lease.GRANTED:
        return []
    if facts.lease is Lease.REFUSED:
        return ["another process has it open for writing"]
    if parameters.without_lease_ns is None:
        return ["no lease can be had here, so nobody can tell who has it open (see release_without_lease)"]
    objections: list[str] = []
    if facts.unchanged_ns < parameters.without_lease_ns:
        since, wanted = say_time(facts.unchanged_ns), say_time(parameters.without_lease_ns)
        objections.append(f"no lease can be had here, and it changed {since} ago, less than {wanted}")
    if not facts.digest_was_read_twice:
        objections.append("no lease can be had here, and its digest was not read twice")
    return objections
