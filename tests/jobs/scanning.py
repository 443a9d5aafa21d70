"""Scanning the laboratory in tests, and looking at what came of it."""

import os
from pathlib import Path
from typing import Any

from tests.jobs.lab import Lab
from tiering.catalog import files, ledger
from tiering.catalog.values import FileRow
from tiering.jobs.scan import ScanReport, scan_root


def scan(lab: Lab, **options: Any) -> ScanReport:
    lab.clock.advance(60)
    return scan_root(lab.context, lab.context.roots[0], **options)


def rows(lab: Lab) -> dict[str, FileRow]:
    with lab.catalog.read() as tx:
        return {os.fsdecode(row.path): row for row in files.every(tx, lab.context.roots[0].root_id)}


def states(lab: Lab) -> dict[str, str]:
    return {path: str(row.state) for path, row in rows(lab).items()}


def balance(lab: Lab, account: str) -> int:
    with lab.catalog.read() as tx:
        return ledger.balance(tx, account)


def fill(lab: Lab, count: int) -> list[Path]:
    return [lab.write(f"d{i % 7}/f{i:03d}", b"x" * (i + 1)) for i in range(count)]
