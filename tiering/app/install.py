"""Prepares an installation: catalog, stores and roots as a configuration describes them.

Idempotent: what is prepared already is left as it is, so it also takes up a new root or tier. Refusals come before the
first thing is created; what a first installation created is removed again when a later step fails.
"""

import json
import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial

from tiering.app.placement import check_placement, refuse_new_name
from tiering.app.stores import open_tier_store
from tiering.catalog import packs
from tiering.catalog import roots as root_rows
from tiering.catalog import stores as store_rows
from tiering.catalog.open import Catalog, open_catalog
from tiering.catalog.values import PackState
from tiering.clock import Clock
from tiering.config import Config, RootConfig
from tiering.errors import ConfigError, NotOwner, ObjectMissing, RootMissing
from tiering.hot import names
from tiering.hot.marker import check_marker, remove_marker, write_marker
from tiering.jobs.charges import charge_meters
from tiering.stores import ownership
from tiering.stores.base import Capabilities, Store
from tiering.stores.metered import Meter
from tiering.stores.ownership import Ownership
from tiering.stores.probe import probe

STORE_ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"  # 8 of 32: enough that two stores of one site do not meet
STORE_ID_LENGTH = 8


@dataclass(frozen=True, slots=True)
class PreparedStore:
    """What init found out about one store."""

    tier: str
    url: str
    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class Installed:
    """What was done."""

    catalog_id: str
    store_id: str
    stores: tuple[PreparedStore, ...]
    roots: tuple[str, ...]
    """Paths of roots that carry a marker now."""
    marked_before: tuple[str, ...] = ()
    """Of these, roots new to this catalog whose marker stood there already: another installation's, or a lost one's."""


def install(config: Config, *, clock: Clock, named_roots: Sequence[str] = ()) -> Installed:
    """Create or complete everything that *config* names. Durable on return.

    *named_roots* are names of roots whose lost marker may be written anew: the operator says it is the right tree.
    Raises ConfigError and SchemaError (2) with nothing created, NotOwner (1) where a store is another catalog's,
    StoreUnavailable (75), StoreDenied and NoSpace (1); a first installation is then undone.
    """
    check_placement(config)
    for root in config.roots:
        if not os.path.isdir(root.path):
            raise ConfigError(f"there is no directory {root.path}", now="nothing was created or changed")
    with ExitStack() as undo:
        _make_state(config, undo)
        catalog = open_catalog(config.catalog.url, clock=clock, create=True)
        undo.callback(catalog.close)
        meters = [(name, Meter()) for name in config.tiers]
        stores = _claim_all(config, catalog, meters, clock=clock, undo=undo)
        prepared = tuple(_probe(config, name, store, catalog, clock=clock) for name, (store, _) in stores.items())
        before = _marked_by_others(config, catalog)
        marked = tuple(
            root.path for root in config.roots if _mark(root, catalog, undo, may_rewrite=root.name in named_roots)
        )
        charge_meters(catalog, config, meters, reason="init")
        undo.pop_all()
        catalog.close()
    home = stores[config.metadata_tier][1]
    return Installed(catalog.catalog_id, home.store_id, prepared, marked, before)


def _make_state(config: Config, undo: ExitStack) -> None:
    for folder in (config.catalog.state_dir, config.spool_dir):
        if not os.path.isdir(folder):
            try:
                os.makedirs(folder, mode=0o700)
            except OSError as error:
                raise _cannot(f"the state folder {folder} cannot be created", error) from error
            undo.callback(partial(shutil.rmtree, folder, ignore_errors=True))


def _claim_all(
    config: Config, catalog: Catalog, meters: Sequence[tuple[str, Meter]], *, clock: Clock, undo: ExitStack
) -> dict[str, tuple[Store, Ownership]]:
    """Own every store; all carry the same store id and epoch."""
    with catalog.read() as tx:
        known = store_rows.every(tx)
    store_id = known[0].store_id if known else new_store_id()
    epoch = known[0].epoch if known else 1
    claimed: dict[str, tuple[Store, Ownership]] = {}
    for name, meter in meters:
        store = open_tier_store(config.tiers[name], clock=clock, meter=meter, create=True)
        _refuse_empty(name, store, catalog)
        claimed[name] = (store, _claim(store, catalog, store_id, epoch=epoch, clock=clock, undo=undo))
        store_id = claimed[name][1].store_id  # an interrupted init may have claimed it under an id of its own
    return claimed


