"""Opens an installation: from a checked configuration to the Context that jobs are handed."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

from tiering.app.placement import check_placement, refuse_new_name
from tiering.app.process import process_owner
from tiering.app.stores import open_tiers
from tiering.catalog import accounts, ledger, packs
from tiering.catalog import roots as root_rows
from tiering.catalog.open import Catalog, open_catalog
from tiering.catalog.values import PackState
from tiering.clock import Clock
from tiering.config import Config
from tiering.errors import ConfigError
from tiering.jobs.bucket_roots import open_bucket_roots
from tiering.jobs.charges import charging
from tiering.jobs.context import Context, NoProgress, OpenRoot, OpenTier, Progress, no_step
from tiering.stores import ownership

_IN_BUCKET = frozenset({accounts.BUCKET_LIVE, accounts.BUCKET_DEAD, accounts.BUCKET_METADATA})


@contextmanager
def open_context(
    config: Config,
    *,
    clock: Clock,
    progress: Progress | None = None,
    stop: Event | None = None,
    step: Callable[[str], None] = no_step,
    check_owner: bool = True,
    reason: str = "requests",
) -> Iterator[Context]:
    """Give a Context on the installation that *config* describes; closes the catalog at the end.

    Before that, what the stores were asked and no job has booked goes into the ledger, with *reason*.

    With *check_owner* every store is asked whose it is (one small request each); without it nothing is sent to a store
    until a job does. Raises ConfigError and SchemaError (2), CatalogBusy and StoreUnavailable (75), NotOwner (1).
    """
    check_placement(config)
    catalog = open_catalog(config.catalog.url, clock=clock)
    try:
        context = build_context(config, catalog, clock=clock, progress=progress, stop=stop, step=step)
        if check_owner:
            check_ownership(context)
            # Reads segments, so it brings the codecs along: not for commands that ask no store.
            importlib.import_module("tiering.jobs.outdated").refuse_outdated(context, may_read=True)
        with charging(context, reason=reason):
            yield context
    finally:
        catalog.close()


def build_context(
    config: Config,
    catalog: Catalog,
    *,
    clock: Clock,
    progress: Progress | None = None,
    stop: Event | None = None,
    step: Callable[[str], None] = no_step,
) -> Context:
    """Return the Context on an open *catalog*. Sends no request.

    Raises ConfigError for what init has not prepared, and for a tier that is gone from the configuration while packs
    stand in it.
    """
    tiers, store_id, epoch = open_tiers(config, catalog, clock=clock)
    _refuse_lost_tier(config, catalog)
    home = tiers[config.metadata_tier]
    return Context(
        config=config,
        catalog=catalog,
        tiers=tiers,
        metadata=OpenTier(
            home.name, home.store, config.metadata.storage_class, home.rank, home.capabilities, home.meter
        ),
        roots=open_roots(config, catalog),
        buckets=open_bucket_roots(catalog),
        clock=clock,
        store_id=store_id,
        catalog_id=catalog.catalog_id,
        epoch=epoch,
        owner=process_owner(),
        progress=progress or NoProgress(),
        stop=stop or Event(),
        step=step,
    )


def check_ownership(context: Context) -> None:
    """Raise NotOwner unless every store is this catalog's, at this epoch."""
    asked: set[str] = set()
    for tier in context.tiers.values():
        if tier.store.url not in asked:
            ownership.check(tier.store, context.catalog_id, context.epoch)
            asked.add(tier.store.url)


def _refuse_lost_tier(config: Config, catalog: Catalog) -> None:
    """Raise ConfigError where packs stand in a tier that the configuration does not have: nobody could read them."""
    with catalog.read() as tx:
        booked = {tier for account, tier in ledger.all_balances(tx) if account in _IN_BUCKET}
        for name in sorted(booked.difference(config.tiers)):
            if any(packs.in_state(tx, state, tier=name, limit=1) for state in (PackState.LIVE, PackState.DOOMED)):
                raise ConfigError(
                    f'packs stand in tier "{name}", and the configuration has no [tiers.{name}]',
                    now="nothing was read, moved or deleted",
                    hint=f"put [tiers.{name}] back as it was: a tier keeps its name while anything stands in it, and "
                    "gets nothing new where no rule names it",
                )


def open_roots(config: Config, catalog: Catalog) -> tuple[OpenRoot, ...]:
    """Return the configured roots with their ids and markers; raises ConfigError for one that init does not know."""
    with catalog.read() as tx:
        rows = root_rows.all_roots(tx)
    known = {row.name: row for row in rows if row.state == "active"}
    left = {row.path for row in rows if row.state != "active"}
    opened: list[OpenRoot] = []
    for root in config.roots:
        row = known.get(root.name)
        if row is None or row.path != root.path_bytes:
            refuse_new_name(root, known.values())
            if row is None and root.path_bytes in left:
                raise ConfigError(
                    f"root {root.name} ({root.path}) was left: frostline leave took its marker away",
                    now="its files are as they were then; nothing was read or written there",
                    hint=f"take its [[roots]] out of the configuration, or run: frostline init --root {root.path}",
                )
            was = "is not known to the catalog" if row is None else "stands elsewhere in the catalog"
            raise ConfigError(
                f"root {root.name} ({root.path}) {was}",
                now="nothing was read or written there",
                hint=f"look whether the right tree is mounted, then run: frostline init --root {root.path}",
            )
        opened.append(OpenRoot(row.root_id, row.name, row.path, "" if root.read_only else row.marker))
    return tuple(opened)
