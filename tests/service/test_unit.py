"""The unit is clean and tight, and the whole walk works inside it: same capabilities, same system call filter."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service import confined
from tests.structure.sources import PROJECT
from tests.whole.site import Site
from tests.whole.tree import differences, odd_tree, snapshot
from tiering.app.dropin import drop_in, write_drop_in
from tiering.config import Config
from tiering.jobs.preflight import CAPABILITIES

UNIT = PROJECT / "systemd" / "frostlined.service"
MOST_EXPOSURE = 3.0
NOBODY = "65534"

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def installed(folder: Path) -> Path:
    """A copy of the unit that can be verified here: with a program that exists, and a drop-in beside it."""
    unit = folder / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/frostline/bin/frostlined", "/bin/true"))
    config = Config.model_validate(
        {
            "roots": [{"name": "a", "path": '/home/x/my "data" 100%'}, {"name": "t", "path": "/tmp/t"}],
            "tiers": {"standard": {"store": "file:///srv/cold"}},
        }
    )
    write_drop_in(str(folder), drop_in(config, "/etc/frostline/frostline.toml"))
    return unit


@needs_systemd
def test_systemd_finds_nothing_wrong_with_unit_and_drop_in(tmp_path: Path) -> None:
    unit = installed(tmp_path)
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    about_us = [line for line in done.stderr.splitlines() if "frostlined" in line]
    assert about_us == []


@needs_systemd
def test_the_exposure_is_at_most_three(tmp_path: Path) -> None:
    unit = installed(tmp_path)
    command = ["systemd-analyze", "security", "--offline=true", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found.group(1)) <= MOST_EXPOSURE


def test_the_unit_grants_exactly_the_capabilities_that_the_program_asks_for() -> None:
    for key in ("CapabilityBoundingSet", "AmbientCapabilities"):
        (line,) = confined.setting(str(UNIT), key)
        assert set(line.split()) == set(CAPABILITIES)


def test_what_must_stay_off_is_off_with_its_reason() -> None:
    text = UNIT.read_text()
    for key in ("MemoryDenyWriteExecute", "RestrictSUIDSGID", "ProtectProc", "PrivateUsers"):
        assert confined.setting(str(UNIT), key) == []
        assert re.search(rf"(?m)^#   {key} ", text), key


@pytest.mark.root
@needs_systemd
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give up being root")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
@pytest.mark.skipif(not confined.HEADER.exists(), reason="the kernel's headers are not installed (or not x86-64)")
def test_the_whole_walk_works_with_the_units_capabilities_and_filter(tmp_path: Path) -> None:
    site = ConfinedSite(tmp_path / "site")
    odd_tree(site.root, as_root=True)
    # Only CAP_SYS_ADMIN sees trusted.* attributes; docs/install.md says what that means and how to grant it.
    os.removexattr(site.root / "xattrs", "trusted.note")
    for folder in (site.base, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:  # pytest's folders are 0700; the service reaches /data as others do
            folder.chmod(folder.stat().st_mode | 0o001)
    os.chown(site.base, int(NOBODY), int(NOBODY))
    before = snapshot(site.root)
    site.init()
    site.json("migrate", str(site.root), "--to", "standard", "--release", "--yes", expect=(0, 3))
    seen = site.audit()
    assert seen["offline_bytes"] > 0
    site.json("recall", str(site.root))
    assert differences(before, snapshot(site.root)) == []
    site.run("cycle", "--yes", expect=(0, 3))
    site.run("gc", "--yes")
    site.audit()


class ConfinedSite(Site):
    """A site whose commands run as an ordinary user with the unit's capabilities and filter."""

    def command(self, *args: str) -> list[str]:
        """See Site."""
        (granted,) = confined.setting(str(UNIT), "AmbientCapabilities")
        names = ",".join("+" + name.removeprefix("CAP_").lower() for name in granted.split())
        setpriv = [
            "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs",
            f"--inh-caps=-all,{names}", f"--ambient-caps=-all,{names}", f"--bounding-set=-all,{names}",
        ]  # fmt: skip
        return [*setpriv, sys.executable, confined.__file__, str(UNIT), *super().command(*args)]
