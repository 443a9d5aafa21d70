"""The errors that every provider words alike: what failed on which object, how things stand, what to do next."""

from dedup.values import Span
from tiering.errors import ChecksumRefused, IntegrityError, ObjectExists, ObjectMissing, StoreUnavailable


def missing(url: str, key: str) -> ObjectMissing:
    """Return the error for a key under which nothing stands."""
    return ObjectMissing(
        f"{key} is not in {url}",
        now="nothing was changed",
        hint="if it should be there, run: frostline audit; see docs/runbook.md#corrupt-pack",
    )


def other_version(url: str, key: str) -> ObjectExists:
    """Return the error for a conditional delete that met another version."""
    return ObjectExists(f"{key} in {url} is no longer the version that was to be deleted", now="nothing was deleted")


def too_short(url: str, key: str, span: Span, size_bytes: int) -> IntegrityError:
    """Return the error for a span that the stored object does not have."""
    return IntegrityError(
        f"{key} in {url} has {size_bytes} bytes, but bytes {span.start} to {span.end} were stored in it",
        now="nothing was changed; other objects are not affected",
        hint="run: frostline scrub; see docs/runbook.md#corrupt-pack",
    )


def cut_off(url: str, key: str, *, expected: int, received: int) -> StoreUnavailable:
    """Return the error for an answer that ended before its announced length."""
    return StoreUnavailable(
        f"reading {key} from {url} ended after {received} of {expected} bytes",
        now="nothing was changed",
        hint="try again; if it persists, check the network to the store",
    )


def cut_short(url: str, key: str, *, size_bytes: int, missing_bytes: int) -> ChecksumRefused:
    """Return the error for a body that ends before the size it was announced with."""
    return ChecksumRefused(
        f"{key} was to be {size_bytes} bytes, {missing_bytes} of them are missing from what was to be sent to {url}",
        now="nothing was stored under that key",
        hint="run the command again; the file in the spool was cut short",
    )
