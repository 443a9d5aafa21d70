"""The operator's words reach policies with their meaning: rules, tiers and prices."""

from pathlib import Path

import pytest

from tests.structure.sources import PROJECT
from tiering.config import Config, parse_config
from tiering.config.policy import policy_rules, price_book, tier_facts
from tiering.config.price_books import load_book, shipped_books
from tiering.errors import ConfigError

TIERS = """
[tiers.standard]
store = "s3://bucket/prefix"
[tiers.deep]
store = "s3://bucket/prefix"
storage_class = "DEEP_ARCHIVE"
"""


def config(text: str) -> Config:
    """Parse."""
    return parse_config(text, path="f.toml", environ={}).config


def test_without_rules_the_built_in_ones_name_the_first_tier_and_the_archive() -> None:
    targets = {rule.name: rule.target for rule in policy_rules(config(TIERS))}
    assert targets["idle-30d"] == "standard"
    assert targets["idle-180d"] == "deep"
    assert targets["newest-checkpoint"] == "hot"


def test_own_rules_stand_behind_the_pin() -> None:
    rules = policy_rules(config(TIERS + '[[rules]]\nname = "a"\nmatch = "x/**"\nage = "2d"\ntier = "deep"\n'))
    assert [rule.name for rule in rules] == ["pinned", "a"]
    assert rules[1].age_ns == 2 * 86_400 * 10**9
    assert rules[1].match == ("x/**",)


def test_an_owner_is_a_name_or_a_number() -> None:
    rules = policy_rules(config(TIERS + '[[rules]]\nname = "a"\nowner = ["root", 1234]\ntier = "deep"\n'))
    assert rules[1].uids == (0, 1234)


def test_an_unknown_owner_is_refused_by_place_and_name() -> None:
    with pytest.raises(ConfigError, match=r'rules\[0\].owner: there is no user "nobody-knows-me"'):
        policy_rules(config(TIERS + '[[rules]]\nname = "a"\nowner = "nobody-knows-me"\ntier = "deep"\n'))


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="taken"):
        policy_rules(config(TIERS + '[[rules]]\nname = "a"\n[[rules]]\nname = "a"\n'))


def test_tiers_are_ranked_in_the_order_of_the_file_and_priced_by_class() -> None:
    facts = tier_facts(config(TIERS + "[hot]\nusd_per_gib_month = 0.1\nrefundable = true\n"))
    assert [(tier.name, tier.rank, tier.price_class) for tier in facts] == [
        ("hot", 0, "HOT"),
        ("standard", 1, "STANDARD"),
        ("deep", 2, "DEEP_ARCHIVE"),
    ]
    assert facts[0].nano_per_gib_month == 100_000_000
    assert facts[0].refundable
    assert facts[2].is_archive


def test_the_shipped_price_books_load() -> None:
    assert shipped_books()
    for book in shipped_books():
        assert load_book(book).book_id


def test_a_book_that_lacks_a_tiers_class_is_refused() -> None:
    with pytest.raises(ConfigError, match='no class "STANDARD"'):
        price_book(config(TIERS + '[prices]\nbook = "azure-east-us-2"\n'))


def test_own_prices_may_stand_on_top_of_a_shipped_book(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text(
        '{"extends": "aws-us-east-1", "id": "mine", "as_of": "2026", "from": "contract", "discount": {"storage": 0.5}}'
    )

    assert load_book(str(own)).price("STANDARD").storage[0].nano_per_gib == 11_500_000


def test_a_price_book_of_ones_own_is_read_from_its_path(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_bytes((PROJECT / "policies/data/aws-us-east-1.json").read_bytes())
    assert price_book(config(TIERS + f'[prices]\nbook = "{own}"\n')).classes["DEEP_ARCHIVE"].is_archive


def test_missing_and_broken_price_books_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='no price book "lunar-north-1"'):
        price_book(config(TIERS + '[prices]\nbook = "lunar-north-1"\n'))
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(ConfigError, match=r"broken\.json"):
        price_book(config(TIERS + f'[prices]\nbook = "{broken}"\n'))
