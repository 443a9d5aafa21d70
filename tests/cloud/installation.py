"""An installation whose tiers stand in one bucket of the cloud, and its ledger held against the cloud's bill."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from policies.values import HOT
from tests.cloud.server import Cloud
from tests.jobs.lab import Lab, open_lab
from tests.stores.servers import S3Server
from tiering.catalog.accounts import NANOUSD
from tiering.catalog.tables import ledger_lines
from tiering.clock import FakeClock
from tiering.jobs.accrue import accrue
from tiering.jobs.charges import charge

BUCKET = "vault"
ROUNDING = 40
"""Nano-dollars: early deletions, retrievals and copies are rounded one by one, by less than a nano-dollar each: of the
last two as many are allowed as there are lines, if those are more. Storage is carried exactly, requests are whole.
"""
TWO_CLASSES = {"standard": "STANDARD", "archive": "GLACIER"}
_KIND_OF = {
    "cost.storage": "storage",
    "cost.requests": "requests",
    "cost.transition": "requests",
    "cost.retrieval": "retrieval",
    "cost.early_delete": "early_delete",
    "restored_copies": "retrieval",
}
"""Account of the ledger, or kind on the bill -> what is compared."""


@dataclass(slots=True)
class Site:
    """A folder, a cloud, and the clock of both."""

    base: Path
    server: S3Server
    app: Cloud
    clock: FakeClock
    probing: Counter[str] = field(default_factory=Counter)
    """What opening asked of the stores: init's questions are in no book (docs/ledger.md)."""

    @contextmanager
    def lab(
        self, classes: Mapping[str, str] = TWO_CLASSES, *, of_tier: Mapping[str, Any] | None = None, **changes: Any
    ) -> Iterator[Lab]:
        """Open the installation, made the first time: tiers of *classes*, warmest first, in one bucket; *of_tier* is
        said of each of them.
        """
        place = {"store": f"s3://{BUCKET}", "endpoint_url": self.server.endpoint, "path_style": True, **(of_tier or {})}
        tiers = {name: {**place, "storage_class": storage_class} for name, storage_class in classes.items()}
        before = self.billed()
        with open_lab(self.base, clock=self.clock, tiers=tiers, **changes) as made:
            for tier in made.context.tiers.values():
                tier.meter.take()
            self.probing.update(self.billed())
            self.probing.subtract(before)
            yield made

    def billed(self) -> Counter[str]:
        """Return the bill so far, in nano-dollars."""
        found: Counter[str] = Counter()
        for kind, nano in self.app.settle().by_kind().items():
            found[_KIND_OF.get(kind, kind)] += nano
        return found

    def differences(self, lab: Lab) -> dict[str, int]:
        """Bring the books up to now; return ledger less bill by kind, in nano-dollars, where they differ by more than
        the ledger's rounding.
        """
        charge(lab.context, reason="the end")
        accrue(lab.context)
        booked = booked_by_kind(lab)
        bill = self.billed()
        bill.subtract(self.probing)
        found = {kind: booked[kind] - bill[kind] for kind in sorted(booked | bill)}
        tiers = len(lab.context.config.tiers)  # storage is exact but for the last nano-dollar of each
        allowed = {"requests": 0, "storage": tiers, "retrieval": max(ROUNDING, lines_of(lab, "cost.retrieval"))}
        return {kind: nano for kind, nano in found.items() if abs(nano) > allowed.get(kind, ROUNDING)}

    def run(self, hours: float) -> None:
        """Let time pass."""
        self.clock.advance(hours * 3600)


def lines_of(lab: Lab, account: str) -> int:
    """Return how many lines the ledger has on an account."""
    query = select(func.count()).select_from(ledger_lines).where(ledger_lines.c.account == account)
    with lab.catalog.read() as tx:
        return int(tx.conn.execute(query).scalar_one())


def booked_by_kind(lab: Lab) -> Counter[str]:
    """Return the cold dollars of the ledger in nano-dollars."""
    booked: Counter[str] = Counter()
    query = (
        select(ledger_lines.c.account, func.sum(ledger_lines.c.amount))
        .where(ledger_lines.c.unit == NANOUSD, ledger_lines.c.tier != HOT, ledger_lines.c.account.in_(list(_KIND_OF)))
        .group_by(ledger_lines.c.account)
    )
    with lab.catalog.read() as tx:
        for account, nano in tx.conn.execute(query):
            booked[_KIND_OF[account]] += int(nano)
    return booked
