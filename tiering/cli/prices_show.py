"""`frostline prices show`: what a price book says, and where every number comes from."""

from typing import Annotated

import typer

from policies.amounts import NANO
from policies.prices import ClassPrice, PriceBook
from tiering.cli.output import Cell, Output
from tiering.cli.session import session_of
from tiering.config.price_books import load_book, shipped_books

EXAMPLES = ("frostline prices show", "frostline --json prices show gcs-us-central1", "frostline prices show ./own.json")


def run(
    ctx: typer.Context,
    book: Annotated[str, typer.Argument(help="Shipped name, or path of an own book.")] = "aws-us-east-1",
) -> int:
    """Show storage, requests, retrieval, minimum stays, disks and energy of a price book, with dates and sources."""
    session = session_of(ctx)
    loaded = load_book(book)
    session.out.json(_document(loaded))
    _show(session.out, loaded)
    return 0


def _document(book: PriceBook) -> dict[str, object]:
    return {
        "id": book.book_id, "as_of": book.as_of, "region": book.region, "sources": list(book.sources),
        "shipped": shipped_books(),
        "classes": {name: _class_document(price, book) for name, price in book.classes.items()},
        "hot": {
            name: {
                "usd_per_gib_month": disk.nano_per_gib / NANO, "refundable": disk.is_refundable,
                "estimate": disk.is_estimate, "as_of": disk.as_of, "note": disk.note,
            }
            for name, disk in book.disks.items()
        },
        "grid_gco2e_per_kwh": book.energy.grid_gco2e_per_kwh,
    }  # fmt: skip


def _class_document(price: ClassPrice, book: PriceBook) -> dict[str, object]:
    return {
        "usd_per_gib_month": price.storage[0].nano_per_gib / NANO,
        "put_usd": price.put_nano / NANO,
        "get_usd": price.get_nano / NANO,
        "transition_usd": None if price.transition_nano is None else price.transition_nano / NANO,
        "retrieval_usd_per_gib": price.retrieval_nano_per_gib / NANO,
        "min_days": price.min_days,
        "min_billed_bytes": price.min_billed_bytes,
        "restore": {
            speed: {"usd_per_gib": it.nano_per_gib / NANO, "latency_h": list(it.latency_h)}
            for speed, it in (price.restore or {}).items()
        },
        "access_tiers": [
            {"name": tier.name, "after_days": tier.after_days, "usd_per_gib_month": tier.nano_per_gib / NANO}
            for tier in price.access_tiers
        ],
        "kwh_per_tib_month": book.energy.kwh_per_tib_month.get(price.name),
    }


def _show(out: Output, book: PriceBook) -> None:
    out.text(f"{book.book_id}, {book.region}, as of {book.as_of}; dollars, GiB = 2**30 bytes, a month is 730 h")
    rows: list[list[Cell]] = []
    for price in sorted(book.classes.values(), key=lambda price: -price.storage[0].nano_per_gib):
        speeds = ", ".join(f"{speed} {it.nano_per_gib / NANO:g}" for speed, it in (price.restore or {}).items())
        rows.append([
            price.name, f"{price.storage[0].nano_per_gib / NANO:g}", f"{price.put_nano * 1000 / NANO:g}",
            f"{price.get_nano * 1000 / NANO:g}", f"{price.retrieval_nano_per_gib / NANO:g}", price.min_days, speeds,
        ])  # fmt: skip
    out.table(("class", "GiB-month", "1000 PUT", "1000 GET", "GiB read", "min days", "restore, GiB"), rows)
    disks: list[list[Cell]] = [
        [name, f"{disk.nano_per_gib / NANO:g}", disk.as_of, ("ESTIMATE: " if disk.is_estimate else "") + disk.note]
        for name, disk in book.disks.items()
    ]
    out.table(("disk", "GiB-month", "as of", "note"), disks)
    out.text(f"energy: {book.energy.grid_gco2e_per_kwh:g} gCO2e per kWh. {book.energy.source} ({book.energy.as_of})")
    for source in book.sources:
        out.text(f"source: {source}")
