"""Turns facts into decisions, one folder at a time: facts -> rule -> arithmetic -> verdict.

decide() is what `plan` runs over the whole catalog; explain() says the same for one file at length. Both are pure: the
same facts, rules, prices and moment give the same decisions.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from sys import intern

from policies.amounts import say_bytes, say_time, say_usd
from policies.cost import break_even_days, month_nano, packed_put_usd
from policies.judging import Judgement, Wishes, judge, passed_over
from policies.kinds import kind_of
from policies.limits import NO_LIMITS, Limits, allowed_tier
from policies.plan import Action, ActionKind, Refusal
from policies.prices import PriceBook
from policies.room import reads_month
from policies.rules import Rule
from policies.shifts import Shift, colder_target
from policies.values import HOT, FileFacts, Residency, TierFacts, Verdict, text

NO_WISHES: Wishes = {}
PACK_BYTES = 64 * 2**20  # the default pack; only the share of its put request depends on it
SPECIAL_MODE = 0o6000  # setuid, setgid: what they grant must not be recreated by a copy


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that `explain` says of one file."""

    facts: tuple[str, ...]
    passed_over: tuple[tuple[str, str], ...]
    """(rule name, what did not hold), in order, up to the rule that decided."""
    rule: str
    target: str
    arithmetic: str
    verdict: Verdict
    """ok: it would move, or is where it belongs."""
    weighed: str = ""
    """What a strategy reckoned, or what its unit changed; "" where neither was asked."""
    reads_month: float = 0.0
    """Days with reads expected in a month: how often it would be recalled."""
    sinks_to: str = ""
    """The colder tier that its stored copy belongs on; whether it goes is decided with the packs it needs."""


def decide(
    files: Sequence[FileFacts],
    rules: Sequence[Rule],
    tiers: Mapping[str, TierFacts],
    prices: PriceBook,
    now_ns: int,
    *,
    wishes: Wishes = NO_WISHES,
    limits: Limits = NO_LIMITS,
) -> Iterator[Action | Refusal]:
    """Yield what should be done with *files*, in the order given: whole folders and whole units (policies.units).

    They hold every file that the catalog knows there, offline ones too (they count among the newest); of an inode with
    several names the leader only. *tiers* holds "hot" and every cold tier. Files that stay yield nothing.
    """
    judged = judge(files, rules, now_ns, tiers=tiers, wishes=wishes)
    yield from decisions(judged, tiers, prices, now_ns, limits=limits)


def decisions(
    judged: Iterable[tuple[FileFacts, Judgement]],
    tiers: Mapping[str, TierFacts],
    prices: PriceBook,
    now_ns: int,
    *,
    limits: Limits = NO_LIMITS,
) -> Iterator[Action | Refusal]:
    """Yield what follows from judgements: the second half of decide()."""
    for facts, judgement in judged:
        decision = _decision(facts, judgement, _World(tiers, prices, limits), now_ns)
        if decision is not None:
            yield decision


def shifts(
    judged: Iterable[tuple[FileFacts, Judgement]],
    tiers: Mapping[str, TierFacts],
    prices: PriceBook,
    now_ns: int,
    *,
    limits: Limits = NO_LIMITS,
) -> Iterator[Shift]:
    """Yield the stored files that belong on a colder tier than they are on; policies.shifts.settle() decides on them.

    What belongs on a warmer one stays where it is: a recall brings it nearer.
    """
    for facts, judgement in judged:
        target = colder_target(facts, judgement, tiers, prices, limits=limits)
        if target is None or judgement.rule is None:
            continue
        weighed = f" [{judgement.said}]" if judgement.said else ""
        yield Shift(
            facts=facts, target=target, rule=judgement.rule.name, speed=limits.speed, min_gain=limits.min_gain,
            must_save=judgement.rule.must_save,
            said=f"{', '.join(_facts(facts, now_ns))} -> {_rule_said(judgement.rule)}{weighed}",
        )  # fmt: skip


