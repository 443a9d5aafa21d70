"""docs/records.md and docs/ledger.md name every record and account there is, and none that there is not."""

import re
from pathlib import Path

import tiering.catalog
from tiering.catalog.accounts import BOOKS

PROJECT = Path(__file__).parents[2]
SOURCES = Path(tiering.catalog.__file__).parent


def test_every_kind_of_record_is_documented() -> None:
    written = {kind for path in SOURCES.glob("*.py") for kind in re.findall(r'"record": "(\w+)"', path.read_text())}
    table = re.findall(r"(?m)^\| `(\w+)` \|", (PROJECT / "docs" / "records.md").read_text())

    assert set(table) - {"record"} == written


def test_every_account_is_documented() -> None:
    text = (PROJECT / "docs" / "ledger.md").read_text()
    named = set(re.findall(r"`((?:files|store|held|bucket|cost|baseline)\.\w+|payable|baseline)`", text))

    assert named == {account for _, accounts in BOOKS.values() for account in accounts}
