"""What docs/ledger.md says an auditor can do by hand: its queries run as written and give audit's numbers, and its
program tells an export that was altered.
"""

import io
import os
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import items, learn
from tests.postgres import postgres_server, postgres_url
from tests.structure.sources import PROJECT
from tiering.catalog import ledger
from tiering.jobs.accrue import accrue
from tiering.jobs.audit import audit
from tiering.jobs.migrate import migrate
from tiering.jobs.release import release
from tiering.jobs.scan import scan_root
from tiering.jobs.segments import flush
from tiering.report.ledger_csv import write_ledger_csv

__all__ = ["postgres_server", "postgres_url"]

DOCUMENT = (PROJECT / "docs" / "ledger.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?);\n```", DOCUMENT, re.DOTALL)
(PROGRAM,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
NANO = 10**9


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """An installation with files in every state and some days of costs, on each engine."""
    changes = {}
    if request.param == "postgres":
        changes["catalog"] = {"url": request.getfixturevalue("postgres_url"), "state_dir": f"{tmp_path}/lab/state"}
    with open_lab(tmp_path / "lab", **changes) as made:
        data = os.urandom(300_000)
        for name in ("offline.bin", "dual.bin", "edited.bin"):
            made.write(name, data)
        made.write("text.txt", b"again and again " * 20_000)
        learn(made)
        migrate(made.context, items(made))
        release(made.context, items(made, paths=[b"offline.bin"]), wait_parked=True)
        made.write("edited.bin", os.urandom(1000))
        made.write("regular.bin", b"x" * 1000)
        scan_root(made.context, made.context.roots[0])
        made.clock.advance(3 * 86_400)
        accrue(made.context)
        flush(made.context)
        yield made


def asked(lab: Lab, first_words: str) -> list[dict[str, Any]]:
    """Run the one query of the page that begins so; numbers come as integers, as psql and sqlite3 show them."""
    (query,) = [query for query in QUERIES if query.startswith(first_words)]
    with lab.catalog.read() as tx:
        rows = tx.conn.execute(text(query)).mappings().all()
    return [{key: int(it) if isinstance(it, Decimal) else it for key, it in row.items()} for row in rows]


def test_p6_the_queries_of_the_page_give_the_numbers_of_an_audit(lab: Lab) -> None:
    assert len(QUERIES) == 7
    report = audit(lab.context)
    assert report.ok
    assert report.retained_bytes > 0

    assert asked(lab, "SELECT entry_no,") == []
    assert asked(lab, "SELECT SUM(CASE WHEN account IN") == [
        {
            "stored_files": report.dual_bytes + report.offline_bytes,
            "retained_versions": report.retained_bytes,
            "saved_by_dedup": report.dedup_saved_bytes,
            "saved_by_compression": report.compression_saved_bytes,
            "pack_overhead": report.overhead_bytes,
            "live": report.stored_bytes,
            "dead": report.dead_bytes,
            "metadata": report.metadata_bytes,
            "in_the_bucket": report.bucket_bytes,
        }
    ]
    standing = {(row["account"], row["tier"]): row["amount"] for row in asked(lab, "SELECT account, tier, unit")}
    with lab.catalog.read() as tx:
        assert standing == ledger.all_balances(tx)


def test_p6_dollars_by_hand_are_those_of_an_audit(lab: Lab) -> None:
    usd = audit(lab.context).usd
    (sums,) = asked(lab, "SELECT SUM(CASE WHEN account = 'baseline.storage'")

    assert sums["all_hot"] / NANO == usd.baseline > 0
    assert sums["paid"] / NANO == usd.actual
    assert sums["saved"] == pytest.approx((usd.saved_realised + usd.saved_avoided) * NANO)
    last = asked(lab, "SELECT ledger_entries.entry_no, op_id")
    assert {row["account"] for row in last} >= {"cost.storage", "baseline.storage"}


def test_p6_rows_by_hand_are_what_the_ledger_says(lab: Lab) -> None:
    report = audit(lab.context)
    by_state = {row["state"]: row["bytes"] for row in asked(lab, "SELECT state, COUNT(*)")}

    assert by_state["offline"] == report.offline_bytes
    assert by_state["dual"] == report.dual_bytes
    assert by_state["dual"] + by_state["regular"] == report.hot_bytes
    assert asked(lab, "SELECT SUM(bytes)") == [{"in_the_bucket": report.bucket_bytes}]


def change(line: str) -> str:
    return re.sub(r"(files\.hot_only,,byte,)(-?\d+)", r"\g<1>7", line)


@pytest.mark.parametrize(
    "alter",
    [
        pytest.param(lambda lines: [change(line) for line in lines], id="amount"),
        pytest.param(lambda lines: lines[:2] + lines[3:], id="line-left-out"),
        pytest.param(lambda lines: [line for line in lines if not line.startswith("3,")], id="entry-left-out"),
    ],
)
def test_the_exported_evidence_tells_what_was_altered(
    tmp_path: Path, lab: Lab, alter: Callable[[list[str]], list[str]]
) -> None:
    found: dict[str, Any] = {}
    exec(compile(PROGRAM, "docs/ledger.md", "exec"), found)  # noqa: S102  # the page's own program is what is tested
    with lab.catalog.write() as tx:
        ledger.post(tx, ledger.Entry("promise:by-hand", "promise", "moves nothing", ()))
    out = io.StringIO()
    with lab.catalog.read() as tx:
        count = write_ledger_csv(tx, out)
        assert ledger.last(tx)[0] == count
    path = tmp_path / "ledger.csv"
    path.write_text(out.getvalue(), encoding="utf-8")
    assert list(found["faults"](path)) == []
    path.write_text("".join(alter(out.getvalue().splitlines(keepends=True))), encoding="utf-8")
    assert list(found["faults"](path)) != []
