"""`frostline ledger verify`: check the ledger's hash chain and balances."""

import typer

from tiering.catalog import ledger
from tiering.cli.session import session_of
from tiering.errors import Discrepancy

EXAMPLES = (
    "frostline ledger verify",
    "frostline --json ledger verify | jq .head",
)


def run(ctx: typer.Context) -> int:
    """Recompute the hash of every entry, the link to the one before, each entry's sums, and the running balances.

    Exit 10 when anything does not fit: the ledger was altered, or lost a part.
    """
    session = session_of(ctx)
    with session.looking() as context, context.catalog.read() as tx:
        faults = [*ledger.verify_chain(tx), *ledger.verify_balances(tx)]
        entries, head = ledger.last(tx)
    session.out.json({"ok": not faults, "entries": entries, "head": head, "faults": faults})
    for fault in faults:
        session.out.text(fault)
    if not faults:
        session.out.text(f"{entries:,} entries, each as it was written; head {head}")
    return Discrepancy.exit_code if faults else 0
