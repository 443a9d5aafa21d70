"""P4: SIGKILL at any moment of a migration or a recall loses nothing, books nothing twice and leaves no debris."""

import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.whole.models import checkpoint, lines
from tests.whole.site import OK, SKIPPED, Site, kill
from tests.whole.tree import Seen, differences, noise, snapshot, text, write

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "restore.py"


def working_tree(root: Path, *, big: int, small: int) -> None:
    """Several megabytes in files of all sizes, so that a kill lands inside reading, packing, uploading and swapping."""
    top = os.fsencode(root)
    for i in range(big):
        write(top + b"/big/%02d.bin" % i, noise(i // 2, 3_000_000) + text(i, 500_000))
    for i in range(small):
        write(top + b"/small/%03d.txt" % i, text(i, 200 + 97 * i % 30_000))


def read_back(site: Site, before: dict[bytes, Seen]) -> None:
    """Every file is at its path with its bytes, or its placeholder's recipe yields them through `restore`."""
    now = snapshot(site.root)
    copies = site.base / "copies"
    site.run("restore", str(site.root), "--to", str(copies))
    restored = {
        os.path.basename(path): seen for path, seen in snapshot(copies).items()
    }  # names are unique in this tree
    for path, seen in before.items():
        if seen.kind == "file":
            assert path in now, f"{path!r} is gone"
            found = now[path] if now[path].kind == "file" else restored[os.path.basename(path)]
            assert found.digest == seen.digest, path
    shutil.rmtree(copies, ignore_errors=True)
    hidden = [path for path in now if b".frostline-" in path]
    assert hidden == [], hidden


def untimed(seen: dict[bytes, Seen]) -> dict[bytes, Seen]:
    """Without the folders' times: a kill in the microseconds between a swap and putting a folder's mtime back leaves
    it moved, and nobody can tell afterwards whether a user moved it (docs/design.md section 8)."""
    return {path: replace(one, mtime_ns=0) if one.kind == "folder" else one for path, one in seen.items()}


def debris(site: Site) -> list[str]:
    """Objects in the store that no live row of the books explains, after gc with no grace."""
    site.run("gc", "--yes")
    seen = site.audit()
    assert seen["dead_bytes"] == 0, seen
    return [str(path) for path in site.store_dir.rglob("*") if path.is_file() and ".tmp" in path.parts]


def torment(site: Site, *, rounds: int, seed: int) -> None:
    """Kill alternating migrations and recalls at random moments; check after every kill."""
    working_tree(site.root, big=10, small=120)
    site.init()
    before = snapshot(site.root)
    rng = random.Random(seed)
    for turn in range(rounds):
        if turn % 2 == 0:
            process = site.start("migrate", str(site.root), "--to", "standard", "--release", "--yes")
        else:
            process = site.start("recall", str(site.root))
        try:
            process.wait(timeout=rng.uniform(0.3, 4.0))
        except subprocess.TimeoutExpired:
            pass
        kill(process)
        # What a restart does first: finish or undo what the dead process left.
        site.run("reconcile", expect=(OK, SKIPPED))
        site.audit()
        if turn % 5 == 4:
            read_back(site, before)
    site.json("recall", str(site.root))
    assert differences(untimed(before), untimed(snapshot(site.root))) == []
    assert debris(site) == []


def test_p4_killed_at_random_moments_nothing_is_lost_or_booked_twice(tmp_path: Path) -> None:
    torment(Site(tmp_path / "site"), rounds=6, seed=4)


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_p4_killed_at_fifty_random_moments(tmp_path: Path) -> None:
    torment(Site(tmp_path / "site"), rounds=50, seed=50)


def torment_series(site: Site, *, rounds: int, seed: int) -> None:
    """Save checkpoint after checkpoint, and kill what stores them, codes the older ones again, collects and rewrites;
    in the end every one of them comes back, by the program and by the script.
    """
    site.init()
    site.set("keep_days", "0")
    rng = random.Random(seed)
    saved: dict[bytes, bytes] = {}
    for turn in range(rounds):
        name = b"run/model_%05d.safetensors" % (turn + 1)
        saved[name] = checkpoint(1, rng.randrange(5))
        write(os.path.join(os.fsencode(site.root), name), saved[name])
        write(os.fsencode(site.root) + b"/log.jsonl", lines(turn))
        site.run("scan")  # an audit asks for one where a file changed, and a slow machine is killed before its own
        for command in (("migrate", str(site.root), "--to", "standard", "--yes"), ("gc", "--yes")):
            process = site.start(*command)
            try:
                process.wait(timeout=rng.uniform(0.8, 4.0))
            except subprocess.TimeoutExpired:
                pass
            kill(process)
            site.run("reconcile", expect=(OK, SKIPPED))
            site.audit()
    site.run("migrate", str(site.root), "--to", "standard", "--release", "--yes", expect=(OK, SKIPPED))
    for _ in range(3):  # doomed, gone; rewritten, doomed; gone
        site.run("gc", "--yes")
    site.audit()
    site.run("restore", str(site.root), "--to", str(site.base / "copies"))
    script = [sys.executable, str(SCRIPT), str(site.store_dir), str(site.base / "out")]
    subprocess.run(script, check=True, capture_output=True)
    for name, data in saved.items():
        for folder in ("copies", "out"):
            (copy,) = (site.base / folder).rglob(os.path.basename(os.fsdecode(name)))
            assert copy.read_bytes() == data, (folder, name)


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_p4_killed_while_checkpoints_are_coded_again_collected_and_rewritten(tmp_path: Path) -> None:
    torment_series(Site(tmp_path / "site"), rounds=20, seed=20)
