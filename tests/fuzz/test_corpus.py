"""What fuzzing found is replayed in every run; with atheris at hand, the heavy tests look for more."""

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
TARGETS = sorted(path.stem for path in (HERE / "targets").glob("*.py") if path.stem != "__init__")
FUZZED_S = 30


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_once_stays_mended(name: str) -> None:
    fuzz = importlib.import_module(f"tests.fuzz.targets.{name}").fuzz
    inputs = sorted((HERE / "corpus" / name).iterdir())

    assert inputs
    for path in inputs:
        fuzz(path.read_bytes())


@pytest.mark.heavy
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
@pytest.mark.parametrize("name", TARGETS)
def test_half_a_minute_of_fuzzing_finds_nothing(name: str, tmp_path: Path) -> None:
    limits = [f"-max_total_time={FUZZED_S}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=65536"]
    command = [sys.executable, "-m", "tests.fuzz.run", name, str(tmp_path), str(HERE / "corpus" / name)]
    found = subprocess.run([*command, *limits], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=300)

    assert found.returncode == 0, found.stderr[-4000:]
