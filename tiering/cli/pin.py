"""`frostline pin`: keep files hot."""

from typing import Annotated

import typer

from tiering.app.targets import find_targets, roots_of
from tiering.catalog import files
from tiering.catalog.transaction import batches
from tiering.cli.session import Session, session_of
from tiering.jobs.scan import scan_root

EXAMPLES = (
    "frostline pin /data/runs/best",
    "frostline pin /data/tokenizer.json /data/vocab.txt",
)


def run(
    ctx: typer.Context, paths: Annotated[list[str], typer.Argument(help="Folders (all files in them now) or files.")]
) -> int:
    """Keep these files hot whatever the rules say, until `frostline unpin`. Offline files are not recalled by it."""
    return set_pins(session_of(ctx), paths, pinned=True)


def set_pins(session: Session, paths: list[str], *, pinned: bool) -> int:
    """Set or clear the pin of every file at or below *paths*; print how many changed."""
    changed = 0
    with session.looking() as context:
        targets = find_targets(context, paths)
        for root in roots_of(targets):
            scan_root(context, root)
        for target in targets:
            with context.catalog.read() as tx:
                wanted = [row.file_id for row in target.rows(tx) if row.pinned is not pinned]
            for batch in batches(wanted):
                with context.catalog.write() as tx:
                    files.set_pinned(tx, batch, pinned)
            changed += len(wanted)
    session.out.json({"pinned" if pinned else "unpinned": changed})
    session.out.text(f"{'pinned' if pinned else 'unpinned'}: {changed:,} files")
    return 0
