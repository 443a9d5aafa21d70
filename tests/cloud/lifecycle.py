"""Lifecycle rules: read and refused as S3 does, and what is due of them at a moment.

Source: docs.aws.amazon.com, "Transitioning objects using Amazon S3 Lifecycle" (directions, 128 KiB, 30 days) and
"Lifecycle configuration elements" (midnights UTC).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree

from tests.cloud.answers import Refused
from tests.cloud.objects import StoredObject, midnight_after
from tiering.clock import NS_PER_DAY

LEAST_BYTES = 128 * 1024
"""Smaller objects do not change class unless the rule names sizes itself."""
_IA = frozenset({"STANDARD_IA", "ONEZONE_IA"})
_IA_DAYS = 30
_COLD = ("GLACIER", "DEEP_ARCHIVE")
WATERFALL = {
    "STANDARD": frozenset({"STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", *_COLD}),
    "STANDARD_IA": frozenset({"INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", *_COLD}),
    "INTELLIGENT_TIERING": frozenset({"ONEZONE_IA", "GLACIER_IR", *_COLD}),
    "ONEZONE_IA": frozenset(_COLD),
    "GLACIER_IR": frozenset(_COLD),
    "GLACIER": frozenset({"DEEP_ARCHIVE"}),
    "DEEP_ARCHIVE": frozenset[str](),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One enabled rule."""

    prefix: str = ""
    larger_than: int | None = None
    smaller_than: int | None = None
    transitions: tuple[tuple[int, str], ...] = ()
    """(days, class)."""
    noncurrent_transitions: tuple[tuple[int, str], ...] = ()
    expiration_days: int | None = None
    noncurrent_days: int | None = None
    """After which old versions go."""
    abort_days: int | None = None

    def covers(self, key: str, size: int) -> bool:
        """Whether it is about that object."""
        is_large = self.larger_than is None or size > self.larger_than
        return key.startswith(self.prefix) and is_large and (self.smaller_than is None or size < self.smaller_than)

    def moves(self, size: int) -> bool:
        """Whether an object is large enough to change class."""
        return size >= LEAST_BYTES or self.larger_than is not None or self.smaller_than is not None


@dataclass(frozen=True, slots=True)
class Due:
    """What happens to an object, and when."""

    at_ns: int
    storage_class: str
    """To which it goes; "" when it is deleted."""


def parse(body: bytes) -> tuple[Rule, ...]:
    """Return the enabled rules of a configuration; refuses what S3 does."""
    root = ElementTree.fromstring(body)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    rules = [_rule(element) for element in root.iter("Rule")]
    for rule in rules:
        _check(rule.transitions, rule.expiration_days)
        _check(rule.noncurrent_transitions, rule.noncurrent_days)
    return tuple(rule for rule, element in zip(rules, root.iter("Rule"), strict=True) if _is_on(element))


def due(rules: Sequence[Rule], key: str, stored: StoredObject) -> Due | None:
    """Return what happens to an object next; None for nothing. Of two at once the deletion, then the colder class."""
    found = sorted(_all_due(rules, key, stored), key=lambda it: (it.at_ns, bool(it.storage_class), _depth(it)))
    return found[0] if found else None


def _all_due(rules: Sequence[Rule], key: str, stored: StoredObject) -> Iterator[Due]:
    since_ns = stored.noncurrent_ns or stored.created_ns
    for rule in rules:
        if not rule.covers(key, stored.size):
            continue
        ends = rule.noncurrent_days if stored.noncurrent_ns else rule.expiration_days
        if ends is not None:
            yield Due(midnight_after(since_ns + ends * NS_PER_DAY), "")
        for days, target in rule.noncurrent_transitions if stored.noncurrent_ns else rule.transitions:
            if target in WATERFALL.get(stored.storage_class, ()) and rule.moves(stored.size):
                yield Due(midnight_after(since_ns + days * NS_PER_DAY), target)


def _depth(due: Due) -> int:
    return -len(WATERFALL) if not due.storage_class else -list(WATERFALL).index(due.storage_class)


def _is_on(element: ElementTree.Element) -> bool:
    return element.findtext("Status") == "Enabled"


def _rule(element: ElementTree.Element) -> Rule:
    def number(path: str) -> int | None:
        found = next(iter(element.iterfind(f".//{path}")), None)
        return None if found is None or found.text is None else int(found.text)

    prefix = next((found.text or "" for found in element.iter("Prefix")), "")
    moves = [(int(it.findtext("Days") or 0), it.findtext("StorageClass") or "") for it in element.iter("Transition")]
    noncurrent = [
        (int(it.findtext("NoncurrentDays") or 0), it.findtext("StorageClass") or "")
        for it in element.iter("NoncurrentVersionTransition")
    ]
    return Rule(
        prefix=prefix,
        larger_than=number("ObjectSizeGreaterThan"),
        smaller_than=number("ObjectSizeLessThan"),
        transitions=tuple(sorted(moves)),
        noncurrent_transitions=tuple(sorted(noncurrent)),
        expiration_days=number("Expiration/Days"),
        noncurrent_days=number("NoncurrentVersionExpiration/NoncurrentDays"),
        abort_days=number("AbortIncompleteMultipartUpload/DaysAfterInitiation"),
    )


def _check(moves: Sequence[tuple[int, str]], ends: int | None) -> None:
    """Refuse classes that are named twice, days too few, and the wrong way down."""
    names = [name for _, name in moves]
    if len(set(names)) < len(names):
        raise Refused("InvalidRequest", "'StorageClass' must be different for 'Transition' actions in same 'Rule'")
    for days, name in moves:
        if name in _IA and days < _IA_DAYS:
            said = f"'Days' in Transition action must be greater than or equal to 30 for storageClass '{name}'"
            raise Refused("InvalidArgument", said)
        if ends is not None and ends <= days:
            said = "'Days' in the Expiration action must be greater than 'Days' in the Transition action"
            raise Refused("InvalidArgument", said)
    for (days, name), (later, colder) in pairwise(moves):
        least = days + (_IA_DAYS if name in _IA else 0)
        if colder not in WATERFALL.get(name, ()) or later < least:
            said = f"'Days' in the Transition action for StorageClass '{colder}' must be more than for '{name}'"
            raise Refused("InvalidArgument", said)
