"""A restore that is killed leaves nothing that the next one into the same folder does not remove; a living one is
not disturbed by it.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.whole.site import Site
from tests.whole.tree import noise, text, write

LARGE = 6_000_000  # written in pieces


def contents(name: str) -> dict[str, bytes]:
    """New folders with a few small files in each, that are hidden as a whole; and files that are hidden themselves."""
    found = {f"{name}/{folder}/{number}": text(folder * 9 + number, 3000) for folder in range(6) for number in range(8)}
    found |= {f"{name}/deep/{'d/' * 30}file": noise(7, 2000)}
    return found | {f"{name}/large-{number}": noise(number, LARGE + number) for number in range(3)}


FILES = contents("a") | contents("b")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """An installation with all of FILES stored, in two folders."""
    made = Site(tmp_path_factory.mktemp("kill-restore") / "site")
    for path, data in FILES.items():
        write(os.fsencode(made.root / path), data)
    made.init()
    made.run("migrate", str(made.root), "--to", "standard", "--yes")
    return made


def start(site: Site, how: str, at: int, what: str, out: Path) -> "subprocess.Popen[str]":
    """Begin to restore the folder *what* of the root."""
    argv = [sys.executable, "-m", "tests.whole.mortal", how, str(at), "--config", str(site.config)]
    argv += ["restore", str(site.root / what), "--to", str(out)]
    return subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def touches(site: Site, what: str, out: Path) -> int:
    """Return how many moments there are."""
    process = start(site, "SIGKILL", 0, what, out)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 0, said
    return int(said.rpartition("touches: ")[2])


def seen(out: Path) -> dict[str, bytes]:
    """Every file that does not stand hidden, and is in no hidden folder."""
    found = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    return {path: data for path, data in found.items() if ".frostline-" not in path}


def hidden(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob(".frostline-*")}


def kill_and_repeat(site: Site, base: Path, at: int) -> int:
    """Kill a restore at touch *at*, and run it again; return how much it had left. One that touched less than another
    did, as threads happen to run, may be through by then.
    """
    out = base / f"out-{at}"
    (out / "root").mkdir(parents=True)
    mine = {out / "root/.frostline-new-mine": b"mine", out / ".frostline-restore-notes.txt": b"notes"}
    for path, data in mine.items():
        path.write_bytes(data)
    process = start(site, "SIGKILL", at, "", out)
    _, said = process.communicate(timeout=100)
    assert process.returncode in {-signal.SIGKILL, 0}, said
    wanted = {f"root/{path}": data for path, data in FILES.items()}
    assert seen(out).items() <= wanted.items(), "a file was shown that is not whole"
    own = {str(path.relative_to(out)) for path in mine}
    left = hidden(out) - own
    assert process.returncode or not left
    site.run("restore", str(site.root), "--to", str(out))
    assert seen(out) == wanted
    assert hidden(out) == own
    assert {path: path.read_bytes() for path in mine} == mine
    return len(left)


def test_what_a_killed_restore_left_the_next_one_removes(site: Site, tmp_path: Path) -> None:
    moments = touches(site, "", tmp_path / "out")
    assert moments > 20
    left = [kill_and_repeat(site, tmp_path, moments * part // 6) for part in range(1, 7)]
    assert max(left) > 3, "it was never killed while it had much under way"


@pytest.mark.heavy
def test_p4_a_restore_killed_at_every_touch(site: Site, tmp_path: Path) -> None:
    moments = touches(site, "", tmp_path / "out")
    for at in range(1, moments + 1, max(1, moments // 40)):
        kill_and_repeat(site, tmp_path, at)


def test_a_living_restore_into_the_same_folder_is_not_disturbed(site: Site, tmp_path: Path) -> None:
    out, moments = tmp_path / "out", touches(site, "a", tmp_path / "first")
    dead = start(site, "SIGKILL", moments * 3 // 4, "a", out)
    dead.communicate(timeout=100)
    assert dead.returncode == -signal.SIGKILL
    left = hidden(out)
    assert left
    living = start(site, "SIGSTOP", moments, "b", out)  # it removes what the dead one left first
    _, status = os.waitpid(living.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    under_way = hidden(out) - left
    assert len(under_way) > 1
    site.run("restore", str(site.root / "a"), "--to", str(out))
    assert hidden(out) == under_way, "what the dead one left is gone, and nothing else"
    living.send_signal(signal.SIGCONT)
    _, said = living.communicate(timeout=100)
    assert living.returncode == 0, said
    assert seen(out) == FILES
    assert hidden(out) == set()
