"""`frostline prices check`: whether price books are whole, and which of their numbers are estimates."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from policies.price_age import stale_parts
from policies.prices import PriceBook
from tiering.cli.session import session_of
from tiering.config.price_books import load_book, shipped_books

EXAMPLES = ("frostline prices check", "frostline --json prices check ./own.json")


def run(
    ctx: typer.Context,
    books: Annotated[list[str] | None, typer.Argument(help="Shipped names or paths; all shipped ones if none.")] = None,
) -> int:
    """Load each book, say what in it is an estimate, and warn of numbers older than a year.

    A gap or an ambiguity is an error that names the field.
    """
    session = session_of(ctx)
    today = datetime.fromtimestamp(session.clock.now_ns() // 10**9, UTC).date()
    loaded = [load_book(named) for named in books or shipped_books()]
    rows = [
        {
            "id": book.book_id, "as_of": book.as_of, "ok": True, "estimates": _estimates(book),
            "stale": stale_parts(book, today),
        }
        for book in loaded
    ]  # fmt: skip
    session.out.json(rows)
    for book in loaded:
        session.out.text(f"{book.book_id}: whole, as of {book.as_of}")
        for said in _estimates(book):
            session.out.text(f"  estimate: {said}")
        for said in stale_parts(book, today):
            session.out.text(f"  warning, stale: {said}")
    return 0


def _estimates(book: PriceBook) -> list[str]:
    disks = [name for name, disk in book.disks.items() if disk.is_estimate]
    said = [source for source in book.sources if "estimate" in source or "assumption" in source]
    return [*disks, "energy", *said]
