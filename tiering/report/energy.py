"""What is held draws, beside what it would draw all hot: kWh and CO2 equivalent a month, estimates. Used by audit."""

from collections.abc import Mapping

from policies.energy import energy_report
from policies.plan import EnergyReport
from policies.values import HOT
from tiering.catalog import accounts
from tiering.config import Config
from tiering.config.policy import price_book, tier_facts


def energy_held(
    config: Config, *, logical_bytes: int, hot_bytes: int, by_tier: Mapping[str, Mapping[str, int]]
) -> EnergyReport:
    """Return the estimate: before, every logical byte on the hot tier; after, what is there and in the stores."""
    flows = {(HOT, ""): logical_bytes, ("", HOT): hot_bytes}
    for tier, books in by_tier.items():
        if tier in config.tiers:
            flows["", tier] = books.get(accounts.BUCKET_LIVE, 0) + books.get(accounts.BUCKET_DEAD, 0)
    tiers = {facts.name: facts for facts in tier_facts(config)}
    return energy_report(price_book(config), tiers, flows)


def say_energy(energy: EnergyReport) -> str:
    """Return it in words."""
    return (
        f"{energy.kwh_after:.3g} kWh a month, all hot {energy.kwh_before:.3g}; "
        f"{energy.gco2e_after:.3g} g CO2e, all hot {energy.gco2e_before:.3g} g"
    )
