"""`frostline simulate` and `frostline prices`: the documented keys, golden numbers, and sentences for bad input."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from policies.amounts import say_dollars
from tests.cli.recorded import Recorded
from tiering.cli import dispatch as cli
from tiering.report.charts import Bar, stacked_bars

ROWS = """time,object,bytes,op,size
2024-01-01T00:00:00,a/x.pt,1073741824,write,
2024-03-01T00:00:00,a/x.pt,1073741824,read,
2024-01-01T00:00:00,b.parquet,1073741824,write,
2024-12-30T00:00:00,b.parquet,,read,
"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_text(ROWS)
    return path


def answer(*words: str) -> Any:
    """Return the JSON document of a command."""
    with Recorded() as seen:
        assert cli.run(["--json", *words]) == 0
    return json.loads(seen.text)


def test_the_document_has_the_promised_keys_and_adds_up(trace: Path) -> None:
    document = answer("simulate", "--trace", str(trace), "--policy", "break-even", "--policy", "expected-cost")
    results = {row["policy"]: row for row in document["results"]}

    assert {"break-even", "expected-cost", "all-standard", "all-int", "age-30-90", "idle-30-90"} == set(results)
    for row in results.values():
        assert set(row["usd"]) == {"storage", "requests", "retrieval", "early_delete", "monitoring", "stall"}
        assert sum(row["usd"].values()) == pytest.approx(row["usd_total"])
        assert row["ratio_to_optimum"] == pytest.approx(row["usd_total"] / document["optimum_usd"])
        assert row["ratio_to_optimum"] >= 1
    assert set(results["all-int"]["by_kind"]) == {"checkpoint", "dataset"}


def test_golden_bills(trace: Path) -> None:
    document = answer("simulate", "--trace", str(trace))
    bills = {row["policy"]: row["usd_total"] for row in document["results"]}

    # two objects, 365 days (twelve months of 730 h) at $0.023, two PUTs and two GETs
    assert bills["all-standard"] == pytest.approx(2 * 12 * 0.023 + 2 * (0.000005 + 0.0000004))
    # x: idle 60 and 305 days, b: 364 and 1; steps at 30 and 90 days; a month is 365/12 days
    cooled = (30 * 0.023 + 30 * 0.0125) + (30 * 0.023 + 60 * 0.0125 + 215 * 0.004)
    cooled += (30 * 0.023 + 60 * 0.0125 + 274 * 0.004) + 0.023
    assert bills["all-int"] == pytest.approx(cooled * 12 / 365 + 2 * 12 * 0.0000025 + 2 * 0.0000054, rel=1e-9)


def test_a_hot_disk_in_front_costs_stalls(trace: Path) -> None:
    document = answer("simulate", "--trace", str(trace), "--class", "STANDARD", "--hot", "gp3", "--stall-usd", "0.0111")
    results = {row["policy"]: row for row in document["results"]}

    assert results["all-hot"]["usd_total"] == pytest.approx(2 * 12 * 0.08)
    assert results["all-standard"]["usd"]["stall"] == pytest.approx(2 * 0.0111)
    assert results["all-standard"]["recalls"] == 2


@pytest.mark.parametrize(
    "words",
    [
        ["--trace", "/nowhere.csv"],
        ["--policy", "luck"],
        ["--policy", "idle=5:STANDARD"],
        ["--class", "SHOEBOX"],
        ["--tick", "0d"],
        ["--html", "/nowhere/page.html"],
        ["--hot", "floppy"],
    ],
)
def test_bad_input_is_a_usage_error(trace: Path, words: list[str]) -> None:
    given = [] if "--trace" in words else ["--trace", str(trace)]

    assert cli.run(["simulate", *given, *words]) == 2


def test_prices_are_shown_and_checked() -> None:
    shown = answer("prices", "show")
    checked = answer("prices", "check")

    assert shown["classes"]["DEEP_ARCHIVE"]["min_days"] == 180
    assert shown["hot"]["nvme"]["estimate"] is True
    assert {row["id"].partition("@")[0] for row in checked} >= {"aws-us-east-1", "gcs-us-central1", "azure-east-us-2"}
    assert all("energy" in row["estimates"] for row in checked)
    assert all({"estimates", "stale"} <= set(row) for row in checked)


