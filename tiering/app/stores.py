"""Opens the tiers of a configuration: one store each, with what was seen of it at init."""

import json
from collections.abc import Mapping

from tiering.catalog import stores as store_rows
from tiering.catalog.open import Catalog
from tiering.clock import Clock
from tiering.config import Config, TierConfig
from tiering.errors import ConfigError
from tiering.jobs.context import OpenTier
from tiering.stores.base import Capabilities, Store
from tiering.stores.metered import Meter
from tiering.stores.open import open_store
from tiering.stores.options import StoreOptions

DEADLINE_S = StoreOptions().deadline_s
# Somebody waits at a terminal, most likely with a typing error in a URL: say so soon.
ATTENDED_DEADLINE_S = 10.0


def store_options(tier: TierConfig, *, deadline_s: float = DEADLINE_S) -> StoreOptions:
    """Return how the store of *tier* is reached, and how long one operation is retried."""
    return StoreOptions(
        deadline_s=deadline_s,
        endpoint_url=tier.endpoint_url,
        region=tier.region,
        profile=tier.profile,
        path_style=tier.path_style,
        max_concurrency=tier.max_concurrency,
        bandwidth_bytes_per_s=tier.bandwidth_bytes_per_s,
        encryption=tier.encryption,
        kms_key=tier.kms_key,
        bucket_key=tier.bucket_key,
        tags=tuple(sorted(tier.tags.items())),
    )


def open_tier_store(tier: TierConfig, *, clock: Clock, meter: Meter | None = None, create: bool = False) -> Store:
    """Return the store of *tier* with its wrappers; *create* prepares it, with a user waiting for the answer.

    Raises ConfigError, StoreUnavailable, StoreDenied.
    """
    options = store_options(tier, deadline_s=ATTENDED_DEADLINE_S) if create else store_options(tier)
    return open_store(tier.store, options=options, clock=clock, meter=meter, create=create)


def open_tiers(config: Config, catalog: Catalog, *, clock: Clock) -> tuple[Mapping[str, OpenTier], str, int]:
    """Return the tiers by name, and the store id and epoch under which they are owned.

    No request is sent. Raises ConfigError for a tier that init has not prepared, StoreUnavailable where a local
    store's directory is gone.
    """
    with catalog.read() as tx:
        known = {row.url: row for row in store_rows.every(tx)}
    tiers: dict[str, OpenTier] = {}
    for rank, (name, tier) in enumerate(config.tiers.items(), start=1):
        meter = Meter()
        store = open_tier_store(tier, clock=clock, meter=meter)
        row = known.get(store.url)
        if row is None:
            raise ConfigError(
                f"tiers.{name}: the store {store.url} was never prepared",
                now="nothing was written to it",
                hint="run: frostline init",
            )
        capabilities = Capabilities(**json.loads(row.capabilities))
        tiers[name] = OpenTier(name, store, tier.storage_class, rank, capabilities, meter)
    home = known[tiers[config.metadata_tier].store.url]
    return tiers, home.store_id, home.epoch
