"""Which rule decides for a file: first for each file alone, then so that units stay whole.

Used by policies.planner. A rule that leaves the tier to a strategy takes the strategy's answer (Wish), which
policies.placing worked out for many files at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from policies.rules import Rule, is_eligible, is_kept, is_met, misses, newest_of_folder
from policies.units import part_of, unit_of
from policies.values import HOT, FileFacts, Residency, TierFacts


@dataclass(frozen=True, slots=True)
class Wish:
    """Where a strategy wants a file."""

    target: str
    said: str
    """Its arithmetic."""


Wishes = Mapping[tuple[str, bytes, bytes], Wish]
"""(rule name, dir, name) -> wish."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Which rule decided for one file."""

    target: str
    rule: Rule | None
    """None: no rule matched, the file stays hot."""
    said: str = ""
    """What a strategy reckoned, or what the rest of the unit changed."""


def judge(
    files: Sequence[FileFacts],
    rules: Sequence[Rule],
    now_ns: int,
    *,
    tiers: Mapping[str, TierFacts],
    wishes: Wishes,
) -> list[tuple[FileFacts, Judgement]]:
    """Return each file with what decides for it; *files* holds whole folders and whole units.

    A strategy rule whose wish is not there (nobody asked yet) leaves the file hot.
    """
    judged = list(judge_alone(files, rules, now_ns, wishes=wishes))
    return _settle(judged, tiers)


def judge_alone(
    files: Sequence[FileFacts], rules: Sequence[Rule], now_ns: int, *, wishes: Wishes
) -> Iterator[tuple[FileFacts, Judgement]]:
    """Yield each file with the rule that decides for it, whatever its unit says."""
    folders: dict[bytes, list[FileFacts]] = {}
    for facts in files:
        folders.setdefault(facts.dir, []).append(facts)
    kept = {
        (rule.name, dir): newest_of_folder(folder, rule)
        for rule in rules
        if rule.keep_newest is not None
        for dir, folder in folders.items()
    }
    for facts in files:
        yield facts, _judge_one(facts, rules, kept, now_ns, wishes)


def passed_over(
    facts: FileFacts, rules: Sequence[Rule], decided: Rule | None, now_ns: int
) -> Iterator[tuple[str, str]]:
    """Yield (rule name, what did not hold) of the rules before the one that decided."""
    for rule in rules:
        if rule == decided:
            return
        missed = list(misses(facts, rule, now_ns))
        if rule.keeps and rule.target == HOT:
            missed += _not_kept(rule)
        yield rule.name, "; ".join(missed)


def _not_kept(rule: Rule) -> Iterator[str]:
    if rule.keep_newest is not None:
        yield f"not among the newest {rule.keep_newest} of its folder"
    if rule.keep_every is not None:
        yield f"its step is no multiple of {rule.keep_every}"
    if rule.keep_best is not None:
        yield f"not among the best {rule.keep_best} of its run"
    if rule.keep_final:
        yield "not called final or last"


def _judge_one(
    facts: FileFacts,
    rules: Sequence[Rule],
    kept: Mapping[tuple[str, bytes], frozenset[bytes]],
    now_ns: int,
    wishes: Wishes,
) -> Judgement:
    for rule in rules:
        if rule.keeps:
            if facts.name in kept.get((rule.name, facts.dir), frozenset()) or is_kept(facts, rule):
                return Judgement(HOT, rule)
            if rule.target == HOT and rule.strategy is None:
                continue
        if is_met(facts, rule, now_ns):
            if rule.strategy is None:
                return Judgement(rule.target, rule)
            wish = wishes.get((rule.name, facts.dir, facts.name), Wish(HOT, f"{rule.strategy.name} was not asked"))
            return Judgement(wish.target, rule, wish.said)
    return Judgement(HOT, None)


def _settle(
    judged: list[tuple[FileFacts, Judgement]], tiers: Mapping[str, TierFacts]
) -> list[tuple[FileFacts, Judgement]]:
    """Let units move as a whole: one member that stays holds the others, the warmest tier wins within a part.

    What is away already holds nothing on the hot tier; it is itself held where it is while any part of its unit stays.
    """
    units: dict[bytes, list[int]] = {}
    for number, (facts, _) in enumerate(judged):
        units.setdefault(unit_of(facts.dir, facts.name), []).append(number)
    for members in units.values():
        if len(members) > 1:
            here = [number for number in members if judged[number][0].residency is not Residency.OFFLINE]
            leaving = _unless_held(judged, here, [number for number in here if judged[number][1].target != HOT])
            away = [number for number in members if judged[number][0].residency is Residency.OFFLINE]
            sinking = [number for number in away if judged[number][1].target not in {HOT, judged[number][0].tier}]
            _unless_held(judged, members, sinking)
            settled = [number for number in away if judged[number][1].target in tiers.keys() - {HOT}]
            _same_tier(judged, [*leaving, *settled], tiers)
    return judged


def _unless_held(
    judged: list[tuple[FileFacts, Judgement]], members: Sequence[int], moving: Sequence[int]
) -> Sequence[int]:
    """Return *moving*, or nothing where one of *members* holds them: then they stay where they are."""
    holder = _holder(judged, members, [judged[number][1].rule for number in moving]) if moving else None
    if holder is None:
        return moving
    for number in moving:
        facts, judgement = judged[number]
        is_away = facts.residency is Residency.OFFLINE and facts.tier is not None
        where = "stays where it is" if holder.residency is Residency.OFFLINE else "stays hot"
        said = f"{holder.path} of the same unit {where}, and units are moved whole"
        judged[number] = facts, replace(judgement, target=(facts.tier if is_away else None) or HOT, said=said)
    return ()


def _holder(
    judged: Sequence[tuple[FileFacts, Judgement]], members: Sequence[int], deciding: Sequence[Rule | None]
) -> FileFacts | None:
    """Return a member that must stay for a reason that is not its name or size."""
    for number in members:
        facts, judgement = judged[number]
        if facts.residency is Residency.BUSY:
            return facts
        if judgement.target != HOT:
            continue
        rule = judgement.rule
        if rule is not None and not rule.is_by_name:
            return facts
        if rule is None and any(other is not None and is_eligible(facts, other) for other in deciding):
            return facts
    return None


def _same_tier(
    judged: list[tuple[FileFacts, Judgement]], moving: Sequence[int], tiers: Mapping[str, TierFacts]
) -> None:
    parts: dict[str, list[int]] = {}
    for number in moving:
        facts = judged[number][0]
        parts.setdefault(part_of(facts.dir, facts.name), []).append(number)
    for numbers in parts.values():
        warmest = min((judged[number][1].target for number in numbers), key=lambda name: (tiers[name].rank, name))
        for number in numbers:
            facts, judgement = judged[number]
            if judgement.target == warmest or (facts.tier == judgement.target and facts.residency is Residency.OFFLINE):
                continue  # nothing that is away is brought nearer for the company
            said = f"on {warmest} rather than {judgement.target}, where the rest of its unit is"
            judged[number] = facts, replace(judgement, target=warmest, said=said)
