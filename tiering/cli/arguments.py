"""What people write for a moment or a stretch of a file; several commands take them.

Apart from those commands: one that only copies or shows must not load what the others do.
"""

import os
from datetime import UTC, datetime, timedelta

from dedup.values import Span
from tiering.clock import NS_PER_S
from tiering.config.quantities import parse_duration_ns, parse_size
from tiering.errors import UsageError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_deadline(text: str, now_ns: int) -> int:
    """Return the moment that *text* means, in ns: a duration from now, or a time. Raises UsageError."""
    try:
        return now_ns + parse_duration_ns(text)
    except ValueError:
        pass
    try:
        return parse_moment(text)
    except UsageError:
        raise UsageError(
            f'"{text}" is neither a duration nor a time', hint='write "12h", "2d" or 2026-01-31T08:00'
        ) from None


def parse_range(text: str) -> Span:
    """Return the bytes that OFFSET+LENGTH means, each a size: "0+4096", "1.5GiB+64MiB". Raises UsageError."""
    offset, plus, length = text.partition("+")
    try:
        span = Span(parse_size(offset or "?"), parse_size(length or "?"))
    except ValueError:
        span = Span(0, 0)
    if not plus or not span.length:
        raise UsageError(f'"{text}" is no range', hint='write OFFSET+LENGTH: "0+4096" or "1.5GiB+64MiB"')
    return span


def refuse_folder(path: str, command: str) -> None:
    """Raise UsageError if *path* is a folder on the disk: *command* is about one file."""
    if os.path.isdir(path):
        raise UsageError(f"{path} is a folder; {command} is about one file", hint="frostline ls, frostline restore")


def parse_moment(text: str) -> int:
    """Return the ns of an ISO 8601 time, UTC unless it names a zone. Raises UsageError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f'"{text}" is no time', hint="write 2026-01-31 or 2026-01-31T08:00 (UTC)") from None
    since_epoch = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH
    return since_epoch // timedelta(microseconds=1) * (NS_PER_S // 10**6)
