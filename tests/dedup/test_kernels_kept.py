"""Kernels are compiled once for a machine, and what is kept of them is loaded without the compiler."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dedup.kernels import apart, kept
from dedup.kernels.machine import I64, VOID, array_in, compiled, inner, numbers_in, numbers_out, planes_of

SAY = """
import sys
from dedup.kernels.machine import I64, compiled, numbers_in

def total(values):
    found = 0
    for value in values:
        found += value
    return found

total.__module__ = "spelled.total"
run = compiled(total, I64, numbers_in())
import numpy
print(run(numpy.arange({upto})), "numba" in sys.modules)
"""


def said(folder: Path, upto: int = 10) -> list[str]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", SAY.format(upto=upto)], check=True, capture_output=True, text=True, env=environment
    )
    return done.stdout.split()


def test_what_was_compiled_once_needs_no_compiler(tmp_path: Path) -> None:
    folder = tmp_path / "made/anew"
    assert said(folder) == ["45", "True"]
    assert said(folder) == ["45", "False"]
    assert folder.stat().st_mode & 0o777 == 0o700
    (file,) = folder.iterdir()

    file.write_bytes(file.read_bytes()[:-100] + bytes(100))  # damaged: made again
    assert said(folder) == ["45", "True"]
    assert said(folder) == ["45", "False"]

    file.chmod(0o666)  # anybody could have written it
    assert said(folder)[1] == "True"


LOAD = "import sys; import dedup.kernels.bloom; print('numba' in sys.modules)"


@pytest.mark.parametrize(("folder", "stays"), [("made", "False"), ("/dev/null/nowhere", "True")])
def test_the_compiler_is_loaded_by_another_process_where_what_it_makes_can_be_kept(
    tmp_path: Path, folder: str, stays: str
) -> None:
    place = tmp_path / folder
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(place), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", LOAD], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == [stays]
    kept_names = sorted(path.name.partition("-")[0] for path in place.iterdir()) if place.is_dir() else []
    assert kept_names == (["bloom.add", "bloom.may_hold"] if stays == "False" else [])


def test_nothing_is_loaded_from_the_folder_that_somebody_stands_in(tmp_path: Path) -> None:
    for name in ("dedup", "pickle", "numba", "importlib"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'loaded')!r}, 'w').close()")
    folders = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "made"), "PYTHONPATH": folders}
    run = [sys.executable, "-P", "-c", LOAD]
    done = subprocess.run(run, check=True, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.stdout.split() == ["False"]
    assert not (tmp_path / "loaded").exists()


@inner
def _twice(value: int) -> int:
    return 2 * value


def _add(values: tuple[list[int], list[int]], out: list[int]) -> None:
    for number in range(len(out)):
        out[number] = _twice(values[0][number]) + values[1][number]


def test_a_loop_takes_tuples_of_arrays_and_calls_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    run = compiled(_add, VOID, planes_of(numbers_in(), 2), numbers_out())
    out = np.zeros(3, dtype=np.int64)
    run((np.array([1, 2, 3]), np.array([10, 20, 30])), out)
    assert out.tolist() == [12, 24, 36]


def test_one_process_compiles_all_and_a_dead_one_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert apart.compile_apart(_add, VOID, (planes_of(numbers_in(), 2), numbers_out()))
    (first,) = apart._running
    assert apart.compile_apart(_first, I64, (array_in(1),))
    assert apart._running == [first]
    first.process.kill()
    first.process.wait()
    assert apart.compile_apart(_first, I64, (numbers_in(),))
    assert apart._running != [first]
    assert len(list(tmp_path.iterdir())) == 3
    assert not apart.compile_apart(_allocates, I64, (numbers_in(),))


def test_arrays_of_another_kind_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    run = compiled(_add, VOID, planes_of(numbers_in(), 2), numbers_out())
    right, out = np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64)
    out.flags.writeable = False
    with pytest.raises(TypeError, match="only be read"):
        run((right, right), out)
    for wrong in (right.astype(np.int32), right.reshape(2, 2), np.zeros(8, dtype=np.int64)[::2]):
        with pytest.raises(TypeError, match="contiguous array of int64"):
            run((right, wrong), right.copy())


def _allocates(values: list[int]) -> int:
    return int(np.zeros(len(values)).sum())


def test_a_loop_that_allocates_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    with pytest.raises(ImportError, match="allocates"):
        compiled(_allocates, I64, numbers_in())


def _first(values: list[int]) -> int:
    return FACTOR * values[0]


FACTOR = 2


def test_another_constant_is_another_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    values = np.array([21], dtype=np.uint8)
    assert compiled(_first, I64, array_in(1))(values) == 42
    monkeypatch.setitem(globals(), "FACTOR", 3)
    assert compiled(_first, I64, array_in(1))(values) == 63


def test_nothing_is_kept_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/dev/null/nowhere")
    kept.store("x", kept.Object("symbol", b"code"))
    assert kept.load("x") is None


def test_what_is_kept_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    kept.store("x", kept.Object("symbol", b"code"))
    assert kept.load("x") == kept.Object("symbol", b"code")
    assert kept.load("y") is None


def test_a_file_in_the_place_of_another_counts_as_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    kept.store("x", kept.Object("symbol", b"code"))
    (tmp_path / "x.kernel").rename(tmp_path / "y.kernel")
    assert kept.load("y") is None
    os.mkfifo(tmp_path / "z.kernel")
    assert kept.load("z") is None
    (tmp_path / "folder.kernel").mkdir()
    assert kept.load("folder") is None
    (tmp_path / "link.kernel").symlink_to("/nowhere")
    assert kept.load("link") is None
    kept.store("link", kept.Object("symbol", b"code"))
    assert kept.load("link") == kept.Object("symbol", b"code")


def test_nothing_is_kept_below_the_folder_that_somebody_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert kept._folders()[1:] == [Path("/home/somebody/.cache/frostline")]
    monkeypatch.setenv("HOME", "somewhere")
    assert [folder.name for folder in kept._folders()] == ["__pycache__"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to write as another user")
def test_users_who_share_a_folder_do_not_replace_what_its_owner_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    kept.store("x", kept.Object("symbol", b"code"))
    (file,) = tmp_path.iterdir()
    before = file.read_bytes()
    os.chown(file, 1234, -1)
    os.chown(tmp_path, 1234, -1)
    assert kept.load("x") is None
    kept.store("x", kept.Object("symbol", b"other"))
    assert file.read_bytes() == before
    os.chown(tmp_path, os.geteuid(), -1)
    kept.store("x", kept.Object("symbol", b"other"))
    assert kept.load("x") == kept.Object("symbol", b"other")
    assert list(tmp_path.iterdir()) == [file]


FORK = """
import os
from dedup.kernels import apart, bloom
(one,) = apart._running
child = os.fork()
if not child:
    os._exit(len(apart._running))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), apart._running == [one], one.process.poll())
"""


def test_a_forked_process_does_not_take_our_answers(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", FORK], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["0", "True", "None"]
