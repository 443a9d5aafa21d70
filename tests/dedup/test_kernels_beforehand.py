"""Kernels that are compiled when frostline is set up are there when the first file is read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dedup.kernels import beforehand, kept
from tiering.app.kernels import compile_once

ALL = """
import importlib, sys
from dedup.kernels import beforehand
for name in [f"dedup.kernels.{name}" for name in beforehand._MODULES] + sys.argv[1:]:
    module = importlib.import_module(name)
    for which in getattr(module, "EVERY", ()):
        module.prepare(*which)
print("numba" in sys.modules)
"""
ROOMS = ("tiering.hot.native_reads", "tiering.hot.native_writes", "tiering.hot.native_looks")


@pytest.fixture
def nothing_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "not/made"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder))
    return folder


def test_what_is_named_is_compiled_and_kept(nothing_kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beforehand, "_MODULES", ("bloom",))
    said: list[str] = []
    monkeypatch.setattr("tiering.app.kernels._ROOMS", ("dedup.kernels.planes",))
    compile_once(said.append)
    assert len(said) == 1
    names = {path.name.partition("-")[0] for path in nothing_kept.iterdir()}
    assert names == {
        "every",
        "bloom.add",
        "bloom.may_hold",
        *(f"planes.{way}{width}" for way in ("split", "join") for width in (2, 4, 8)),
    }
    compile_once(said.append)
    assert len(said) == 1
    monkeypatch.setattr(beforehand, "_MODULES", ("gear",))  # as another version would
    assert beforehand.is_missing(())


def test_what_cannot_be_compiled_is_told_and_left(nothing_kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beforehand, "_MODULES", ("nowhere",))
    monkeypatch.setattr("tiering.app.kernels._ROOMS", ())
    said: list[str] = []
    compile_once(said.append)
    assert len(said) == 2
    monkeypatch.setattr(sys, "executable", "/dev/null/python")
    compile_once(said.append)
    assert said[-1].startswith("not compiled: ")


def test_where_nothing_can_be_kept_nothing_is_compiled_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/dev/null/nowhere")
    assert not kept.can_be()
    said: list[str] = []
    compile_once(said.append)
    assert said == []


@pytest.mark.heavy
def test_nothing_is_left_to_be_compiled(nothing_kept: Path) -> None:
    assert beforehand.compile_every(ROOMS, 2)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", ALL, *ROOMS], check=True, capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == "False"