def explain(
    facts: FileFacts,
    files: Sequence[FileFacts],
    rules: Sequence[Rule],
    tiers: Mapping[str, TierFacts],
    *,
    prices: PriceBook,
    now_ns: int,
    wishes: Wishes = NO_WISHES,
    limits: Limits = NO_LIMITS,
) -> Explanation:
    """Return why *facts*, one of *files*, is decided as decide() decides it."""
    judged = judge(files, rules, now_ns, tiers=tiers, wishes=wishes)
    judgement = next(judged for other, judged in judged if other == facts)
    decision = _decision(facts, judgement, _World(tiers, prices, limits), now_ns)
    cold = judgement.target if judgement.target != HOT else facts.tier
    sinks_to = colder_target(facts, judgement, tiers, prices, limits=limits) or ""
    arithmetic = (
        "it stays hot: nothing to reckon" if cold is None else _reckon(facts, _tier(cold, tiers), tiers, prices).said
    )
    if decision is not None:
        verdict = Verdict(isinstance(decision, Action), (decision.reason,))
    else:
        verdict = Verdict(True, (_staying(facts, judgement, now_ns, sinks_to=sinks_to),))
    return Explanation(
        facts=tuple(_facts(facts, now_ns)),
        passed_over=tuple(passed_over(facts, rules, judgement.rule, now_ns)),
        rule=_rule_said(judgement.rule),
        target=judgement.target,
        arithmetic=arithmetic,
        verdict=verdict,
        weighed=judgement.said,
        reads_month=reads_month(facts, now_ns),
        sinks_to=sinks_to,
    )


