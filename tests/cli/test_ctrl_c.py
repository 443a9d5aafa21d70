"""Ctrl-C at any moment ends a command with 130 and a sentence: while Python loads what it needs, and where a library
swallows it; what has ended already keeps its code.
"""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_dispatch import CRASH
from tests.whole.site import Site
from tests.whole.tree import write
from tiering.cli import INTERRUPTED

# Sends SIGINT as import number AT begins, of those after the command line's own first lines; 0 never comes.
_AT_IMPORT = """
import os, signal, sys
from itertools import count
from tiering.cli import main

numbers, at = count(1), int(sys.argv[1])

def loads(event, args):
    if event == "import" and next(numbers) == at:
        os.kill(os.getpid(), signal.SIGINT)

sys.addaudithook(loads)
try:
    main(sys.argv[2:])
finally:
    print("imports:", next(numbers) - 1, file=sys.stderr)
"""
# The same before it gives a file its name.
_AT_RENAME = """
import os, signal, sys
from tiering.cli import main

sys.addaudithook(lambda event, args: os.kill(os.getpid(), signal.SIGINT) if event == "os.rename" else None)
main(sys.argv[1:])
"""
WORDS = ["--help", "status", "plan", "migrate", "restore"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    made = Site(tmp_path_factory.mktemp("ctrl-c") / "site")
    write(bytes(made.root) + b"/file", b"data")
    made.init()
    made.run("migrate", str(made.root), "--to", "standard", "--yes")
    return made


def run(code: str, *args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=False)


def at_import(site: Site, at: int, word: str, out: Path) -> "subprocess.CompletedProcess[str]":
    options = {
        "--help": [],
        "migrate": [str(site.root), "--to", "standard", "--yes"],
        "restore": [str(site.root), "--to", str(out)],
    }
    return run(_AT_IMPORT, str(at), "--config", str(site.config), word, *options.get(word, []))


@pytest.mark.parametrize("word", WORDS)
def test_while_modules_are_loaded(site: Site, tmp_path: Path, word: str) -> None:
    whole = at_import(site, 0, word, tmp_path / "out")
    assert whole.returncode == 0, whole.stderr
    imports = int(whole.stderr.rpartition("imports: ")[2])
    assert imports > 50
    for at in (1, imports // 8, imports // 3, imports * 2 // 3, imports * 9 // 10):
        done = at_import(site, at, word, tmp_path / f"out-{at}")
        assert done.returncode == INTERRUPTED, (at, done.stderr)
        assert "Traceback" not in done.stderr
        assert "goes on where it stopped" in done.stderr, at


def test_no_half_of_a_plan_is_left_beside_it(site: Site, tmp_path: Path) -> None:
    done = run(_AT_RENAME, "--config", str(site.config), "plan", "--save", str(tmp_path / "plan.json"))
    assert done.returncode == INTERRUPTED, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["swallow", "lose", "unraisable", "interrupt"])
def test_where_a_library_does_not_pass_it_on(how: str) -> None:
    done = run(CRASH, "crash", "--how", how)
    assert done.returncode == INTERRUPTED, done.stderr
    assert done.stderr.startswith("interrupted")
    assert "Traceback" not in done.stderr


def test_once_more_ends_it_at_once() -> None:
    done = run(CRASH, "crash", "--how", "twice")
    assert (done.returncode, done.stdout) == (INTERRUPTED, "")
    assert done.stderr.startswith("interrupted")


def test_what_is_done_keeps_its_code_and_what_it_said() -> None:
    done = run(CRASH, "crash", "--how", "ending")
    assert (done.returncode, done.stdout, done.stderr) == (3, "done\n", "")


def test_who_starts_it_with_ctrl_c_ignored_is_heeded() -> None:
    """As a shell does for what it starts in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = run(CRASH, "crash", "--how", "unraisable")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (done.returncode, done.stderr) == (0, "")
