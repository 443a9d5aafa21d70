"""The daemon does the walk by itself, tells systemd, reloads or refuses, drains, and may be killed."""

import os
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.service.daemon_process import running
from tests.whole.site import Site
from tests.whole.tree import differences, snapshot, text, write


@pytest.fixture
def armed(tmp_path: Path) -> Site:
    """A site with old files, a daemon that may act, JSON logs, and no waits."""
    site = Site(tmp_path / "site")
    for number in range(6):
        path = os.fsencode(site.root) + b"/old/%d.txt" % number
        write(path, text(number, 40_000))
    age(site)
    site.init()
    site.set("act", "true")
    site.set("format", '"json"')
    return site


def age(site: Site) -> None:
    """Make every file look unused since 2023 (a snapshot reads them, and reading is use)."""
    for path in sorted((site.root / "old").iterdir()):
        then = 1_700_000_000 * 10**9
        os.utime(path, ns=(then, then))


def states(site: Site) -> set[str]:
    """The states there are."""
    return {row["state"] for row in site.json("ls")}


def test_the_daemon_walks_by_itself_and_drains_on_sigterm(armed: Site, tmp_path: Path) -> None:
    before = snapshot(armed.root)
    age(armed)
    with running(armed, tmp_path) as daemon:
        assert daemon.until_told("READY=1")
        assert daemon.until_told("STATUS=").startswith("STATUS=armed")
        done = daemon.until_logged("duty_ended", duty="cycle")
        assert done["outcome"] == "done"
        assert done["files_done"] == 6
        daemon.until_told("WATCHDOG=1")
        daemon.signal(signal.SIGTERM)
        daemon.until_told("STOPPING=1")
        assert daemon.ends() == 0
    # Parked files are freed by the upkeep, or by whoever comes next.
    armed.run("reconcile")
    armed.run("cycle", "--yes")
    assert states(armed) == {"offline"}
    armed.audit()
    assert {run["job"] for run in armed.json("status")["runs"]} >= {"cycle", "accrue"}
    armed.json("recall", str(armed.root))
    assert differences(before, snapshot(armed.root)) == []


def test_unarmed_it_looks_and_moves_nothing(armed: Site, tmp_path: Path) -> None:
    armed.set("act", "false")
    with running(armed, tmp_path) as daemon:
        assert daemon.until_logged("duty_ended", duty="cycle")["acted"] is False
        daemon.signal(signal.SIGTERM)
        assert daemon.ends() == 0
    assert states(armed) == {"regular"}


def test_sighup_takes_up_a_good_configuration_and_refuses_a_bad_one(armed: Site, tmp_path: Path) -> None:
    armed.set("act", "false")
    told = tmp_path / "told"
    armed.set("command", f'["/bin/sh", "-c", "cat > {told}"]')
    with running(armed, tmp_path) as daemon:
        daemon.until_told("READY=1")
        armed.set("act", "maybe")
        daemon.signal(signal.SIGHUP)
        refused = daemon.until_logged("configuration_refused")
        assert str(armed.config) in refused["what"]
        daemon.until_told("READY=1")
        assert "configuration_refused" in told.read_text()
        armed.set("act", "true")
        daemon.signal(signal.SIGHUP)
        daemon.until_logged("configuration_taken_up", act=True)
        daemon.signal(signal.SIGTERM)
        assert daemon.ends() == 0


def test_a_second_signal_stops_at_once_and_nothing_is_lost(armed: Site, tmp_path: Path) -> None:
    before = snapshot(armed.root)
    with running(armed, tmp_path) as daemon:
        daemon.until_logged("duty_started", duty="cycle")
        daemon.signal(signal.SIGTERM)
        daemon.signal(signal.SIGTERM)
        assert daemon.ends() in {0, 130}
    armed.run("reconcile", expect=(0, 3))
    armed.audit()
    armed.json("recall", str(armed.root))
    assert differences(before, snapshot(armed.root)) == []


def test_commands_and_the_daemon_run_beside_each_other(armed: Site, tmp_path: Path) -> None:
    before = snapshot(armed.root)
    with running(armed, tmp_path) as daemon:
        daemon.until_told("READY=1")
        armed.run("migrate", str(armed.root), "--to", "standard", "--release", "--yes", expect=(0, 3, 75))
        armed.run("recall", str(armed.root / "old" / "0.txt"), expect=(0, 3))
        daemon.until_logged("duty_ended", duty="cycle")
        daemon.signal(signal.SIGTERM)
        assert daemon.ends() == 0
    armed.run("reconcile", expect=(0, 3))
    armed.audit()
    armed.json("recall", str(armed.root))
    assert differences(before, snapshot(armed.root)) == []


def test_a_bad_configuration_ends_it_with_two_and_a_sentence(armed: Site, tmp_path: Path) -> None:
    armed.config.write_text("colour = 1\n" + armed.config.read_text())
    with running(armed, tmp_path) as daemon:
        assert daemon.ends() == 2
        assert "colour: unknown key" in daemon.until_logged("text")["text"]


def test_an_absent_store_ends_it_with_try_again(armed: Site, tmp_path: Path) -> None:
    armed.store_dir.rename(armed.base / "away")
    with running(armed, tmp_path) as daemon:
        assert daemon.ends() == 75


def opens_noted(site: Site) -> list[str]:
    """Names of the files that the access history says were opened."""
    query = "SELECT name FROM files JOIN access_days USING (file_id) WHERE source = 'opens'"
    database = next(site.state.rglob("*.db"))
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as catalog:
        return [os.fsdecode(name) for (name,) in catalog.execute(query)]


@pytest.mark.skipif(os.geteuid() != 0, reason="watching a file system needs CAP_SYS_ADMIN")
def test_the_daemon_counts_opens_where_a_root_asks_for_it(armed: Site, tmp_path: Path) -> None:
    armed.set("act", "false")
    armed.set("open_counter", "true")
    with running(armed, tmp_path) as daemon:
        daemon.until_logged("opens_counted")
        daemon.until_logged("duty_ended", duty="scan")
        for _ in range(30):
            subprocess.run(["cat", str(armed.root / "old" / "3.txt")], check=True, stdout=subprocess.DEVNULL)
            daemon.until_told("WATCHDOG=1")
            if opens_noted(armed):
                break
        daemon.signal(signal.SIGTERM)
        assert daemon.ends() == 0
    assert opens_noted(armed) == ["3.txt"]
