"""`frostline db upgrade`: bring the catalog's schema to this version."""

import typer

from tiering.catalog.upgrade import upgrade
from tiering.cli.session import session_of

EXAMPLES = (
    "frostline db upgrade",
    "frostline --config /etc/frostline/frostline.toml db upgrade",
)


def run(ctx: typer.Context) -> int:
    """Run the schema migrations that are missing, in one transaction; nothing else changes. Stop the daemon first."""
    session = session_of(ctx)
    before, now = upgrade(session.load().config.catalog.url)
    session.out.json({"before": before, "now": now})
    session.out.text(f"the catalog is at schema {now}" + ("" if before == now else f" (was {before or 'empty'})"))
    return 0
