"""Losing the laboratory's catalog, and getting it back from the stores; or doing without frostline."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.jobs.lab import Lab
from tiering.catalog import files
from tiering.catalog.open import Catalog, open_catalog
from tiering.jobs.context import OpenRoot
from tiering.jobs.rebuild import RebuildReport, Surroundings, rebuild
from tiering.stores.memory import shelf

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "restore.py"


@contextmanager
def lose_catalog(lab: Lab, url: str = "") -> Iterator[tuple[Lab, Catalog]]:
    """Give the lab an empty catalog in the place of the lost one."""
    url = url or f"sqlite:///{lab.base}/state/again.db"
    catalog = open_catalog(url, clock=lab.clock, create=True, rebuilding=True)
    try:
        yield replace(lab, context=replace(lab.context, catalog=catalog, catalog_id=catalog.catalog_id)), catalog
    finally:
        catalog.close()


def rebuilt(lab: Lab, catalog: Catalog, *, step: object = None) -> RebuildReport:
    """Rebuild, and let the lab's context speak for the new catalog."""
    stores = {name: tier.store for name, tier in lab.context.tiers.items()}
    around = Surroundings(lab.clock, "test:2:boot")
    if step is not None:
        around = replace(around, step=step)  # type: ignore[arg-type]  # a test's own
    report = rebuild(lab.context.config, catalog, stores, around=around)
    with catalog.read() as tx:
        row = files.page(tx, 1, limit=1)
        root_id = row[0].root_id if row else 1
    old = lab.context.roots[0]
    root = OpenRoot(root_id, old.name, old.path, old.marker)
    lab.context = replace(lab.context, epoch=report.epoch, roots=(root,), owner="test:2:boot")
    return report


def restored_by_script(lab: Lab, base: Path) -> Path:
    """Copy the objects of all tiers into a folder below *base*, run tools/restore.py on it, return where the root is.

    Fails if the script could not restore something.
    """
    folder = base / "objects"
    for tier in lab.context.tiers.values():
        for key, held in shelf(tier.store.url.removeprefix("memory://")).held.items():
            place = folder / key
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(held.body)
    command = [sys.executable, str(SCRIPT), str(folder), str(base / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return base / "out" / "root"
