"""Ctrl-C ends a command after the step in hand, says so, and the same command goes on where it stopped."""

import os
import signal
from pathlib import Path
from threading import Event

from tests.whole.site import OK, SKIPPED, Site
from tests.whole.tree import differences, noise, snapshot, write

INTERRUPTED = 130


def slow_site(folder: Path) -> Site:
    """A site whose store takes 4 MiB a second, with 24 MB to store."""
    site = Site(folder / "site")
    for number in range(12):
        write(os.fsencode(site.root) + b"/%02d.bin" % number, noise(number, 2_000_000))
    site.init()
    site.set("bandwidth", '"4MiB"')
    site.set("pack_bytes", '"2MiB"')
    return site


def test_the_first_ctrl_c_drains_and_the_same_command_goes_on(tmp_path: Path) -> None:
    site = slow_site(tmp_path)
    before = snapshot(site.root)
    process = site.start("migrate", str(site.root), "--to", "standard", "--yes")
    while process.poll() is None and not any((site.store_dir / "packs").rglob("*-*")):
        Event().wait(0.02)  # until the first pack stands in the store
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == INTERRUPTED, said
    assert b"stopping after the step in hand" in said
    assert b"goes on where it stopped" in said
    site.audit()
    stored = {row["state"] for row in site.json("ls")}
    assert "regular" in stored, "it was too fast to be interrupted"
    site.set("bandwidth", "0")
    site.json("migrate", str(site.root), "--to", "standard", "--release", "--yes", expect=(OK, SKIPPED))
    site.audit()
    site.json("recall", str(site.root))
    assert differences(before, snapshot(site.root)) == []
