"""Hands the operator's decisions to policies in its own words: rules, tiers, prices.

The only place where configuration turns into policies' values; asks the user database for owners' numbers.
"""

import pwd
from collections.abc import Sequence
from dataclasses import dataclass

from policies.limits import Limits
from policies.offers import Terms
from policies.price_fields import PriceBookError
from policies.prices import LOCAL, PriceBook
from policies.rules import Rule, RuleError, check_rules, default_rules
from policies.values import HOT, NS_PER_DAY, NS_PER_HOUR, TierFacts
from tiering.config.models import Config
from tiering.config.price_books import load_book
from tiering.config.rule import RuleConfig
from tiering.errors import ConfigError

LONGEST_WAIT_H = 48.0
"""Bulk restores of the deepest archive: slower ones do not exist."""


@dataclass(frozen=True, slots=True)
class Hint:
    """One hint that is in force."""

    name: str
    match: tuple[str, ...]
    roots: tuple[str, ...]
    reason: str


def policy_rules(config: Config, *, hints: Sequence[Hint] = ()) -> tuple[Rule, ...]:
    """Return the rules that decide: the operator's behind pins and cool-off, or the built-in ones where there are none.

    *hints* come first of all. Raises ConfigError naming the rule and the field.
    """
    tiers = list(config.tiers)
    archives = [name for name, tier in config.tiers.items() if tier.is_archive]
    built_in = default_rules(
        standard=next((name for name in tiers if name not in archives), tiers[0]),
        archive=archives[0] if archives else None,
        min_size_bytes=config.release.min_size_bytes,
        cool_off_ns=config.recall.cool_off_ns,
    )
    hinted = tuple(
        Rule(name=hint.name, target=HOT, match=hint.match, roots=hint.roots, reason=hint.reason, is_hint=True)
        for hint in hints
    )
    if not config.rules:
        return (*hinted, *built_in)
    always = tuple(rule for rule in built_in if rule.pinned or rule.recalled_within_ns is not None)
    rules = (*hinted, *always, *(_rule(number, rule) for number, rule in enumerate(config.rules)))
    try:
        check_rules(rules, config.tiers)
    except RuleError as error:
        raise ConfigError(f"rules: {error}") from None
    return rules


def site_terms(config: Config) -> Terms:
    """Return what strategies weigh beside prices."""
    planning = config.planning
    return Terms(
        stall_usd_gib=planning.stall_usd_per_gib,
        wait_usd_gib=planning.wait_usd_per_gib,
        longest_wait_h=LONGEST_WAIT_H,
        pack_bytes=config.chunking.pack_bytes,
        warm_days=float(config.recall.restore_days),
    )


def root_limits(config: Config, root: str) -> Limits:
    """Return what is allowed under a root; one that is not configured has no limits of its own."""
    settings = next((known for known in config.roots if known.name == root), None)
    within = None if settings is None else settings.recall_within_ns
    return Limits(
        tiers=frozenset(settings.tiers) if settings is not None and settings.tiers else None,
        recall_within_h=None if within is None else within / NS_PER_HOUR,
        speed=config.recall.speed,
        min_gain=config.planning.min_gain,
    )


def tier_facts(config: Config) -> tuple[TierFacts, ...]:
    """Return the hot tier (rank 0) and the cold tiers, warmest first."""
    hot = TierFacts(
        name=HOT,
        rank=0,
        price_class="HOT",
        nano_per_gib_month=config.hot.nano_per_gib_month,
        refundable=config.hot.refundable,
    )
    cold = (
        TierFacts(
            name=name,
            rank=rank,
            price_class=LOCAL if tier.is_local else tier.storage_class,
            nano_per_gib_month=tier.nano_per_gib_month,
            is_archive=tier.is_archive,
        )
        for rank, (name, tier) in enumerate(config.tiers.items(), start=1)
    )
    return (hot, *cold)


def price_book(config: Config) -> PriceBook:
    """Return the price book of [prices]; raises ConfigError where it is missing, has gaps, or lacks a tier's class."""
    named = config.prices.book
    book = load_book(named)
    try:
        for facts in tier_facts(config)[1:]:
            book.price(facts.price_class)
    except PriceBookError as error:
        raise ConfigError(f"prices.book: {named}: {error}") from None
    return book


def _rule(number: int, rule: RuleConfig) -> Rule:
    return Rule(
        name=rule.name,
        target=HOT if rule.pin else rule.tier,
        reason=rule.reason,
        match=rule.match,
        kinds=rule.kind,
        larger_than_bytes=rule.larger_than_bytes,
        smaller_than_bytes=rule.smaller_than_bytes,
        idle_ns=rule.idle_ns,
        age_ns=rule.age_ns,
        written_within_ns=rule.written_within_ns,
        recalled_within_ns=rule.recalled_within_ns,
        active_days_at_most=rule.active_days_at_most,
        window_days=rule.window_ns // NS_PER_DAY,
        uids=tuple(_uid(number, owner) for owner in rule.owner),
        keep_newest=rule.keep_newest,
        keep_every=rule.keep_every,
        keep_best=rule.keep_best,
        keep_final=rule.keep_final,
        metric=rule.metric,
        higher_is_better=rule.higher_is_better,
        parts=rule.part,
        roots=rule.root,
        strategy=rule.choice(),
        must_save=rule.must_save,
    )


def _uid(number: int, owner: str | int) -> int:
    if isinstance(owner, int) or owner.isdecimal():
        return int(owner)
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise ConfigError(f'rules[{number}].owner: there is no user "{owner}" on this machine') from None
