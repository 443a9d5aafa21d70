"""Hands the operator's decisions to policies in its own words: rules, tiers, prices.

The only place where configuration turns into policies' values; asks the user database for owners' numbers.
"""

import pwd

from policies.price_fields import PriceBookError
from policies.prices import LOCAL, PriceBook
from policies.rules import Rule, RuleError, check_rules, default_rules
from policies.values import HOT, NS_PER_DAY, TierFacts
from tiering.config.models import Config
from tiering.config.price_books import load_book
from tiering.config.rule import RuleConfig
from tiering.errors import ConfigError


def policy_rules(config: Config) -> tuple[Rule, ...]:
    """Return the rules that decide: the operator's behind the pin rule, or the built-in ones where there are none.

    Raises ConfigError naming the rule and the field.
    """
    tiers = list(config.tiers)
    archives = [name for name, tier in config.tiers.items() if tier.is_archive]
    built_in = default_rules(
        standard=next((name for name in tiers if name not in archives), tiers[0]),
        archive=archives[0] if archives else None,
        min_size_bytes=config.release.min_size_bytes,
        cool_off_ns=config.recall.cool_off_ns,
    )
    if not config.rules:
        return built_in
    pinned = tuple(rule for rule in built_in if rule.pinned)
    rules = (*pinned, *(_rule(number, rule) for number, rule in enumerate(config.rules)))
    try:
        check_rules(rules, config.tiers)
    except RuleError as error:
        raise ConfigError(f"rules: {error}") from None
    return rules


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
        must_save=rule.must_save,
    )


def _uid(number: int, owner: str | int) -> int:
    if isinstance(owner, int) or owner.isdecimal():
        return int(owner)
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise ConfigError(f'rules[{number}].owner: there is no user "{owner}" on this machine') from None
