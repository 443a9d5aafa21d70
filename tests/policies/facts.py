"""Builds the facts, tiers and price book that the policy tests decide on."""

import json
from importlib.resources import files
from typing import Any

from policies.prices import PriceBook, parse_book
from policies.values import NS_PER_DAY, AccessQuality, FileFacts, FileIdentity, Residency, TierFacts

NOW_NS = 20_000 * NS_PER_DAY
GIB = 2**30

TIERS = {
    "hot": TierFacts("hot", 0, "gp3", nano_per_gib_month=80_000_000),
    "standard": TierFacts("standard", 1, "STANDARD"),
    "archive": TierFacts("archive", 2, "GLACIER", is_archive=True),
}


def book_data() -> dict[str, Any]:
    """Return the shipped book as parsed JSON, fresh for each caller to damage."""
    data: dict[str, Any] = json.loads((files("policies") / "data" / "aws-us-east-1.json").read_text())
    return data


def book() -> PriceBook:
    """Return the shipped book."""
    return parse_book(book_data())


def days(count: float) -> int:
    """Return a duration in ns."""
    return int(count * NS_PER_DAY)


def fact(
    path: str = "data/a.npy",
    *,
    size: int = GIB,
    written: float = 400,
    read: float | None = 400,
    quality: AccessQuality = AccessQuality.ATIME,
    **more: Any,
) -> FileFacts:
    """Return a regular file, written and read so many days ago."""
    folder, slash, name = path.rpartition("/")
    settings: dict[str, Any] = {
        "root": "work",
        "dir": (folder + slash).encode("utf-8", "surrogateescape"),
        "name": name.encode("utf-8", "surrogateescape"),
        "identity": FileIdentity(
            dev=1, ino=hash(path) % 2**40, size_bytes=size, mtime_ns=NOW_NS - days(written), ctime_ns=5
        ),
        "mode": 0o100644,
        "uid": 1000,
        "residency": Residency.REGULAR,
        "first_seen_ns": NOW_NS - days(500),
        "last_access_ns": None if read is None else NOW_NS - days(read),
        "access_quality": quality,
    }
    return FileFacts(**{**settings, **more})
