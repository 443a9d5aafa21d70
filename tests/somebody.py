"""Running Python as another user, who may not come to where ours is installed: it may stand in root's home."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

_LIBRARIES = "import blake3, numpy, numba, sqlalchemy, typer, zstandard"


def environment(packages: Path, home: Path | str) -> dict[str, str]:
    """Return the environment in which *packages* and our libraries are found, and that says no more than where home
    is.
    """
    libraries = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    return {
        "HOME": str(home),
        "PATH": os.defpath,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys([str(packages), *libraries])),
    }


def python_of(uid: int) -> str:
    """Return a Python of our version that user *uid* may run with our libraries; skip the test where there is none."""
    for python in (sys.executable, shutil.which(f"python3.{sys.version_info.minor}", path=os.defpath)):
        if python and _runs(python, uid):
            return python
    pytest.skip(f"no Python with our libraries that user {uid} may run")


def _runs(python: str, uid: int) -> bool:
    try:
        tried = subprocess.run(
            [python, "-c", _LIBRARIES],
            user=uid,
            group=uid,
            extra_groups=[],
            env=environment(Path("/"), "/nowhere"),
            cwd="/",
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return tried.returncode == 0
