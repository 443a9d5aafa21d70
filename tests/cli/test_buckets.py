"""`frostline buckets`: from a configuration and an inventory on disk to the documents that scripts read."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.recorded import Recorded
from tests.jobs.test_object_scan import row, write_inventory
from tiering.cli import dispatch as cli

MIB = 1 << 20
TABLE = """
[[buckets]]
name = "lake"
url = "s3://lake"
region = "us-east-1"
inventory = "{manifest}"
[[buckets.rules]]
name = "old"
age = "30d"
class = "GLACIER_IR"
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    """An installation with one bucket under care, whose inventory is on disk: no request is ever sent."""
    (tmp_path / "tree").mkdir()
    manifest = write_inventory(tmp_path / "inventory", [row("a", 100 * MIB, age=900), row("b", 10, age=900)])
    path = tmp_path / "frostline.toml"
    root, store, state = f"{tmp_path}/tree", f"file://{tmp_path}/store", f"{tmp_path}/state"
    with Recorded():
        assert cli.run(["--config", str(path), "init", "--root", root, "--store", store, "--state", state]) == 0
    path.write_text(path.read_text() + TABLE.format(manifest=manifest))
    return str(path)


def answer(config: str, *words: str) -> Any:
    """Return the JSON document of a command."""
    with Recorded() as seen:
        assert cli.run(["--config", config, "--json", "buckets", *words]) == 0
    return json.loads(seen.text)


def said(config: str, *words: str) -> str:
    """Return what a command prints for people."""
    with Recorded() as seen:
        assert cli.run(["--config", config, "buckets", *words]) == 0
    return str(seen.text)


def test_scan_plan_and_status_say_what_scripts_need(config: str) -> None:
    assert answer(config, "status")[0]["scanned"] is None
    (scanned,) = answer(config, "scan")
    assert (scanned["bucket"], scanned["objects"], scanned["bytes"]) == ("lake", 2, 100 * MIB + 10)

    plan = answer(config, "plan", "lake")
    assert plan["changes"][0] | plan["total"] == plan["changes"][0]
    (action,) = plan["actions"]
    assert (action["key"], action["from"], action["to"], action["rule"]) == ("a", "STANDARD", "GLACIER_IR", "old")
    assert plan["total"]["usd_per_month_saved"] == pytest.approx(100 / 1024 * (0.023 - 0.004), rel=1e-3)
    assert plan["left"] == {"the change would not repay its cost in time": 1}

    (status,) = answer(config, "status")
    assert status["classes"] == {"STANDARD": {"objects": 2, "bytes": 100 * MIB + 10}}
    assert status["usd"] == {"spent": 0, "storage": 0, "baseline": 0, "saved": 0}


def test_apply_without_yes_changes_nothing_and_says_so(config: str) -> None:
    answer(config, "scan")
    document = answer(config, "apply", "lake")
    assert document["one_run"]["objects"] == 1
    text = said(config, "apply", "lake")
    assert "one run would change 1 objects" in text
    assert "nothing was done: add --yes to do it" in text


def test_apply_with_yes_needs_the_mode(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    answer(config, "scan")
    assert cli.run(["--config", config, "buckets", "apply", "lake", "--yes"]) == 2
    assert 'set mode = "transition"' in capsys.readouterr().err


def test_people_get_tables(config: str) -> None:
    assert "2 objects, 100.00 MiB" in said(config, "scan", "lake")
    assert "old: STANDARD -> GLACIER_IR" in said(config, "plan", "lake")
    assert "mode report" in said(config, "status")
