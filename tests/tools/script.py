"""The modules of tools/restore.py, loaded as the script loads them: they are in no package."""

import importlib
import sys
from types import ModuleType

from tests.structure.sources import PROJECT

TOOLS = PROJECT / "tools"
SCRIPT = TOOLS / "restore.py"


def load(name: str) -> ModuleType:
    """Return restore_formats, restore_codecs or restore."""
    if str(TOOLS) not in sys.path:
        sys.path.append(str(TOOLS))
    return importlib.import_module(name)
