"""`frostline audit`: reconcile ledger, catalog, store and disk; show what was saved."""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

import typer

from policies.amounts import NANO, say_bytes, say_usd
from policies.plan import EnergyReport
from tiering.catalog import ledger
from tiering.cli.arguments import parse_moment
from tiering.cli.output import Output
from tiering.cli.session import session_of
from tiering.clock import NS_PER_S
from tiering.errors import ConfigError, UsageError
from tiering.jobs.audit import AuditReport, audit
from tiering.jobs.context import Context
from tiering.report.audit_html import audit_html
from tiering.report.bill import Bill, Difference, booked, compare, open_bill, read_bill
from tiering.report.energy import energy_held, say_energy
from tiering.report.focus import write_focus
from tiering.report.ledger_csv import write_ledger_csv
from tiering.report.waterfall import Step, waterfall

EXAMPLES = (
    "frostline audit",
    "frostline audit --since 2026-01-01 --until 2026-04-01 --csv q1.csv --html q1.html",
    "frostline audit --bill cost-and-usage-2026-03.csv.gz --focus march.csv",
)
DISCREPANCY = 10
NOTES_SHOWN = 20  # a folder of somebody's in a store makes one for each file
BAR = 30  # characters of the longest bar


def run(
    ctx: typer.Context,
    since: Annotated[str, typer.Option("--since", help="Dollars and CSV from this time on: 2026-01-01.")] = "",
    until: Annotated[str, typer.Option("--until", help="... and before this time.")] = "",
    html: Annotated[str, typer.Option("--html", help="Write the report as a page to this file.")] = "",
    csv: Annotated[str, typer.Option("--csv", help="Write the ledger's entries of that time to this file.")] = "",
    focus: Annotated[str, typer.Option("--focus", help="Write the costs of that time as a FOCUS table.")] = "",
    bill: Annotated[str, typer.Option("--bill", help="Compare with the provider's bill: CUR or FOCUS, CSV.")] = "",
    inventory: Annotated[
        str,
        typer.Option("--inventory", help="manifest.json of an S3 Inventory on disk, in place of listing the stores."),
    ] = "",
    no_store: Annotated[bool, typer.Option("--no-store", help="Do not list the stores.")] = False,
    no_disk: Annotated[bool, typer.Option("--no-disk", help="Do not look at the trees.")] = False,
) -> int:
    """Compare the ledger with the catalog's rows, the stores' listings and the disk, to the byte.

    Exit 10 on a difference. Bytes are as of now; --since and --until bound the dollars. Realised savings came off a
    bill, avoided cost did not.
    """
    session = session_of(ctx)
    since_ns, until_ns = _period(since, until)
    held: _Held | None = None
    with session.reading() as context:
        held = _held_against(context, bill) if bill else None
        report = audit(
            context,
            since_ns=since_ns,
            until_ns=until_ns,
            check_store=not no_store,
            check_disk=not no_disk,
            inventory=inventory,
        )
        looked_at = _looked_at(no_store=no_store, no_disk=no_disk)
        report = replace(report, notes=(*_not_looked_at(no_store=no_store, no_disk=no_disk), *report.notes))
        evidence = _evidence(context, since=since, until=until)
        energy = _energy(context, report)
        if csv:
            _write_csv(context, csv, since_ns=since_ns, until_ns=until_ns)
        if focus:
            _write_focus(context, focus, since_ns=since_ns, until_ns=until_ns)
    steps = waterfall(report)
    if html:
        page = audit_html(
            title="frostline audit",
            agreed=looked_at if report.ok else "",
            steps=steps,
            facts=[*_facts(report), *evidence],
            discrepancies=report.discrepancies,
            notes=report.notes,
        )
        _write(html, page)
    answer = {**report.as_json(), "energy": None if energy is None else asdict(energy)}
    session.out.json(answer if held is None else {**answer, "bill": held.as_json()})
    _show(session.out, report, steps, agreed=looked_at, energy=energy)
    if held is None:
        return report.exit_code
    held.show(session.out)
    return report.exit_code if held.agrees else DISCREPANCY


def _period(since: str, until: str) -> tuple[int, int | None]:
    since_ns = parse_moment(since) if since else 0
    until_ns = parse_moment(until) if until else None
    if until_ns is not None and until_ns <= since_ns:
        raise UsageError(
            f"--until {until} is not after --since {since}: no time lies between", now="nothing was audited"
        )
    return since_ns, until_ns


def _looked_at(*, no_store: bool, no_disk: bool) -> str:
    """Return what was compared, in words."""
    sides = ["ledger", "catalog", *([] if no_store else ["store"]), *([] if no_disk else ["disk"])]
    return f"{', '.join(sides[:-1])} and {sides[-1]}"


def _not_looked_at(*, no_store: bool, no_disk: bool) -> list[str]:
    return [
        *(["the stores were not listed: --no-store"] if no_store else []),
        *(["the trees were not looked at: --no-disk"] if no_disk else []),
    ]


