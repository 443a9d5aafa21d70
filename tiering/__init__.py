"""Acts on the world for frostline: stores, catalog, hot trees, jobs, command line and service.

Everything that reads a file, opens a socket, commits a row or prints a line lives below this package.
What should be done is decided by ``policies``; how bytes become chunks and back is known by ``dedup``.
Importing this package imports nothing else; ``tiering.open(path)`` reads a file wherever its bytes are.
"""

from importlib import import_module

TYPE_CHECKING = False  # as in typing, which takes as long to load as all that is loaded before Ctrl-C is answered
if TYPE_CHECKING:
    from typing import Any

_PUBLIC = {"open": ("tiering.reading.files", "open_file")}


def __getattr__(name: str) -> "Any":
    """Load what programs use when they use it."""
    if name in _PUBLIC:
        module, attribute = _PUBLIC[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'tiering' has no attribute {name!r}")