def _refuse_empty(tier: str, store: Store, catalog: Catalog) -> None:
    """Raise ConfigError where packs stand in *tier* and *store* is empty: they would be looked for there."""
    with catalog.read() as tx:
        if not any(packs.in_state(tx, state, tier=tier, limit=1) for state in (PackState.LIVE, PackState.DOOMED)):
            return
    try:
        ownership.read(store)
    except ObjectMissing:
        if next(iter(store.list("packs/")), None) is None:
            raise ConfigError(
                f"packs stand in tier {tier}, and its store {store.url} is empty",
                now="nothing was written to it",
                hint="mount it, or copy the old store there first, all of it; a new one gets a [tiers.NAME] of its own",
            ) from None


def _claim(store: Store, catalog: Catalog, store_id: str, *, epoch: int, clock: Clock, undo: ExitStack) -> Ownership:
    try:
        was_owned = ownership.read(store).catalog_id == catalog.catalog_id
    except ObjectMissing:
        was_owned = False
    try:
        owned = ownership.claim(store, catalog.catalog_id, store_id, clock.now_ns())
    except NotOwner as error:
        raise NotOwner(
            f"the store belongs to another catalog: {error.what}",
            now="nothing was written to it",
            hint="choose another store; if that catalog is lost: frostline rebuild",
        ) from error
    if not was_owned:
        undo.callback(partial(ownership.release, store, catalog.catalog_id, owned.epoch))
    while owned.epoch < epoch:  # a store added after a rebuild joins at the epoch of the others
        owned = ownership.take_over(store, catalog.catalog_id, clock.now_ns())
    return owned


def _probe(config: Config, name: str, store: Store, catalog: Catalog, *, clock: Clock) -> PreparedStore:
    classes = classes_on(config, config.tiers[name].store)
    capabilities = probe(store, storage_classes=classes, nonce=secrets.token_hex(8))
    owned = ownership.read(store)
    with catalog.write() as tx:
        row = store_rows.get(tx, store.url)
        tier = row.tier if row is not None else name
        store_rows.put(
            tx,
            store_rows.StoreRow(
                url=store.url,
                store_id=owned.store_id,
                epoch=owned.epoch,
                capabilities=json.dumps(asdict(capabilities)),
                probed_ns=clock.now_ns(),
                tier=tier,
                ownership_bytes=store.head(ownership.KEY).size_bytes,
            ),
        )
    return PreparedStore(name, store.url, capabilities)


def classes_on(config: Config, store: str) -> Sequence[str]:
    """Return the storage classes that tiers and metadata use on the store of that URL."""
    classes = {tier.storage_class for tier in config.tiers.values() if tier.store == store}
    if config.tiers[config.metadata_tier].store == store:
        classes.add(config.metadata.storage_class)
    return sorted(classes)


def _marked_by_others(config: Config, catalog: Catalog) -> tuple[str, ...]:
    with catalog.read() as tx:
        known = {row.path for row in root_rows.all_roots(tx)}
    return tuple(
        root.path
        for root in config.roots
        if root.path_bytes not in known
        and not root.read_only
        and os.path.lexists(os.path.join(root.path_bytes, names.ROOT_MARKER))
    )


def _mark(root: RootConfig, catalog: Catalog, undo: ExitStack, *, may_rewrite: bool) -> bool:
    """Give the root its marker and its row; True if it carries a marker now.

    A known root must carry the marker it had: another tree has another, an unmounted one has none. Only where the
    operator named the root, and so has looked, is a lost marker written anew. Raises RootMissing.
    """
    with catalog.read() as tx:
        rows = root_rows.all_roots(tx)
    refuse_new_name(root, rows)
    known = next((row for row in rows if row.name == root.name), None)
    marker = known.marker if known is not None and known.state == "active" else ""
    if not root.read_only:
        try:
            marker = _marker_of(root.path_bytes, marker, may_rewrite=may_rewrite)
        except OSError as error:
            raise _cannot(f"the root {root.path} cannot get its marker file", error) from error
        if known is None:
            undo.callback(partial(remove_marker, root.path_bytes))
    with catalog.write() as tx:
        root_rows.add(tx, name=root.name, path=root.path_bytes, marker=marker)
    return bool(marker) and not root.read_only


def _marker_of(path: bytes, known: str, *, may_rewrite: bool) -> str:
    if known:
        try:
            check_marker(path, known)
            return known
        except RootMissing as error:
            if not (may_rewrite and isinstance(error.__cause__, FileNotFoundError)):
                raise
    return write_marker(path)


def _cannot(what: str, error: OSError) -> ConfigError:
    return ConfigError(
        f"{what}: {error.strerror}",
        now="what this run had created for a new installation is removed again; no file was touched",
        hint="run this as a user who may write there, choose another place, or take a root only to look: --read-only",
    )


def new_store_id() -> str:
    """Return a fresh store id: 8 characters that stand in every placeholder."""
    return "".join(secrets.choice(STORE_ID_ALPHABET) for _ in range(STORE_ID_LENGTH))