def _evidence(context: Context, *, since: str, until: str) -> list[tuple[str, str]]:
    """Return what a page must say that is to be shown to others: of when it is, of what, and how far the books went."""
    with context.catalog.read() as tx:
        entries, head = ledger.last(tx)
    as_of = datetime.fromtimestamp(context.clock.now_ns() // NS_PER_S, UTC)
    return [
        ("bytes as of", f"{as_of:%Y-%m-%dT%H:%M:%SZ}"),
        ("dollars", f"from {since or 'the beginning'} until {until or 'then'}"),
        ("catalog", context.catalog_id),
        ("ledger entries", f"{entries:,}"),
        ("hash of the last one", head),
    ]


def _energy(context: Context, report: AuditReport) -> EnergyReport | None:
    """Return what is held draws; None where the price book, which has the estimates, cannot be read."""
    try:
        return energy_held(
            context.config,
            logical_bytes=report.logical_bytes - report.object_bytes,
            hot_bytes=report.hot_bytes,
            by_tier=report.by_tier,
        )
    except ConfigError:
        return None


@dataclass(frozen=True, slots=True)
class _Held:
    """A bill and what the ledger has of the same time."""

    bill: Bill
    differences: list[Difference]

    @property
    def agrees(self) -> bool:
        return all(difference.is_rounding for difference in self.differences)

    def as_json(self) -> dict[str, object]:
        usd = {
            found.category: {"billed": found.billed_nano / NANO, "booked": found.booked_nano / NANO}
            for found in self.differences
        }
        return {"agrees": self.agrees, "rows": self.bill.rows, "rows_elsewhere": self.bill.rows_elsewhere, "usd": usd}

    def show(self, out: Output) -> None:
        out.text(f"the bill: {self.bill.rows:,} lines count, {self.bill.rows_elsewhere:,} are about something else")
        for found in self.differences:
            verdict = "agrees" if found.is_rounding else "differs"
            billed, ours = say_usd(found.billed_nano), say_usd(found.booked_nano)
            out.text(f"  {found.category:<14} billed {billed:>14}   booked {ours:>14}   {verdict}")


def _held_against(context: Context, path: str) -> _Held:
    """Read the bill about the configured buckets and what the ledger has of its time."""
    buckets = {
        name: urlsplit(tier.store).netloc for name, tier in context.config.tiers.items() if tier.store.startswith("s3:")
    }
    if not buckets:
        raise UsageError("no tier is a bucket: there is no bill to compare with", now="nothing was compared")
    with open_bill(path) as rows:
        bill = read_bill(rows, set(buckets.values()))
    with context.catalog.read() as tx:
        entries = ledger.entries(tx, since_ns=bill.since_ns, until_ns=bill.until_ns)
        return _Held(bill, compare(bill, booked(entries, buckets.keys())))


def _write_focus(context: Context, path: str, *, since_ns: int, until_ns: int | None) -> None:
    try:
        with open(path, "w", encoding="utf-8", newline="") as out, context.catalog.read() as tx:
            entries = ledger.entries(tx, since_ns=since_ns, until_ns=until_ns)
            write_focus(entries, context.config.tiers, out, installation=context.catalog_id)
    except OSError as error:
        raise _unwritable(path, error) from None


def _write_csv(context: Context, path: str, *, since_ns: int, until_ns: int | None) -> None:
    try:
        with open(path, "w", encoding="utf-8", newline="") as out, context.catalog.read() as tx:
            write_ledger_csv(tx, out, since_ns=since_ns, until_ns=until_ns)
    except OSError as error:
        raise _unwritable(path, error) from None


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as out:
            out.write(text)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: str, error: OSError) -> UsageError:
    return UsageError(f"{path} cannot be written: {error.strerror}", now="the audit itself changed nothing")


def _facts(report: AuditReport) -> list[tuple[str, str]]:
    usd = report.usd
    counts = [
        ("files", f"{report.files:,}"),
        ("logical bytes", f"{report.logical_bytes:,}"),
        ("on the hot tier", f"{report.hot_bytes:,}"),
        *([("originals in their buckets", f"{report.original_bytes:,}")] if report.object_bytes else []),
        ("offline", f"{report.offline_bytes:,}"),
    ]
    if not usd.baseline and not usd.actual:
        return [*counts, ("dollars", "none yet: storage is booked by the hour")]
    dollars = [
        ("all of it on the hot tier would have cost", usd.baseline),
        ("it did cost", usd.actual),
        ("saved, off a bill", usd.saved_realised),
        ("avoided cost", usd.saved_avoided),
    ]
    return [*counts, *((label, say_usd(round(amount * NANO))) for label, amount in dollars)]


def _show(out: Output, report: AuditReport, steps: list[Step], *, agreed: str, energy: EnergyReport | None) -> None:
    top = max((abs(step.change_bytes) for step in steps), default=0) or 1
    for step in steps:
        bar = ("=" if step.is_total else "-" if step.change_bytes < 0 else "+") * round(
            BAR * abs(step.change_bytes) / top
        )
        out.text(f"{step.label:<32}{say_bytes(step.change_bytes):>13}  {bar}")
    out.text()
    for label, value in _facts(report):
        out.text(f"{label:<43}{value:>22}")
    for note in report.notes[:NOTES_SHOWN]:
        out.text(f"note: {note}")
    if len(report.notes) > NOTES_SHOWN:
        out.text(f"note: ... and {len(report.notes) - NOTES_SHOWN:,} more, in --json")
    for said in report.discrepancies:
        out.text(f"discrepancy: {said}")
    if report.discrepancy_count > len(report.discrepancies):
        out.text(f"... {report.discrepancy_count:,} in all")
    out.text(f"ok: {agreed} agree" if report.ok else "the books do not balance")
    if energy is not None:
        out.text(f"energy, an estimate: {say_energy(energy)} (sources: frostline prices show)")
