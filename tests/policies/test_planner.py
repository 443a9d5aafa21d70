"""From facts to actions, refusals and a plan that survives JSON."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.plan import Action, ActionKind, Plan, Refusal
from policies.plan_builder import More, PlanBuilder
from policies.plan_json import PlanError, from_json, from_text, to_json, to_text
from policies.planner import decide, explain
from policies.rules import Rule, default_rules
from policies.values import AccessQuality, FileFacts, FileIdentity, Residency
from tests.policies.facts import GIB, NOW_NS, TIERS, book, days, fact

BOOK = book()
DEFAULTS = default_rules(standard="standard", archive="archive")
ALL_AWAY = (Rule(name="all", target="standard"),)
INT64 = st.integers(-(2**63), 2**63 - 1)
NAMES = st.binary(min_size=1, max_size=8).filter(lambda name: b"/" not in name and b"\0" not in name)


def decisions(*folder: FileFacts, rules: tuple[Rule, ...] = DEFAULTS) -> list[Action | Refusal]:
    return list(decide(folder, rules, TIERS, BOOK, NOW_NS))


def plan_of(*folder: FileFacts, limit: int = 100, rules: tuple[Rule, ...] = DEFAULTS) -> Plan:
    builder = PlanBuilder(limit=limit)
    builder.see(files=len(folder), unknown_access_files=0)
    builder.add(decide(folder, rules, TIERS, BOOK, NOW_NS))
    return builder.build(made_ns=NOW_NS, catalog_id="c", price_book=BOOK.book_id, refundable=False, more=More())


def test_a_cold_file_is_migrated_with_its_arithmetic() -> None:
    (action,) = decisions(fact(read=40))

    assert isinstance(action, Action)
    assert action.kind is ActionKind.MIGRATE
    assert action.target == "standard"
    assert action.saved_nano_month == 80_000_000 - 23_000_000
    assert action.once_nano == 16 * 5_000  # a GiB fills 16 packs of 64 MiB
    assert "idle at least 40.0 d (strict)" in action.reason
    assert "-> rule idle-30d:" in action.reason
    assert "$0.08 a month hot - $0.023 on standard (STANDARD) = $0.057 saved" in action.reason


def test_a_stored_file_is_released_and_saves_all_of_its_hot_bytes() -> None:
    (action,) = decisions(fact(read=400, residency=Residency.DUAL, tier="standard"))

    assert isinstance(action, Action)
    assert (action.kind, action.target) == (ActionKind.RELEASE, "standard")
    assert (action.saved_nano_month, action.once_nano) == (80_000_000, 0)


def test_a_file_stored_on_another_tier_than_its_rules_is_released_where_it_is_and_the_reason_says_so() -> None:
    stored = fact(read=400, residency=Residency.DUAL, tier="archive")
    (action,) = decisions(stored, rules=ALL_AWAY)

    assert isinstance(action, Action)
    assert (action.kind, action.target) == (ActionKind.RELEASE, "archive")
    assert "not standard: where its stored copy should be is decided apart" in action.reason
    away = fact(residency=Residency.OFFLINE, tier="archive")
    told = explain(away, [away], ALL_AWAY, TIERS, prices=BOOK, now_ns=NOW_NS)
    assert "it stays on archive: nothing is brought nearer to standard before" in told.verdict.reasons[0]


def test_a_file_stored_on_a_tier_that_is_no_longer_configured_can_still_be_released() -> None:
    (action,) = decisions(fact(residency=Residency.DUAL, tier="former"))

    assert isinstance(action, Action)
    assert (action.kind, action.target) == (ActionKind.RELEASE, "former")


def test_hot_and_offline_files_yield_nothing() -> None:
    assert decisions(fact(read=1), fact("data/b.npy", residency=Residency.OFFLINE, tier="standard")) == []


def test_a_file_with_names_outside_the_roots_is_refused() -> None:
    (refusal,) = decisions(fact(nlink=3, known_names=2))

    assert isinstance(refusal, Refusal)
    assert refusal.cause == "hard-links"
    assert "3 names and only 2 are known" in refusal.reason
    assert isinstance(decisions(fact(nlink=3, known_names=3))[0], Action)


def test_a_setuid_file_is_refused() -> None:
    (refusal,) = decisions(fact(mode=0o104755))

    assert isinstance(refusal, Refusal)
    assert refusal.cause == "special-mode"


def test_a_default_move_that_costs_more_is_refused_and_an_ordered_one_is_not() -> None:
    dear = {**TIERS, "standard": replace(TIERS["standard"], nano_per_gib_month=90_000_000)}
    by_default = list(decide([fact(read=40)], DEFAULTS, dear, BOOK, NOW_NS))
    by_order = list(decide([fact(read=40)], ALL_AWAY, dear, BOOK, NOW_NS))

    assert isinstance(by_default[0], Refusal)
    assert by_default[0].cause == "no-saving"
    assert isinstance(by_order[0], Action)
    assert by_order[0].saved_nano_month == -10_000_000
    assert "never repaid" in by_order[0].reason


def test_explain_lists_what_was_passed_over_and_agrees_with_the_plan() -> None:
    facts = fact(read=40)
    said = explain(facts, [facts], DEFAULTS, TIERS, prices=BOOK, now_ns=NOW_NS)

    assert said.verdict.ok
    assert said.verdict.reasons == (decisions(facts)[0].reason,)
    assert dict(said.passed_over)["idle-180d"] == "idle 40.0 d, less than 180.0 d"
    assert said.rule.startswith("rule idle-30d")
    assert "saved" in said.arithmetic


def test_explain_of_a_file_that_stays_says_which_rule_keeps_it() -> None:
    facts = fact(read=None, quality=AccessQuality.NONE)
    said = explain(facts, [facts], DEFAULTS, TIERS, prices=BOOK, now_ns=NOW_NS)

    assert said.target == "hot"
    assert "no rule moves it -> it stays hot" in said.verdict.reasons[0]
    assert "reading is unknown" in dict(said.passed_over)["idle-30d"]


def test_totals_count_everything_and_lists_stop_at_the_limit() -> None:
    folder = [fact(f"d/{i}", size=(i + 1) * GIB) for i in range(5)] + [fact("d/x", mode=0o104755)]
    plan = plan_of(*folder, limit=2)

    assert len(plan.actions) == 2
    assert plan.totals.files_seen == 6
    assert plan.totals.migrate_files == 5
    assert plan.totals.migrate_bytes == 15 * GIB
    assert plan.totals.bytes_to == {"archive": 15 * GIB}
    assert plan.totals.refused_by_cause == {"special-mode": 1}
    assert any("first 2 of 5 actions" in note for note in plan.notes)


STORED = {Residency.DUAL, Residency.OFFLINE}


@st.composite
def some_facts(draw: st.DrawFn) -> FileFacts:
    residency = draw(st.sampled_from(list(Residency)))
    return fact(
        quality=draw(st.sampled_from(list(AccessQuality))),
        read=draw(st.none() | st.integers(-10, 1000)),
        dir=draw(st.just(b"") | NAMES.map(lambda name: name + b"/")),
        name=draw(NAMES),
        identity=FileIdentity(
            dev=draw(INT64), ino=draw(INT64), size_bytes=draw(st.integers(0, 2**45)),
            mtime_ns=NOW_NS - days(draw(st.integers(-10, 1000))), ctime_ns=draw(INT64),
        ),
        residency=residency,
        tier=draw(st.sampled_from(["standard", "archive"])) if residency in STORED else None,
        is_pinned=draw(st.booleans()),
        is_link_target=draw(st.booleans()),
        nlink=draw(st.integers(1, 3)),
    )  # fmt: skip


FOLDERS = st.lists(some_facts(), max_size=6, unique_by=lambda facts: facts.name)


@given(FOLDERS)
def test_a_plan_survives_json_exactly(folder: list[FileFacts]) -> None:
    plan = plan_of(*folder)

    assert from_json(json.loads(json.dumps(to_json(plan)))) == plan
    assert from_text(json.dumps(to_json(plan), indent=1)) == plan
    written = "".join(to_text(plan, drifted=["a"]))
    assert json.loads(written) == to_json(plan) | {"drifted": ["a"]}
    assert from_text(written) == plan


@given(FOLDERS)
def test_deciding_is_a_pure_function_and_each_file_gets_at_most_one_decision(folder: list[FileFacts]) -> None:
    once = decisions(*folder)

    assert once == decisions(*folder)
    assert len({decision.name for decision in once}) == len(once)


@given(FOLDERS)
def test_no_default_decision_moves_what_is_pinned_linked_or_unknown(folder: list[FileFacts]) -> None:
    by_name = {facts.name: facts for facts in folder}
    for decision in decisions(*folder):
        facts = by_name[decision.name]
        assert not facts.is_pinned
        assert not facts.is_link_target
        assert facts.idle_ns(NOW_NS) is not None
        assert facts.residency in {Residency.REGULAR, Residency.DUAL}


@given(FOLDERS)
def test_every_reason_says_facts_then_rule_then_arithmetic(folder: list[FileFacts]) -> None:
    for decision in decisions(*folder, rules=ALL_AWAY):
        assert decision.reason.count(" -> ") >= 2
        assert "rule all" in decision.reason


@given(FOLDERS)
def test_totals_are_the_sums_of_the_decisions(folder: list[FileFacts]) -> None:
    plan = plan_of(*folder, rules=ALL_AWAY)
    moved = sum(action.size_bytes for action in plan.actions)

    assert plan.totals.migrate_bytes + plan.totals.release_bytes == moved == sum(plan.totals.bytes_to.values())
    assert plan.totals.saved_nano_month == sum(action.saved_nano_month for action in plan.actions)
    assert plan.totals.refused_files == len(plan.refused) == sum(plan.totals.refused_by_cause.values())


@pytest.mark.parametrize(
    "damage",
    [
        {"format": 99},
        {"actions": [{}]},
        {"actions": 5},
        {"made_ns": "soon"},
        {"totals": {}},
    ],
)
def test_what_is_not_a_saved_plan_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(PlanError):
        from_json({**to_json(plan_of(fact())), **damage})


def test_an_empty_object_is_not_a_plan() -> None:
    with pytest.raises(PlanError, match="format is missing"):
        from_json({})
