"""One installation of frostline in a temporary folder, driven through its command line in child processes."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OK, SKIPPED, WAITING, DISCREPANCY = 0, 3, 4, 10


@dataclass(slots=True)
class Site:
    """Root, store and state under one folder; commands run as `python -m tiering.cli`."""

    base: Path
    store_url: str = ""
    init_options: tuple[str, ...] = ()
    """Further options of init, e.g. an endpoint."""
    root: Path = field(init=False)
    config: Path = field(init=False)
    state: Path = field(init=False)

    def __post_init__(self) -> None:
        """Lay out the folders; the store defaults to a local directory."""
        self.root = self.base / "root"
        self.state = self.base / "state"
        self.config = self.base / "frostline.toml"
        self.root.mkdir(parents=True, exist_ok=True)
        self.store_url = self.store_url or f"file://{self.base}/store"

    @property
    def store_dir(self) -> Path:
        """The store's folder, for tests that reach behind frostline's back."""
        assert self.store_url.startswith("file://")
        return Path(self.store_url.removeprefix("file://"))

    def command(self, *args: str) -> list[str]:
        """Return the argument vector of one frostline command."""
        return [sys.executable, "-m", "tiering.cli", "--config", str(self.config), *args]

    def run(self, *args: str, expect: int | tuple[int, ...] = OK) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; fail with its whole output when the exit code is another."""
        done = subprocess.run(
            self.command(*args), capture_output=True, text=True, errors="surrogateescape", timeout=500, check=False
        )
        wanted = (expect,) if isinstance(expect, int) else expect
        shown = f"frostline {' '.join(args)}\nexit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-6000:]}"
        assert done.returncode in wanted, shown
        assert "Traceback (most recent call last)" not in done.stderr, shown
        return done

    def json(self, *args: str, expect: int | tuple[int, ...] = OK) -> Any:
        """Run a command with --json and return what it printed."""
        return json.loads(self.run("--json", *args, expect=expect).stdout)

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """Start a command in its own process group, to be killed or awaited by the test."""
        return subprocess.Popen(
            self.command(*args), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )

    def init(self, *extra: str) -> None:
        """Run init, then set to zero the waits that tests cannot afford (parking, grace), and the part of the disk that
        a recall leaves free: how full the disk of the tests is says nothing.
        """
        places = ("--root", str(self.root), "--store", self.store_url, "--state", str(self.state))
        self.run("init", *places, *self.init_options, *extra)
        self.set("park_s", "0")
        self.set("grace", '"0s"')
        self.set("reserve_fraction", "0")

    def set(self, key: str, value: str) -> None:
        """Set the one line `key = ...` of the written configuration."""
        shown = self.config.read_text()
        changed, count = re.subn(rf"(?m)^(#\s*)?{key}\s*=.*$", f"{key} = {value}", shown)
        assert count == 1, f"{key} occurs {count} times in the configuration"
        self.config.write_text(changed)

    def audit(self, expect: int = OK) -> Any:
        """Audit; with *expect* 0 also check both identities of the books on the printed numbers."""
        seen = self.json("audit", expect=expect)
        if expect == OK:
            assert seen["ok"] is True, seen
            check_identities(seen)
        return seen


def check_identities(seen: dict[str, Any]) -> None:
    """P6 on the numbers an auditor is shown."""
    assert seen["logical_bytes"] == seen["hot_bytes"] + seen["offline_bytes"]
    held = seen["dual_bytes"] + seen["offline_bytes"] + seen["retained_bytes"]
    explained = seen["stored_bytes"] + seen["dedup_saved_bytes"] + seen["compression_saved_bytes"]
    assert held == explained - seen["overhead_bytes"], seen


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL the whole process group and reap it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    if process.stderr:
        process.stderr.close()
