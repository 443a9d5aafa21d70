"""Placement from the command line: what does not suffice is said, with an exit code, before anything moves."""

import os
from pathlib import Path

import pytest

from tests.whole.site import OK, SKIPPED, Site
from tests.whole.tree import YEAR_NS, noise, write
from tiering.hot.evidence import mount_quality

SIZE = 200_000
FILES = 10


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Ten files that nobody has read for years, and an installation without rules of its own."""
    if not mount_quality(os.fsencode(tmp_path)).is_evidence:
        pytest.skip("the tests' file system keeps no atime")
    made = Site(tmp_path / "site")
    for i in range(FILES):
        write(os.fsencode(made.root) + b"/%d.bin" % i, noise(i, SIZE), mtime_ns=40 * YEAR_NS)
    made.init()
    return made


def add(site: Site, text: str) -> None:
    site.config.write_text(site.config.read_text() + text)


def standing(site: Site) -> list[str]:
    """Return the states of all files."""
    return sorted({row["state"] for row in site.json("ls", str(site.root))})


def too_small(site: Site) -> None:
    """Let nothing leave by rules, and give the root a fifth less than it holds."""
    add(site, '\n[[rules]]\nname = "nothing"\nage = "36500d"\ntier = "standard"\n')
    site.set("capacity", str(FILES * SIZE * 4 // 5))
    site.set("high_water", "0.95")


def test_a_budget_that_cannot_be_met_is_reported_before_anything_moves(site: Site) -> None:
    too_small(site)
    site.set("requests_per_day", "0")
    site.run("scan")

    said = site.run("plan", expect=SKIPPED).stdout
    assert "warning: budget.requests_per_day cannot be met" in said
    assert "making room on the hot tier needs more" in said
    assert site.json("plan", expect=SKIPPED)["warnings"]

    done = site.run("cycle", "--yes", expect=SKIPPED).stdout
    assert done.index("budget.requests_per_day cannot be met") < done.index("moved: 0 files")
    assert standing(site) == ["regular"]
    assert not list(site.store_dir.rglob("packs/*"))


@pytest.mark.heavy
def test_a_plan_and_an_audit_name_energy_as_an_estimate(site: Site) -> None:
    site.run("scan")
    said = site.run("plan").stdout
    assert "energy, an estimate: " in said
    assert "g CO2e" in said
    assert site.json("plan")["energy"]["kwh_before"] > 0
    site.run("cycle", "--yes", expect=(OK, SKIPPED))
    assert "energy, an estimate: " in site.run("audit").stdout
    energy = site.json("audit")["energy"]
    assert 0 < energy["kwh_after"] < energy["kwh_before"]


@pytest.mark.heavy
def test_a_hot_tier_too_small_is_brought_below_its_marks_and_says_what_a_gib_is_worth(site: Site) -> None:
    too_small(site)
    site.run("pin", str(site.root / "0.bin"))
    site.run("scan")
    plan = site.json("plan")
    (room,) = plan["hot"]
    assert room["shadow_nano_per_gib_month"] > 0
    assert "one more GiB would be worth $" in site.run("plan").stdout
    site.run("cycle", "--yes")
    left = sum(path.stat().st_size for path in site.root.glob("*.bin") if not path.is_symlink())
    assert left <= 0.85 * FILES * SIZE * 4 / 5
    assert not (site.root / "0.bin").is_symlink()


@pytest.mark.heavy
def test_a_quote_of_stored_files_is_shown_before_they_move(site: Site) -> None:
    add(site, f'\n[tiers.cellar]\nstore = "file://{site.base}/cellar"\nusd_per_gib_month = 0.001\n')
    site.run("init")
    site.run("migrate", str(site.root), "--to", "standard", "--release", "--yes")
    shown = site.run("migrate", str(site.root), "--to", "cellar", "--dry-run").stdout
    assert "10 stored files move to cellar: " in shown
    assert site.json("migrate", str(site.root), "--to", "cellar", "--dry-run")["moves"]["files"] == FILES
    assert {row["tier"] for row in site.json("ls", str(site.root))} == {"standard"}
