"""Which object, and which state of it, in the words for files; which keys can be paths. Knows no store."""

from dedup.fingerprint import digest
from tiering.catalog.objects import ObjectFacts, etag_text
from tiering.catalog.values import FileRow, signed64
from tiering.clock import NS_PER_S
from tiering.hot.identity import Identity

PART_BYTES = 8 << 20
"""Of a long object, in one request: a request costs as much as reading 20 MB of a class that charges for reading, and
S3 advises 8 to 16 MB."""
LONGEST_NAME = 255


def identity_of(etag: str, size: int, modified_s: int) -> Identity:
    """Return what tells one state of an object from another, in the words for files; *etag* as S3 spells it."""
    stamp = digest(etag.strip('"').encode())
    at_ns = modified_s * NS_PER_S
    return Identity(0, int.from_bytes(stamp[:8], "big"), size, at_ns, at_ns)


def identity_of_facts(facts: ObjectFacts) -> Identity:
    """Return an object's state as the scan saw it."""
    return identity_of(etag_text(facts[3]), facts[1], facts[4])


def is_same(row: FileRow, identity: Identity) -> bool:
    """Return whether *row* was made from that state of the object."""
    of_row = (row.ino, row.size, row.mtime_ns)
    return of_row == (signed64(identity.ino), identity.size, identity.mtime_ns)


def key_fault(key: bytes) -> str:
    """Return why the part of a key below the prefix cannot be a path below a folder; "" if it can."""
    parts = key.split(b"/")
    if not parts[-1]:
        return "it stands for a folder"
    if any(part in {b"", b".", b".."} for part in parts) or b"\0" in key:
        return "its key is no path below a folder"
    if any(len(part) > LONGEST_NAME for part in parts):
        return "a part of its key is longer than a file's name can be"
    return ""
