"""Decides about the files of one root, batch by batch: facts, wishes of strategies, rules, limits.

Used by plan and explain, which must agree: both cut a root into the same batches, since a strategy learns from the
files it is asked about together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from policies.judging import Wishes
from policies.limits import Limits, tier_objection
from policies.offers import Terms
from policies.placing import Site, wishes_of
from policies.prices import PriceBook
from policies.rules import Rule, RuleError
from policies.units import top_of
from policies.values import HOT, FileFacts, TierFacts
from tiering.config.hints import read_hints
from tiering.config.policy import policy_rules, price_book, root_limits, site_terms, tier_facts
from tiering.errors import ConfigError
from tiering.jobs.context import Context
from tiering.jobs.folder_facts import FolderFacts

BATCH_FILES = 20_000
"""Files a strategy is asked about together: enough to learn from, 40 MB of history and tables."""
UNIT_FILES = 200_000
"""A unit with more is decided about in parts: memory before tidiness."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The configuration in policies' words."""

    rules: tuple[Rule, ...]
    tiers: Mapping[str, TierFacts]
    prices: PriceBook
    terms: Terms

    @property
    def asks_strategies(self) -> bool:
        """Whether any rule leaves the tier to one."""
        return any(rule.strategy is not None for rule in self.rules)


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that are decided about together: whole folders and whole units."""

    files: list[FileFacts]
    wishes: Wishes


def policy_of(ctx: Context) -> Policy:
    """Return what decides now, hints included. Raises ConfigError."""
    hints = read_hints(ctx.config, ctx.clock.now_ns())
    tiers = {facts.name: facts for facts in tier_facts(ctx.config)}
    return Policy(policy_rules(ctx.config, hints=hints), tiers, price_book(ctx.config), site_terms(ctx.config))


def batches(ctx: Context, facts: FolderFacts, policy: Policy, *, root: str, under: bytes = b"") -> Iterator[Batch]:
    """Yield the root's files in walk order, below *under*, a unit never cut in two; with what strategies wish."""
    limits = root_limits(ctx.config, root)
    gathered: list[FileFacts] = []
    for group in _groups(facts, under):
        gathered += group
        if not policy.asks_strategies or len(gathered) >= BATCH_FILES:
            yield Batch(gathered, wishes(ctx, gathered, policy, limits))
            gathered = []
    if gathered:
        yield Batch(gathered, wishes(ctx, gathered, policy, limits))


def wishes(ctx: Context, files: Sequence[FileFacts], policy: Policy, limits: Limits) -> Wishes:
    """Return what strategies wish for *files*. Raises ConfigError where a strategy does not fit the tiers."""
    if not policy.asks_strategies:
        return {}
    allowed = {
        name: tier
        for name, tier in policy.tiers.items()
        if name == HOT or not tier_objection(tier, policy.prices, limits)
    }
    try:
        return wishes_of(files, policy.rules, Site(allowed, policy.prices, policy.terms), ctx.clock.now_ns())
    except RuleError as error:
        raise ConfigError(f"rules: {error}") from None


def _groups(facts: FolderFacts, under: bytes) -> Iterator[list[FileFacts]]:
    """Yield folders together that may hold one unit: those below the same step or version folder."""
    group: list[FileFacts] = []
    top: bytes | None = None
    for folder in facts.folders(under=under):
        here = top_of(folder[0].dir)
        if group and (here != top or len(group) >= UNIT_FILES):
            yield group
            group = []
        top = here
        group += folder
    if group:
        yield group