def _decision(facts: FileFacts, judgement: Judgement, world: "_World", now_ns: int) -> Action | Refusal | None:
    tiers, prices, limits = world.tiers, world.prices, world.limits
    rule = judgement.rule
    if rule is None or judgement.target == HOT or facts.residency in {Residency.OFFLINE, Residency.BUSY}:
        return None
    is_stored = facts.residency is Residency.DUAL and facts.tier is not None
    allowed, instead = tiers[judgement.target], ""
    if not is_stored:
        allowed, instead = allowed_tier(tiers[judgement.target], tiers, prices, limits)
    target = _tier(facts.tier, tiers) if is_stored and facts.tier is not None else allowed
    sums = _reckon(facts, target, tiers, prices)
    objection = ("not-allowed", instead) if target.name == HOT else _objection(facts, rule, sums, limits)
    weighed = "".join(f" [{said}]" for said in (judgement.said, instead) if said)
    said = f"{', '.join(_facts(facts, now_ns))} -> {_rule_said(rule)}{weighed} -> {sums.said}"
    said += _elsewhere(facts, judgement)
    if objection is not None:
        cause, sentence = objection
        return Refusal(
            root=facts.root, dir=facts.dir, name=facts.name, size_bytes=facts.size_bytes,
            target=judgement.target, rule=rule.name, cause=cause, reason=f"{sentence} ({said})",
        )  # fmt: skip
    return Action(
        kind=ActionKind.RELEASE if is_stored else ActionKind.MIGRATE,
        root=facts.root, dir=facts.dir, name=facts.name, identity=facts.identity, residency=facts.residency,
        target=target.name, rule=rule.name, reason=intern(said),  # many small files have the same to say
        saved_nano_month=sums.saved_nano_month, once_nano=sums.once_nano,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _World:
    tiers: Mapping[str, TierFacts]
    prices: PriceBook
    limits: Limits


def _tier(name: str, tiers: Mapping[str, TierFacts]) -> TierFacts:
    """Return a tier; one that is no longer configured still holds what was stored on it, at a price unknown here."""
    return tiers.get(name) or TierFacts(name, max(tier.rank for tier in tiers.values()), price_class="")


def _objection(facts: FileFacts, rule: Rule, sums: "_Sums", limits: Limits) -> tuple[str, str] | None:
    if facts.known_names < facts.nlink:
        return "hard-links", (
            f"the file has {facts.nlink} names and only {facts.known_names} are known under the roots: "
            "moving it would leave the others behind"
        )
    if facts.mode & SPECIAL_MODE:
        return "special-mode", f"setuid or setgid file (mode {facts.mode & 0o7777:04o})"
    if rule.must_save and sums.saved_nano_month < 0:
        return "no-saving", f"holding it there would cost {say_usd(-sums.saved_nano_month)} a month more"
    if limits.min_gain and sums.saved_nano_month < limits.min_gain * sums.hot_nano_month:
        return "min-gain", (
            f"it saves {say_usd(sums.saved_nano_month)} a month of {say_usd(sums.hot_nano_month)}, "
            f"less than the {limits.min_gain:.0%} that a move must"
        )
    return None


@dataclass(frozen=True, slots=True)
class _Sums:
    hot_nano_month: int
    saved_nano_month: int
    once_nano: int
    said: str


def _reckon(facts: FileFacts, target: TierFacts, tiers: Mapping[str, TierFacts], prices: PriceBook) -> _Sums:
    """Return the arithmetic of holding the file on *target* instead of hot, before dedup and compression."""
    hot_nano = month_nano(tiers[HOT], facts.size_bytes, prices)
    size = say_bytes(facts.size_bytes)
    if facts.residency in {Residency.DUAL, Residency.OFFLINE}:
        said = f"{size}: {say_usd(hot_nano)} a month hot, and the copy on {target.name} is paid for already"
        return _Sums(hot_nano, hot_nano, 0, said)
    cold_nano = month_nano(target, facts.size_bytes, prices)
    once_nano = packed_put_usd(prices, target.price_class, facts.size_bytes, pack_bytes=PACK_BYTES)
    saved_nano = hot_nano - cold_nano
    min_days = prices.price(target.price_class).min_days
    days = break_even_days(saved_nano_month=saved_nano, once_nano=once_nano, min_days=0)
    repaid = "never repaid" if saved_nano <= 0 else f"repaid in {days:.1f} d"
    said = (
        f"{size}: {say_usd(hot_nano)} a month hot - {say_usd(cold_nano)} on {target.name} ({target.price_class}) = "
        f"{say_usd(saved_nano)} saved, {say_usd(once_nano)} once, {repaid}"
        + (f", minimum stay {min_days} d" if min_days else "")
    )
    return _Sums(hot_nano, saved_nano, once_nano, said)


def _facts(facts: FileFacts, now_ns: int) -> list[str]:
    idle_ns = facts.idle_ns(now_ns)
    said = [
        f"{kind_of(text(facts.name))}, {say_bytes(facts.size_bytes)}",
        f"written {say_time(facts.age_ns(now_ns))} ago",
        f"reading unknown ({facts.access_quality})" if idle_ns is None else
        f"idle at least {say_time(idle_ns)} ({facts.access_quality})",
    ]  # fmt: skip
    if facts.residency in {Residency.DUAL, Residency.OFFLINE}:
        said.append(f"{facts.residency} on {facts.tier}")
    if facts.is_pinned:
        said.append("pinned")
    return said


def _rule_said(rule: Rule | None) -> str:
    if rule is None:
        return "no rule moves it"
    return f"rule {rule.name}: {rule.reason}" if rule.reason else f"rule {rule.name}"


def _elsewhere(facts: FileFacts, judgement: Judgement) -> str:
    """Return what to add where the rule names another cold tier than the one the stored copy is on."""
    if facts.tier is None or judgement.target in {HOT, facts.tier}:
        return ""
    return f" (not {judgement.target}: where its stored copy should be is decided apart)"


def _staying(facts: FileFacts, judgement: Judgement, now_ns: int, *, sinks_to: str) -> str:
    where = "it stays hot"
    if facts.residency is Residency.OFFLINE:
        where = f"it stays on {facts.tier}"
        if sinks_to:
            where = f"its copy belongs on {sinks_to}"
        elif judgement.rule is not None and judgement.target != facts.tier:
            where += f": nothing is brought nearer to {judgement.target} before somebody recalls it"
    elif facts.residency is Residency.BUSY:
        where = "an operation is under way on it"
    weighed = f" [{judgement.said}]" if judgement.said else ""
    return f"{', '.join(_facts(facts, now_ns))} -> {_rule_said(judgement.rule)}{weighed} -> {where}"
