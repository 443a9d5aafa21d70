"""What is known of archive classes, and the check that an object can be read before anybody tries.

Used by the providers (to say how readable an object is) and by whoever fetches packs.
"""

from tiering.errors import ObjectArchived
from tiering.stores.base import Capabilities, ObjectInfo, Readability, Store

ARCHIVE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""S3 classes that must be restored before reading. GLACIER_IR reads at once and is not one of them."""

SPEEDS = ("bulk", "standard", "expedited")
"""Retrieval speeds, slowest and cheapest first."""

# Upper ends of S3's documented restore times; docs.aws.amazon.com, "Understanding archive retrieval options".
RESTORE_HOURS = {
    ("GLACIER", "expedited"): 5 / 60,
    ("GLACIER", "standard"): 5.0,
    ("GLACIER", "bulk"): 12.0,
    ("DEEP_ARCHIVE", "standard"): 12.0,
    ("DEEP_ARCHIVE", "bulk"): 48.0,
    # Of an object that its bucket archived by itself; nobody says in which of the two archive tiers it is.
    ("INTELLIGENT_TIERING", "standard"): 12.0,
    ("INTELLIGENT_TIERING", "bulk"): 48.0,
}
_WITHOUT_EXPEDITED = frozenset(
    {"DEEP_ARCHIVE", "INTELLIGENT_TIERING"}
)  # the latter's deep archive access tier has none


def restore_hours(storage_class: str, speed: str) -> float:
    """Return the documented upper bound in hours; 0 for instant classes.

    Where there is no expedited speed, standard is what such a request becomes.
    """
    return RESTORE_HOURS.get((storage_class, offered_speed(storage_class, speed)), 0.0)


def offered_speed(storage_class: str, speed: str) -> str:
    """Return *speed*, or the nearest one that *storage_class* offers."""
    return "standard" if storage_class in _WITHOUT_EXPEDITED and speed == "expedited" else speed


def is_readable(info: ObjectInfo, capabilities: Capabilities) -> bool:
    """Return whether a get() of this object succeeds *and is right*.

    A store without restores (capabilities.archives is false) keeps the name of an archive class only as a label.
    """
    return not capabilities.archives or info.readability in {Readability.INSTANT, Readability.WARM}


def ensure_readable(store: Store, key: str, capabilities: Capabilities) -> ObjectInfo:
    """Return head() of *key* if it can be read now. Raises ObjectArchived, ObjectMissing.

    Ask this before get() of a pack of an archive tier: some servers answer a get while the restore is still under way.
    """
    info = store.head(key)
    if is_readable(info, capabilities):
        return info
    raise archived(store.url, key, info.readability)


def archived(url: str, key: str, readability: Readability) -> ObjectArchived:
    """Return the error for an object that has to be restored first."""
    warming = readability is Readability.WARMING
    return ObjectArchived(
        f"{key} in {url} is archived",
        now="a restore is under way" if warming else "no readable copy exists and none has been asked for",
        hint="run: frostline recall PATH; it opens a ticket that the daemon completes when the restore is through",
    )
