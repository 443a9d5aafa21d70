"""Which rule decides for a file: conditions, order, and what unknown reading may never do."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.globs import GlobError
from policies.judging import judge
from policies.kinds import Kind, checkpoint_group, kind_of, step_of_folder, step_ranks
from policies.rules import Rule, RuleError, check_rules, default_rules, is_met, newest_of_folder
from policies.values import AccessQuality, FileFacts, Residency
from tests.policies.facts import GIB, NOW_NS, TIERS, days, fact

DEFAULTS = default_rules(standard="standard", archive="archive")
QUALITIES = st.sampled_from(list(AccessQuality))


def target(facts: FileFacts, *others: FileFacts, rules: tuple[Rule, ...] = DEFAULTS) -> tuple[str, str]:
    """Return (target, rule) of the first file of a folder."""
    judgement = next(
        judged for found, judged in judge([facts, *others], rules, NOW_NS, tiers=TIERS, wishes={}) if found == facts
    )
    return judgement.target, judgement.rule.name if judgement.rule else ""


def matched(facts: FileFacts, **conditions: Any) -> bool:
    return is_met(facts, Rule(name="r", target="standard", **conditions), NOW_NS)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (fact(is_pinned=True), ("hot", "pinned")),
        (fact(is_link_target=True), ("hot", "link-target")),
        (fact("hub/models--x/blobs/1f", is_model_cache=True), ("hot", "model-cache")),
        (fact("run/a.pt"), ("hot", "newest-checkpoint")),
        (fact(written=3), ("hot", "recently-written")),
        (fact(written=-3), ("hot", "recently-written")),
        (fact(size=100), ("hot", "too-small")),
        (fact(recalled_ns=NOW_NS - days(0.5)), ("hot", "cool-off")),
        (fact(read=400), ("archive", "idle-180d")),
        (fact(read=40), ("standard", "idle-30d")),
        (fact(read=29), ("hot", "")),
        (fact(read=400, written=40), ("standard", "idle-30d")),
        (fact(read=400, recalled_ns=NOW_NS - days(2)), ("hot", "")),
        (fact(read=None), ("hot", "")),
        (fact(quality=AccessQuality.NONE), ("hot", "")),
        (fact(quality=AccessQuality.SWEPT), ("hot", "")),
    ],
)
def test_the_default_rules_send_each_file_where_they_say(facts: FileFacts, expected: tuple[str, str]) -> None:
    assert target(facts) == expected


def test_without_an_archive_tier_everything_cold_goes_to_standard() -> None:
    assert target(fact(read=400), rules=default_rules(standard="slow")) == ("slow", "idle-30d")


def test_every_default_rule_gives_a_reason() -> None:
    assert all(rule.reason for rule in DEFAULTS)
    check_rules(DEFAULTS, ["standard", "archive"])


@given(read=st.integers(0, 5000), quality=QUALITIES, idle=st.integers(0, 400))
def test_unknown_reading_never_matches_an_idle_rule(read: int, quality: AccessQuality, idle: int) -> None:
    facts = fact(read=read, quality=quality)
    is_match = matched(facts, idle_ns=days(idle))

    if not quality.is_evidence:
        assert not is_match
    else:
        slack = 1 if quality is AccessQuality.ATIME_DAY else 0
        assert is_match == (max(0, min(read - slack, 400)) >= idle)


@given(quality=QUALITIES)
def test_an_explicit_age_rule_moves_files_without_evidence(quality: AccessQuality) -> None:
    assert matched(fact(read=None, quality=quality), age_ns=days(300))
    assert not matched(fact(read=None, quality=quality), age_ns=days(500))


def test_relatime_takes_a_day_off_the_idle_time() -> None:
    assert not matched(fact(read=30.5, quality=AccessQuality.ATIME_DAY), idle_ns=days(30))
    assert matched(fact(read=31, quality=AccessQuality.ATIME_DAY), idle_ns=days(30))


def test_conditions_on_name_size_and_owner() -> None:
    assert matched(fact("a/b.npy"), match=("x/**", "**/*.npy"))
    assert not matched(fact("a/b.npy"), match=("x/**",))
    assert matched(fact("a/b.npy"), kinds=(Kind.DATASET,))
    assert not matched(fact("a/b.py"), kinds=(Kind.DATASET, Kind.LOG))
    assert matched(fact(size=11), larger_than_bytes=10, smaller_than_bytes=12)
    assert not matched(fact(size=10), larger_than_bytes=10)
    assert not matched(fact(size=12), smaller_than_bytes=12)
    assert matched(fact(), uids=(0, 1000))
    assert not matched(fact(), uids=(0,))


def test_active_days_are_counted_only_in_a_window_that_was_watched() -> None:
    today = NOW_NS // days(1)
    busy = fact(active_days=(today - 40, today - 20, today - 3))

    assert matched(busy, active_days_at_most=2, window_days=30)
    assert not matched(busy, active_days_at_most=1, window_days=30)
    assert not matched(busy, active_days_at_most=2, window_days=60)
    assert not matched(fact(first_seen_ns=NOW_NS - days(20)), active_days_at_most=0, window_days=30)
    assert not matched(fact(quality=AccessQuality.NONE), active_days_at_most=0, window_days=30)


def test_the_newest_checkpoint_stays_and_the_older_ones_go() -> None:
    old, older = fact("run/a.pt", written=300), fact("run/b.pt", written=350)

    assert target(old, older) == ("hot", "newest-checkpoint")
    assert target(older, old) == ("archive", "idle-180d")


def test_an_offline_newest_checkpoint_does_not_promote_the_one_before() -> None:
    newest = fact("run/b.pt", written=100, residency=Residency.OFFLINE, tier="standard")

    assert target(fact("run/a.pt", written=300), newest)[0] == "archive"


def test_the_shards_of_a_checkpoint_stay_together() -> None:
    folder = [fact(f"m/model-0000{i}-of-00003.safetensors", written=200 + i) for i in (1, 2, 3)]
    rule = Rule(name="k", target="hot", kinds=(Kind.CHECKPOINT,), keep_newest=1)

    assert len(newest_of_folder([*folder, fact("m/old.pt", written=300)], rule)) == 3


def test_in_a_run_of_step_folders_only_the_newest_step_is_kept() -> None:
    older = [fact(f"run/checkpoint-500/{name}", step_rank=1) for name in ("m.pt", "o.pt")]
    newest = [fact(f"run/checkpoint-900/{name}", step_rank=0) for name in ("m.pt", "o.pt")]

    assert [target(facts, *older)[0] for facts in older] == ["archive", "archive"]
    assert [target(facts, *newest)[1] for facts in newest] == ["newest-checkpoint"] * 2
    keep_two = Rule(name="two", target="hot", keep_newest=2)
    assert newest_of_folder(older, keep_two) == {b"m.pt", b"o.pt"}


def test_keep_newest_in_a_rule_that_moves_keeps_so_many_and_moves_the_rest() -> None:
    rule = Rule(name="two", target="standard", match=("*.ckpt",), age_ns=days(100), keep_newest=2)
    folder = [fact(f"r/{i}.ckpt", written=i, read=None) for i in (50, 150, 250, 350)]

    assert [judged.target for _, judged in judge(folder, (rule,), NOW_NS, tiers=TIERS, wishes={})] == [
        "hot",
        "hot",
        "standard",
        "standard",
    ]


def test_the_first_matching_rule_decides() -> None:
    rules = (Rule(name="a", target="hot", match=("keep/",)), Rule(name="b", target="standard", age_ns=0))

    assert target(fact("keep/x/y"), rules=rules) == ("hot", "a")
    assert target(fact("other/y"), rules=rules) == ("standard", "b")


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ((Rule(name="a", target="moon"),), 'no tier "moon"'),
        ((Rule(name="a", target="hot"), Rule(name="a", target="hot")), "taken"),
        ((Rule(name="a", target="hot", idle_ns=-1),), "idle_ns must not be negative"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused_by_name(rules: tuple[Rule, ...], said: str) -> None:
    with pytest.raises(RuleError, match=said):
        check_rules(rules, ["standard"])


def test_a_bad_glob_is_refused_before_it_is_used() -> None:
    with pytest.raises(GlobError):
        check_rules([Rule(name="a", target="hot", match=("x[",))], [])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model.safetensors", Kind.CHECKPOINT),
        ("pytorch_model-00001-of-00004.bin", Kind.CHECKPOINT),
        ("firmware.bin", Kind.OTHER),
        ("STEP_9.PT", Kind.CHECKPOINT),
        ("train.parquet", Kind.DATASET),
        ("data.tar.gz", Kind.ARCHIVE),
        ("train.py", Kind.CODE),
        ("events.out.tfevents.1700000000.host", Kind.LOG),
        ("train.log.3", Kind.LOG),
        ("README", Kind.OTHER),
        ("", Kind.OTHER),
        ("\udcff.pt", Kind.CHECKPOINT),
    ],
)
def test_kinds_are_told_by_name(name: str, kind: Kind) -> None:
    assert kind_of(name) is kind


def test_shards_share_a_group() -> None:
    assert checkpoint_group("model-00001-of-00004.safetensors") == checkpoint_group("model-00004-of-00004.safetensors")
    assert checkpoint_group("mp_rank_00_model.pt") != checkpoint_group("other.pt")
    assert checkpoint_group("step-100.pt") != checkpoint_group("step-200.pt")


def test_step_folders_are_recognised_and_compared_as_numbers() -> None:
    assert step_of_folder("checkpoint-500") == ("checkpoint-", 500)
    assert step_of_folder("global_step1000") == ("global_step", 1000)
    assert step_of_folder("images") is None
    assert step_of_folder("run7") is None
    assert step_ranks(["checkpoint-900", "checkpoint-1000", "epoch_2", "images"]) == {
        "checkpoint-1000": 0,
        "checkpoint-900": 1,
        "epoch_2": 0,
    }


@given(st.lists(st.integers(0, 500), min_size=1, max_size=8, unique=True), st.integers(0, 4))
def test_keep_newest_keeps_exactly_the_newest(ages: list[int], count: int) -> None:
    folder = [fact(f"r/{age}.pt", written=age, size=GIB) for age in ages]
    rule = Rule(name="k", target="hot", keep_newest=count)

    assert newest_of_folder(folder, rule) == {f"{age}.pt".encode() for age in sorted(ages)[:count]}
