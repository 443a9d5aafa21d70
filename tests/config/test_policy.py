"""The operator's words reach policies with their meaning: rules, tiers and prices."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from policies.rules import Choice
from tests.structure.sources import PROJECT
from tiering.config import Config, parse_config
from tiering.config.hints import EXAMPLE, read_hints
from tiering.config.policy import policy_rules, price_book, root_limits, tier_facts
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
    assert [rule.name for rule in rules] == ["pinned", "cool-off", "a"]
    assert rules[2].age_ns == 2 * 86_400 * 10**9
    assert rules[2].match == ("x/**",)


def test_an_owner_is_a_name_or_a_number() -> None:
    rules = policy_rules(config(TIERS + '[[rules]]\nname = "a"\nowner = ["root", 1234]\ntier = "deep"\n'))
    assert rules[2].uids == (0, 1234)


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


def test_a_rule_may_leave_the_tier_to_a_strategy() -> None:
    rules = policy_rules(config(
        TIERS + '[[rules]]\nname = "a"\nstrategy = "idle"\nsteps = {standard = "30d", deep = "26w"}\n'
        '[[rules]]\nname = "b"\nstrategy = "frequency"\nsteps = {hot = 0.1, standard = 0}\n'
        '[[rules]]\nname = "c"\nstrategy = "expected_cost"\npart = "optimizer"\nkeep_every = 1000\n'
    ))  # fmt: skip
    assert rules[2].strategy == Choice("idle", ((0.0, "hot"), (30.0, "standard"), (182.0, "deep")))
    assert rules[3].strategy == Choice("frequency", ((0.1, "hot"), (0.0, "standard")))
    assert (rules[4].strategy, rules[4].parts, rules[4].keep_every) == (Choice("expected_cost"), ("optimizer",), 1000)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ('strategy = "idle"', "needs steps"),
        ('strategy = "break_even"\nsteps = {deep = "1d"}', "steps belong to"),
        ('strategy = "break_even"\ntier = "deep"', "not both"),
        ('strategy = "idle"\nsteps = {deep = "soon"}', "duration"),
        ('strategy = "idle"\nsteps = {deep = "1d", standard = "1d"}', "same time"),
        ('strategy = "frequency"\nsteps = {deep = 0.1}', "end at 0"),
        ('strategy = "magic"', "strategy"),
    ],
)
def test_a_strategy_that_cannot_be_meant_is_refused(said: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        config(TIERS + f'[[rules]]\nname = "a"\n{said}\n')


def test_steps_that_name_no_tier_are_refused() -> None:
    with pytest.raises(ConfigError, match='no tier "nowhere"'):
        policy_rules(config(TIERS + '[[rules]]\nname = "a"\nstrategy = "idle"\nsteps = {nowhere = "1d"}\n'))


def test_limits_of_a_root_are_its_own() -> None:
    found = config(TIERS + '[[roots]]\nname = "r"\npath = "/r"\ntiers = ["standard"]\nrecall_within = "1h"\n')

    assert root_limits(found, "r").tiers == {"standard"}
    assert root_limits(found, "r").recall_within_h == 1
    assert root_limits(found, "other").tiers is None


def test_hints_hold_files_until_their_moment_and_stand_first(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        '[[hints]]\nmatch = "runs/7/**"\nuntil = 2026-03-01T08:00:00Z\nreason = "resumes on Monday"\n'
        '[[hints]]\nmatch = ["x", "y"]\nroot = "r"\n'
    )
    (tmp_path / "notes.txt").write_text("not a hint")
    found = config(TIERS + f'[planning]\nhints_dir = "{tmp_path}"\n')
    before, after = (int(datetime(2026, 3, 1, hour, tzinfo=UTC).timestamp()) * 10**9 for hour in (7, 9))

    rules = policy_rules(found, hints=read_hints(found, before))
    assert [rule.name for rule in rules[:3]] == ["hint:a.toml:1", "hint:a.toml:2", "pinned"]
    assert (rules[0].match, rules[0].reason, rules[0].target) == (("runs/7/**",), "resumes on Monday", "hot")
    assert [hint.name for hint in read_hints(found, after)] == ["hint:a.toml:2"]


@pytest.mark.parametrize(
    "text", ["[[hints]]\nmatch = []\n", "[[hints]]\n", "hints = 1\n", "\x00", '[[hints]]\nmatch = "["\n']
)
def test_a_hint_that_cannot_be_understood_names_its_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.toml"):
        read_hints(config(TIERS + f'[planning]\nhints_dir = "{tmp_path}"\n'), 0)


def test_the_example_of_a_hint_on_the_page_is_one_and_other_keys_are_named(tmp_path: Path) -> None:
    settings = config(TIERS + f'[planning]\nhints_dir = "{tmp_path}"\n')
    (tmp_path / "a.toml").write_text(EXAMPLE)
    (hint,) = read_hints(settings, 0)
    assert hint.reason == "exp7 resumes on Monday"
    (tmp_path / "a.toml").write_text('[[pins]]\npath = "x"\n')
    with pytest.raises(ConfigError, match="pins: unknown key"):
        read_hints(settings, 0)


def test_without_a_hints_folder_there_are_none(tmp_path: Path) -> None:
    assert read_hints(config(TIERS + f'[planning]\nhints_dir = "{tmp_path}/none"\n'), 0) == ()


def test_budgets_come_in_exact_units() -> None:
    found = config(TIERS + '[budget]\nusd_per_day = 1.5\nbytes_per_month = "1TiB"\nrequests_per_day = 9\n')
    assert found.budget.limits() == [
        ("usd", "day", 1_500_000_000), ("bytes", "month", 2**40), ("requests", "day", 9),
    ]  # fmt: skip
