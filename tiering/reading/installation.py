"""An installation open for reading in this process, shared by every file that is open, and again in every fork.

Opened with the first stored file, closed at exit. What the stores were asked is booked then, and whenever a file is
closed after many requests.
"""

import atexit
import os
from contextlib import ExitStack
from threading import Lock

from tiering.app.open import open_context
from tiering.clock import SystemClock
from tiering.config import find_config, load_config
from tiering.errors import FrostlineError
from tiering.hot.placeholder import parse_target
from tiering.jobs.block_cache import BlockCache
from tiering.jobs.charges import charge
from tiering.jobs.context import Context
from tiering.jobs.random_access import open_stored
from tiering.jobs.stored_bytes import StoredBytes

CHARGED_FILES = 100
"""The ledger is written to once for so many files."""


class Installation:
    """What one configuration describes. Thread-safe; a forked child opens its own."""

    def __init__(self, config_path: str) -> None:
        """Remember where the configuration is; nothing is opened yet."""
        self.config_path = config_path
        self._lock = Lock()
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._stack = ExitStack()
        self._context: Context | None = None
        self._cache = BlockCache()
        self._files = 0

    def context(self) -> Context:
        """Return the open installation. Raises ConfigError and what opening raises."""
        with self._lock:
            if self._pid != os.getpid():
                # Connections of the parent's must be neither used nor closed here.
                self._stack.pop_all()
                self._begin()
            if self._context is None:
                config = load_config(self.config_path).config
                opened = open_context(config, clock=SystemClock(), check_owner=False, reason="read by a program")
                self._context = self._stack.enter_context(opened)
            return self._context

    def stored(self, path: str, *, asks: bool = False) -> StoredBytes:
        """Return the stored version of *path*. Raises as tiering.jobs.random_access.open_stored()."""
        return open_stored(self.context(), path, self._cache, asks=asks)

    def closed_one(self) -> None:
        """Note that a file was closed; now and then, book what was asked."""
        self._files += 1
        if self._files % CHARGED_FILES == 0 and self._context is not None:
            charge(self._context, reason="read by a program")

    def close(self) -> None:
        """Book what was asked and let go of the catalog. May be called twice."""
        with self._lock:
            if self._pid == os.getpid():
                try:
                    self._stack.close()
                finally:
                    self._begin()


_installations: dict[str, Installation] = {}
_lock = Lock()


def installation(config: str | None = None) -> Installation:
    """Return the installation of the configuration at *config*, or of the one that every command would use."""
    path = find_config(config)
    with _lock:
        return _installations.setdefault(path, Installation(path))


def is_placeholder(path: str) -> bool:
    """Return whether what stands at *path* is a placeholder of frostline's."""
    try:
        return parse_target(os.readlink(os.fsencode(path))) is not None
    except OSError:
        return False


@atexit.register
def _close_all() -> None:
    for one in _installations.values():
        try:
            one.close()
        except FrostlineError:
            pass  # at exit there is nobody to tell; audit --bill compares with what the provider says