def test_a_broken_book_is_refused_by_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own.json"
    own.write_text('{"extends": "aws-us-east-1", "id": "mine", "as_of": "2026", "from": "me", "hot": {"x": {}}}')

    assert cli.run(["prices", "check", str(own)]) == 2
    assert "hot.x.usd_per_gib_month: missing" in capsys.readouterr().err


def test_sensitivity_sorts_assumptions_by_what_they_move(trace: Path) -> None:
    document = answer("sensitivity", "--trace", str(trace), "--policy", "all-standard", "--class", "STANDARD")
    factors = {row["factor"]: row for row in document["factors"]}
    swings = [abs(row["usd_day_high"] - row["usd_day_low"]) for row in document["factors"]]

    assert swings == sorted(swings, reverse=True)
    storage = factors["storage price"]
    assert storage["usd_day_high"] == pytest.approx(1.25 * storage["usd_day"], rel=1e-4)
    assert factors["stall and wait per GiB"]["usd_day_high"] == pytest.approx(storage["usd_day"])
    assert factors["reads"]["usd_day_low"] <= factors["reads"]["usd_day_high"]
    assert cli.run(["sensitivity", "--trace", "/nowhere.csv"]) == 2


def test_pages_hold_charts_and_the_same_numbers(trace: Path, tmp_path: Path) -> None:
    bills, tornado = tmp_path / "bills.html", tmp_path / "tornado.html"
    document = answer("simulate", "--trace", str(trace), "--html", str(bills))
    answer("sensitivity", "--trace", str(trace), "--html", str(tornado))
    page, other = bills.read_text(), tornado.read_text()

    for row in document["results"]:
        assert row["policy"] in page
        assert say_dollars(row["usd_total"]) in page
    assert page.count("<svg") == 2
    assert "retrieval price" in other
    for text in (page, other):
        drawing = text[text.index("<svg") : text.index("</svg>") + 6]
        assert ElementTree.fromstring(drawing).tag == "{http://www.w3.org/2000/svg}svg"
        assert "<script" not in text
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_names_in_charts_are_escaped() -> None:
    drawing = stacked_bars([Bar("<i>&", [1.0], "a<b")], ["x>y"], title="&", mark=0.5)

    assert {it.text for it in ElementTree.fromstring(drawing).iter() if it.text} >= {"<i>&", "a<b", "x>y"}


def test_tune_says_what_the_choice_would_have_saved(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = answer("tune", "--trace", str(trace), "--policy", "all-standard")

    assert document["now"]["policy"] == "all-standard"
    assert document["chosen"]["chosen_by_usd"] <= document["now"]["chosen_by_usd"]
    assert document["hindsight"]["held_out_usd"] == min(it["held_out_usd"] for it in document["candidates"])
    saved = document["now"]["held_out_usd"] - document["chosen"]["held_out_usd"]
    assert document["saved_usd"] == pytest.approx(saved)
    assert document["saved_part"] == pytest.approx(saved / document["now"]["held_out_usd"])
    assert cli.run(["tune", "--trace", str(trace), "--policy", "all-standard"]) == 0
    assert "judged on the last 122" in capsys.readouterr().out


def test_without_a_file_the_recorded_history_is_replayed(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.pt").write_bytes(b"x" * 4096)
    config = ["--config", str(tmp_path / "frostline.toml")]
    store = (tmp_path / "store").as_uri()
    places = ["--root", str(tmp_path / "root"), "--store", store, "--state", str(tmp_path / "state")]
    assert cli.run([*config, "init", *places]) == 0
    assert cli.run([*config, "scan"]) == 0
    document = answer(*config, "simulate", "--policy", "break-even")

    assert document["trace"]["bytes"] == 4096
    assert {row["policy"] for row in document["results"]} >= {"break-even", "all-standard"}
    assert cli.run([*config, "simulate", "--tick", "1h"]) == 2
    assert cli.run([*config, "tune"]) == 2  # a day of history cannot be cut
