"""The whole walk: a real tree goes out and comes back exactly, the books balance at every stop, the store is enough."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.whole.site import OK, SKIPPED, Site
from tests.whole.tree import differences, snapshot

REPOSITORY = Path(__file__).resolve().parents[2]


def send_everything_away(site: Site) -> dict[str, int]:
    """Migrate and release the whole root; returns the audit after it."""
    site.json("migrate", str(site.root), "--to", "standard", "--release", "--yes", expect=(OK, SKIPPED))
    return site.audit()


def states(site: Site) -> dict[str, str]:
    """Path relative to the root -> state."""
    prefix = str(site.root) + "/"
    return {row["path"].removeprefix(prefix): row["state"] for row in site.json("ls")}


def test_a_tree_goes_out_and_comes_back_exactly(site: Site) -> None:
    before = snapshot(site.root)
    seen = send_everything_away(site)
    away = states(site)
    assert seen["offline_bytes"] > 0
    assert away["runs/a/step-1000.pt"] == "offline"
    target = os.readlink(site.root / "runs/a/step-1000.pt")
    assert target.startswith("/dev/null/frostline/")
    assert target.endswith("/step-1000.pt")
    site.json("recall", str(site.root))
    assert differences(before, snapshot(site.root)) == []
    after = site.audit()
    assert after["offline_bytes"] == 0
    assert after["dual_bytes"] == seen["dual_bytes"] + seen["offline_bytes"]


def test_releasing_again_after_recall_uploads_nothing(site: Site) -> None:
    send_everything_away(site)
    site.json("recall", str(site.root))
    before = {path.name for path in (site.store_dir / "packs").rglob("*") if path.is_file()}
    send_everything_away(site)
    after = {path.name for path in (site.store_dir / "packs").rglob("*") if path.is_file()}
    assert after == before


def test_duplicates_and_near_copies_are_stored_once_and_explained(site: Site) -> None:
    seen = send_everything_away(site)
    size = 700_000
    assert seen["dedup_saved_bytes"] > 1.5 * size  # a copy, and most of an edited copy
    assert seen["stored_bytes"] < seen["dual_bytes"] + seen["offline_bytes"]


def test_p3_the_bucket_is_enough_to_rebuild_and_restore(site: Site) -> None:
    before = snapshot(site.root)
    seen = send_everything_away(site)
    chain = site.json("ledger", "verify")
    shutil.rmtree(site.state)
    site.run("rebuild", "--yes")
    rebuilt = site.audit()
    for key in ("logical_bytes", "offline_bytes", "dual_bytes", "stored_bytes", "dedup_saved_bytes"):
        assert rebuilt[key] == seen[key], key
    assert site.json("ledger", "verify")["entries"] >= chain["entries"]
    site.json("recall", str(site.root))
    assert differences(before, snapshot(site.root)) == []
    site.audit()


def test_p11_a_single_script_restores_from_the_store_alone(site: Site, tmp_path: Path) -> None:
    before = snapshot(site.root)
    send_everything_away(site)
    away = {path for path, state in states(site).items() if state in ("offline", "dual")}
    out = tmp_path / "out"
    script = REPOSITORY / "tools" / "restore.py"
    subprocess.run([sys.executable, str(script), str(site.store_dir), str(out)], check=True, capture_output=True)
    tops = [folder for folder in out.iterdir() if folder.is_dir()]
    restored = snapshot(tops[0] if len(tops) == 1 else out)
    for path in away:
        key = os.fsencode(path)
        assert restored[key].digest == before[key].digest, path
        assert restored[key].mtime_ns == before[key].mtime_ns, path
        assert restored[key].mode == before[key].mode, path


def test_restore_and_cat_change_nothing(site: Site, tmp_path: Path) -> None:
    before = snapshot(site.root)
    send_everything_away(site)
    placeholders = snapshot(site.root)
    out = tmp_path / "copy"
    site.json("restore", str(site.root / "runs"), "--to", str(out))
    copies = [path for path in out.rglob("step-1000.pt") if path.is_file()]
    assert len(copies) == 1
    shown = subprocess.run(site.command("cat", str(site.root / "read-only")), capture_output=True, check=True)
    assert len(shown.stdout) == before[b"read-only"].size
    assert differences(placeholders, snapshot(site.root)) == []


def test_p11_leave_brings_everything_back_and_removes_every_trace(site: Site) -> None:
    before = snapshot(site.root)
    send_everything_away(site)
    site.run("leave", "--yes")
    assert differences(before, snapshot(site.root)) == []
    assert not [path for path in os.listdir(site.root) if path.startswith(".frostline")]
