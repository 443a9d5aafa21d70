"""Sizes, durations and schedules as people write them: "64MiB", "7d", "24h", "30 2 * * *".

Pure text to integers and back; pydantic calls the parsers, so a ValueError here becomes a sentence about the field.
"""

import importlib
import re
from typing import Annotated, Any

from pydantic import BeforeValidator

from tiering.clock import NS_PER_S

_SIZES = {"": 1, "b": 1} | {
    f"{letter}{suffix}": 1024**power
    for power, letter in enumerate("kmgt", start=1)
    for suffix in ("ib", "i")  # GiB is 2**30 everywhere; GB would be read as one or the other, so it is refused
}
_DURATIONS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")


def parse_size(value: Any) -> int:
    """Return bytes of "64MiB", "1.5 GiB", "512" or a whole number. Raises ValueError saying what was expected."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2].lower() not in _SIZES:
        raise ValueError('must be a size like "64MiB" or "1.5GiB"')
    return int(float(match[1]) * _SIZES[match[2].lower()])


def parse_duration_ns(value: Any) -> int:
    """Return ns of "90s", "15m", "12h", "7d" or "2w". Raises ValueError: negative, or without a unit (0 needs none)."""
    if isinstance(value, int) and not isinstance(value, bool) and value == 0:
        return 0
    if isinstance(value, str) and value.strip().startswith("-"):
        raise ValueError("must be positive")
    match = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2].lower() not in _DURATIONS:
        raise ValueError('must be a duration like "90s", "15m", "12h" or "7d"')
    return int(float(match[1]) * _DURATIONS[match[2].lower()] * NS_PER_S)


def parse_optional_duration_ns(value: Any) -> int | None:
    """Return ns, or None for the empty text, which switches the setting off."""
    return None if value is None or value == "" else parse_duration_ns(value)


def parse_schedule(value: Any) -> str:
    """Return the text of a schedule: a duration of a second or more, five cron fields, or "" for never."""
    if not isinstance(value, str):
        raise ValueError('must be a duration like "24h", five cron fields like "30 2 * * *", or "" for never')
    text = value.strip()
    if text and len(text.split()) == 5:
        # Loaded where it is needed: most configurations have intervals, and every command checks its configuration.
        cron = importlib.import_module("apscheduler.triggers.cron")
        cron.CronTrigger.from_crontab(text, timezone="UTC")  # raises ValueError naming the field
    elif text and parse_duration_ns(text) < NS_PER_S:
        raise ValueError("must be a second or more")
    return text


def say_duration(duration_ns: int) -> str:
    """Return the shortest spelling that parses back to the same time."""
    seconds = duration_ns / NS_PER_S
    for unit, length in sorted(_DURATIONS.items(), key=lambda item: -item[1]):
        if unit != "w" and seconds >= length and seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    return f"{seconds:g}s"


def say_size(size_bytes: int) -> str:
    """Return the shortest spelling that parses back to the same size."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        factor = _SIZES[unit.lower()]
        if size_bytes >= factor and size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return str(size_bytes)


Size = Annotated[int, BeforeValidator(parse_size)]
"""Bytes."""
Duration = Annotated[int, BeforeValidator(parse_duration_ns)]
"""Nanoseconds, >= 0."""
OptionalDuration = Annotated[int | None, BeforeValidator(parse_optional_duration_ns)]
"""Nanoseconds, or None when switched off."""
Schedule = Annotated[str, BeforeValidator(parse_schedule)]
"""Text of an interval or of five cron fields; "" is never."""
