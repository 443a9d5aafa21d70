"""Prints what a recall would take."""

from typing import Any

from policies.amounts import NANO, say_bytes, say_usd
from tiering.cli.output import Output
from tiering.jobs.recall_quote import Offer, RecallQuote


def quote_json(told: RecallQuote) -> dict[str, Any]:
    """Return the documented keys of a quote: bytes are integers, dollars are numbers."""
    return {
        "files": told.files,
        "file_bytes": told.file_bytes,
        "packs": told.packs,
        "pack_bytes": told.pack_bytes,
        "base_packs": told.base_packs,
        "cold_packs": told.cold_packs,
        "running_packs": told.running_packs,
        "new_packs": told.new_packs,
        "new_bytes": told.new_bytes,
        "offers": [_offer(offer) for offer in told.offers],
        "chosen": _offer(told.chosen),
        "budgets": [
            {"period": one.period, "usd": one.budget_nano / NANO, "usd_left": one.usd_nano / NANO}
            for one in told.budgets
        ],
        "usd_early_delete": told.early_delete_nano / NANO,
        "remarks": list(told.remarks),
    }


def show_quote(out: Output, told: RecallQuote, *, has_deadline: bool) -> None:
    """Print a quote as text."""
    bases = f", {told.base_packs:,} of them only because others are coded against them" if told.base_packs else ""
    what = f"{told.files:,} files, {say_bytes(told.file_bytes)}, need " if told.files else "these bytes need "
    out.text(f"{what}{told.packs:,} packs, {say_bytes(told.pack_bytes)}{bases}")
    running = f", {told.running_packs:,} are on their way" if told.running_packs else ""
    out.text(
        f"readable now: {told.packs - told.cold_packs:,}{running}; to be restored: {told.new_packs:,} packs, "
        f"{say_bytes(told.new_bytes)}"
    )
    if told.offers:
        out.table(
            ("speed", "dollars", "up to", *(("in time",) if has_deadline else ()), "budget"),
            [_row(offer, has_deadline=has_deadline) for offer in told.offers],
        )
    if told.cold_packs:
        chosen = told.chosen
        refused = "" if chosen.is_in_budget else "; it would be refused: that is more than the budget"
        out.text(f"as asked: {chosen.speed}, {say_usd(chosen.usd_nano)}, up to {_hours(chosen.hours)}{refused}")
    for one in told.budgets:
        out.text(f"budget: {say_usd(one.usd_nano)} of {say_usd(one.budget_nano)} a {one.period} are left")
    out.text(
        "the stored copies stay, so no early deletion is charged"
        + (f"; deleting them today would cost {say_usd(told.early_delete_nano)}" if told.early_delete_nano else "")
    )
    for remark in told.remarks:
        out.text(f"note: {remark}")


def _offer(offer: Offer) -> dict[str, Any]:
    return {
        "speed": offer.speed,
        "usd": offer.usd_nano / NANO,
        "hours": offer.hours,
        "in_time": offer.is_in_time,
        "in_budget": offer.is_in_budget,
    }


def _row(offer: Offer, *, has_deadline: bool) -> tuple[str, ...]:
    in_time = (("yes" if offer.is_in_time else "no"),) if has_deadline else ()
    budget = "fits" if offer.is_in_budget else "exceeded"
    return (offer.speed, say_usd(offer.usd_nano), _hours(offer.hours), *in_time, budget)


def _hours(hours: float) -> str:
    return f"{hours:g} h" if hours >= 1 else f"{hours * 60:.0f} min"
