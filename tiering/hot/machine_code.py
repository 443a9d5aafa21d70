"""The rooms of machine code, loaded when first asked for, where this machine has them.

Used by what reads, looks at and makes many files at once, each of which can do without.
"""

import importlib
from functools import cache
from typing import Any


@cache
def room(name: str) -> Any:
    """Return tiering.hot.*name*; None where there is no compiler for this machine, or its C library is another one."""
    try:
        return importlib.import_module(f"tiering.hot.{name}")
    except ImportError:
        return None
