"""One thing that doctor looked at."""

from dataclasses import dataclass
from enum import StrEnum


class Weight(StrEnum):
    """How much a finding matters."""

    GOOD = "good"
    """As it should be; listed so that one sees it was looked at."""
    NOTE = "note"
    """Works, and could be better."""
    BAD = "bad"
    """Something will not work, or does not."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    weight: Weight
    what: str
    do: str = ""
    """What mends it."""
