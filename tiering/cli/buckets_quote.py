"""How the quote of a bucket in mode ingest is printed, by `buckets plan` and `buckets apply`."""

from policies.amounts import say_bytes, say_usd
from tiering.cli.output import Output
from tiering.jobs.object_choice import Quote


def show_quote(out: Output, quote: Quote) -> None:
    """Print what taking in all that the rules choose would cost, and what stays."""
    chosen = f"{quote.chosen:,} of them, {say_bytes(quote.bytes)}, to {quote.tier}"
    out.text(f"{quote.url}: {quote.objects:,} objects; {chosen}")
    rows = [
        (f"{quote.requests:,} GETs and looks", say_usd(quote.requests_nano)),
        ("reading out of their class", say_usd(quote.retrieval_nano)),
        ("egress", say_usd(quote.egress_nano)),
    ]
    if quote.deletes:
        rows += [
            ("rest of minimum stays", say_usd(quote.early_nano)),
            ("reading stored copies back", say_usd(quote.proof_nano)),
        ]
    out.table(("once", "dollars"), [*rows, ("all, beside the puts of packs", say_usd(quote.once_nano))])
    then = "their packs" if quote.deletes else "originals and packs"
    out.text(
        f"they cost {say_usd(quote.month_now_nano)} a month where they are; {then} would cost at most "
        f"{say_usd(quote.month_then_nano)}, less by what dedup and compression save"
    )
    if quote.deletes:
        out.text("delete_originals is on: each original goes once its stored copy was read back whole")
    for reason, count in sorted(quote.left.items()):
        if count:
            out.text(f"{count:,} stay: {reason}")
