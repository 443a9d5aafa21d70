"""Under which class of the price book what stands in a tier is paid for."""

from policies.prices import LOCAL
from tiering.config import Config
from tiering.stores.metered import METADATA


def price_class_of(config: Config, tier: str, storage_class: str = "") -> str:
    """Return the price book's class for objects of *storage_class* ("": the tier's own; METADATA: that of recipes and
    segments) in *tier*.

    LOCAL, where requests are free, for a directory and wherever the operator's own price says that the book does not
    apply.
    """
    configured = config.tiers[tier]
    if configured.is_local or configured.usd_per_gib_month is not None:
        return LOCAL
    if storage_class == METADATA:
        return config.metadata.storage_class
    return storage_class or configured.storage_class
