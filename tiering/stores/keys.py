"""What a key may look like: a relative path that is the same in a bucket and in a directory, and leaves neither."""

from tiering.errors import StoreDenied

LONGEST_KEY_BYTES = 1024  # S3's limit, prefix included
LONGEST_NAME_BYTES = 255  # NAME_MAX of every local file system we write to
RESERVED = ".tmp"
"""First component under which a local store keeps what is not finished."""


def check_key(key: str) -> str:
    """Return *key* if it is safe; raises StoreDenied naming the reason.

    Refused: empty, absolute, with an empty, "." or ".." component, a NUL or a line break, a component over 255 bytes,
    over 1024 bytes in all, not encodable as UTF-8, or under the reserved ".tmp/".
    """
    reason = _fault(key)
    if reason:
        raise StoreDenied(
            f"the object key {key!r} {reason}",
            now="nothing was read or written",
            hint="if it came out of the store, run: frostline audit; see docs/runbook.md#audit-discrepancy",
        )
    return key


def _fault(key: str) -> str:
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return "cannot be written as UTF-8"
    parts = encoded.split(b"/")
    if not key or len(encoded) > LONGEST_KEY_BYTES:
        return f"is empty or longer than {LONGEST_KEY_BYTES} bytes"
    if any(part in {b"", b".", b".."} for part in parts):
        return 'is not a plain relative path (an empty, "." or ".." component)'
    if any(byte in encoded for byte in b"\0\n\r"):
        return "contains a NUL or a line break"
    if any(len(part) > LONGEST_NAME_BYTES for part in parts):
        return f"has a component longer than {LONGEST_NAME_BYTES} bytes"
    if key.split("/", maxsplit=1)[0] == RESERVED:
        return f"lies under the reserved {RESERVED}/"
    return ""
