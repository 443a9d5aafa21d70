"""A laboratory for jobs: one root, one catalog on SQLite, memory stores, a fake clock; everything real but time.

`open_lab` is a context manager; tests/jobs/conftest.py has it as the fixture `lab`. Tests change `lab.context` with
dataclasses.replace where they need another step function, tier or setting.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tiering.catalog import roots, stores
from tiering.catalog.open import Catalog, open_catalog
from tiering.clock import FakeClock
from tiering.config.models import Config
from tiering.hot.lease import ignore_sigio
from tiering.hot.marker import write_marker
from tiering.jobs.context import Context, OpenRoot, OpenTier
from tiering.stores import ownership
from tiering.stores.base import Store
from tiering.stores.metered import Meter
from tiering.stores.open import open_store
from tiering.stores.options import StoreOptions
from tiering.stores.probe import probe

STORE_ID = "teststor"


@dataclass(slots=True)
class Lab:
    """An installation in a folder."""

    base: Path
    context: Context
    clock: FakeClock

    @property
    def root(self) -> Path:
        """The only root."""
        return Path(os.fsdecode(self.context.roots[0].path))

    @property
    def catalog(self) -> Catalog:
        """The open catalog."""
        return self.context.catalog

    def write(self, path: str | bytes, data: bytes) -> Path:
        """Create a file below the root, with its folders."""
        place = Path(os.fsdecode(os.path.join(self.context.roots[0].path, os.fsencode(path))))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        return place

    def with_steps(self, step: Any) -> Context:
        """Return the context with another step function, for kill points."""
        return replace(self.context, step=step)


def settings(base: Path, **changes: Any) -> Config:
    """Return a configuration around *base*; *changes* are whole sections in the file's words."""
    values: dict[str, Any] = {
        "act": True,
        "catalog": {"url": f"sqlite:///{base}/state/catalog.db", "state_dir": f"{base}/state"},
        "roots": [{"name": "root", "path": f"{base}/root"}],
        "tiers": {
            "standard": {"store": f"memory://{base.parent.name}-{base.name}-standard"},
            "archive": {"store": f"memory://{base.parent.name}-{base.name}-archive", "storage_class": "DEEP_ARCHIVE"},
        },
        "chunking": {"pack_bytes": "1MiB"},
        "release": {"park_s": 0, "min_size": 0},
        "recall": {"reserve_fraction": 0},
        "gc": {"grace": "0s"},
    }
    return Config.model_validate(values | changes)


def open_tiers(config: Config, catalog: Catalog, clock: FakeClock) -> dict[str, OpenTier]:
    """Open, claim and probe the stores of the configured tiers."""
    opened: dict[str, OpenTier] = {}
    for name, tier in config.tiers.items():
        meter = Meter()
        options = StoreOptions(
            endpoint_url=tier.endpoint_url, region=tier.region, profile=tier.profile, path_style=tier.path_style
        )
        store = open_store(tier.store, options=options, clock=clock, meter=meter, create=True)
        claimed = claim(store, catalog, tier_name=name, now_ns=clock.now_ns())
        capabilities = probe(store, storage_classes=[tier.storage_class], nonce=secrets.token_hex(4))
        assert claimed == STORE_ID
        opened[name] = OpenTier(name, store, tier.storage_class, config.rank(name), capabilities, meter)
    return opened


def claim(store: Store, catalog: Catalog, *, tier_name: str, now_ns: int) -> str:
    """Own the store and note it in the catalog; returns the store id."""
    owned = ownership.claim(store, catalog.catalog_id, STORE_ID, now_ns)
    with catalog.write() as tx:
        row = stores.StoreRow(store.url, owned.store_id, owned.epoch, "{}", now_ns, tier_name, len(owned.body))
        stores.put(tx, row)
    return owned.store_id


def new_clock() -> FakeClock:
    """Return a clock at the time at which every laboratory begins: a whole hour."""
    return FakeClock(1_800_000_000 * 10**9)


@contextmanager
def open_lab(base: Path, *, clock: FakeClock | None = None, **changes: Any) -> Iterator[Lab]:
    """Build and open an installation in the folder *base*; one that stands there already is opened as it is, by
    another process than before: a restart.
    """
    ignore_sigio()
    is_new = not (base / "root").exists()
    (base / "root").mkdir(parents=True, exist_ok=True)
    (base / "state" / "spool").mkdir(parents=True, exist_ok=True)
    clock = clock or new_clock()
    config = settings(base, **changes)
    catalog = open_catalog(config.catalog.url, clock=clock, create=is_new)
    try:
        tiers = open_tiers(config, catalog, clock)
        path = os.fsencode(base / "root")
        if is_new:
            marker = write_marker(path)
            with catalog.write() as tx:
                root_id = roots.add(tx, name="root", path=path, marker=marker)
        else:
            with catalog.read() as tx:
                ((root_id, marker),) = [(row.root_id, row.marker) for row in roots.all_roots(tx)]
        metadata = replace(tiers[config.metadata_tier], storage_class=config.metadata.storage_class)
        context = Context(
            config=config,
            catalog=catalog,
            tiers=tiers,
            metadata=metadata,
            roots=(OpenRoot(root_id, "root", path, marker),),
            clock=clock,
            store_id=STORE_ID,
            catalog_id=catalog.catalog_id,
            epoch=1,
            owner=f"test:{os.getpid()}:boot",
        )
        yield Lab(base, context, clock)
    finally:
        catalog.close()
