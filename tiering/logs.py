"""What the daemon says: one line per event on stderr, key=value or JSON, which journald keeps.

Event names are constant, facts are fields. Commands do not log; they print and return.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from typing import TextIO

LOGGER = "frostline"
# journald reads a leading <N> as the priority of the line.
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class Log:
    """Writes events; cheap to pass around. Thread-safe, as logging is."""

    def __init__(self, logger: logging.Logger) -> None:
        """Write through *logger*."""
        self._logger = logger

    def info(self, event: str, **fields: object) -> None:
        """Note what happened."""
        self._logger.info(event, extra={"fields": fields})

    def warning(self, event: str, **fields: object) -> None:
        """Note what a person should look at."""
        self._logger.warning(event, extra={"fields": fields})

    def error(self, event: str, **fields: object) -> None:
        """Note what failed."""
        self._logger.error(event, extra={"fields": fields})

    def bug(self, event: str, error: BaseException, **fields: object) -> None:
        """Note what failed and was not foreseen, with its traceback."""
        self._logger.error(event, exc_info=error, extra={"fields": fields})


def open_log(*, level: str = "info", format: str = "text", stream: TextIO | None = None) -> Log:
    """Return a log on *stream* (stderr), replacing what an earlier call set up.

    Warnings of libraries go the same way, as events named `library`. Lines of text begin with their priority where
    nobody sits at a terminal, JSON where the journal reads it, which takes it off.
    """
    out = stream if stream is not None else sys.stderr
    handler = logging.StreamHandler(out)
    prefix = _is_journal(out) or (format != "json" and not out.isatty())
    handler.setFormatter((_Json if format == "json" else _Text)(with_priority=prefix))
    logger = logging.getLogger(LOGGER)
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
    others = logging.getLogger()
    others.handlers = [known for known in others.handlers if not isinstance(known, _OfLibraries)]
    others.addHandler(_OfLibraries(logger))
    # Of the scheduler the service hears by its events.
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    return Log(logger)


class _OfLibraries(logging.Handler):
    """Turns what a library says into one of our events."""

    def __init__(self, to: logging.Logger) -> None:
        super().__init__(logging.WARNING)
        self._to = to

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        fields = {"logger": record.name, "what": record.getMessage()}
        self._to.log(record.levelno, "library", exc_info=record.exc_info, extra={"fields": fields})


def _is_journal(out: TextIO) -> bool:
    """Return whether systemd connected *out* to the journal: it says so by device and inode (systemd.exec(5))."""
    try:
        status = os.fstat(out.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return False
    return os.environ.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields = getattr(record, "fields", {})
    return fields if isinstance(fields, Mapping) else {}


class _Text(logging.Formatter):
    """`<6>event key=value`; one line whatever the values hold."""

    def __init__(self, *, with_priority: bool) -> None:
        super().__init__()
        self._with_priority = with_priority

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        parts = [record.getMessage(), *(f"{key}={_plain(value)}" for key, value in _fields(record).items())]
        if record.exc_info:
            parts.append(f"traceback={_plain(self.formatException(record.exc_info))}")
        return _prefix(record, self._with_priority) + " ".join(parts)


class _Json(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, *, with_priority: bool) -> None:
        super().__init__()
        self._with_priority = with_priority

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        line = {"event": record.getMessage(), "level": record.levelname.lower(), **_fields(record)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _prefix(record, self._with_priority) + json.dumps(line, default=str)


def _prefix(record: logging.LogRecord, wanted: bool) -> str:
    return f"<{_PRIORITY.get(record.levelno, 6)}>" if wanted else ""


def _plain(value: object) -> str:
    text = str(value)
    needs_quotes = not text or any(char.isspace() or char in '"=' or not char.isprintable() for char in text)
    return json.dumps(text) if needs_quotes else text
