"""Property tests try the same examples for the same code, whatever else is loaded; `make explore` tries new ones."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.structure.sources import PROJECT

PROPERTY = """
import os
from hypothesis import given, strategies as st
if os.environ["CONSTANTS"] == "loaded":
    import constants_of_ours

@given(st.integers(), st.text(max_size=5))
def test_drawn(number, text):
    print("drawn", ascii((number, text)))
"""


def drawn(folder: Path, profile: str, *, constants: str) -> list[str]:
    """Run the property in a session of its own and return what was drawn."""
    (folder / "test_property.py").write_text(PROPERTY)
    numbers = ", ".join(str(7_700_000_000_000 + number) for number in range(500))
    (folder / "constants_of_ours.py").write_text(f"NUMBERS = [{numbers}]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-c", "pyproject.toml", "-p", "tests.conftest"]
    ran = subprocess.run(
        [*command, "-p", "no:cacheprovider", f"--hypothesis-profile={profile}", str(folder / "test_property.py")],
        cwd=PROJECT,
        env={**os.environ, "CONSTANTS": constants, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = re.findall("drawn (.*)", ran.stdout)
    assert len(found) > 50
    return found


def test_the_suite_tries_the_same_examples_whatever_is_loaded(tmp_path: Path) -> None:
    assert drawn(tmp_path, "steady", constants="loaded") == drawn(tmp_path, "steady", constants="absent")


def test_exploring_tries_others_each_time(tmp_path: Path) -> None:
    assert drawn(tmp_path, "explore", constants="absent") != drawn(tmp_path, "explore", constants="absent")
