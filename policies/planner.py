"""Turns facts into decisions, one folder at a time: facts -> rule -> arithmetic -> verdict.

decide() is what `plan` runs over the whole catalog; explain() says the same for one file at length. Both are pure: the
same facts, rules, prices and moment give the same decisions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from policies.amounts import say_bytes, say_time, say_usd
from policies.cost import accrue_at, break_even_days, hold_usd_month, packed_put_usd
from policies.kinds import kind_of
from policies.plan import Action, ActionKind, Refusal
from policies.prices import MONTH_HOURS, PriceBook
from policies.rules import Rule, is_met, misses, newest_of_folder
from policies.values import HOT, FileFacts, Residency, TierFacts, Verdict, text

PACK_BYTES = 64 * 2**20  # the default pack; only the share of its put request depends on it
SPECIAL_MODE = 0o6000  # setuid, setgid: what they grant must not be recreated by a copy


@dataclass(frozen=True, slots=True)
class Judgement:
    """Which rule decided for one file."""

    target: str
    rule: Rule | None
    """None: no rule matched, the file stays hot."""


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


def decide(
    folder: Sequence[FileFacts],
    rules: Sequence[Rule],
    tiers: Mapping[str, TierFacts],
    prices: PriceBook,
    now_ns: int,
) -> Iterator[Action | Refusal]:
    """Yield what should be done with the files of one folder, in the order given.

    *folder* holds every file of it that the catalog knows, offline ones too (they count among the newest); of an inode
    with several names the leader only. *tiers* holds "hot" and every cold tier. Files that stay yield nothing.
    """
    for facts, judgement in judge_folder(folder, rules, now_ns):
        decision = _decision(facts, judgement, tiers, prices, now_ns)
        if decision is not None:
            yield decision


def judge_folder(
    folder: Sequence[FileFacts], rules: Sequence[Rule], now_ns: int
) -> Iterator[tuple[FileFacts, Judgement]]:
    """Yield each file of one folder with the rule that decides for it."""
    kept = {rule.name: newest_of_folder(folder, rule) for rule in rules if rule.keep_newest is not None}
    for facts in folder:
        yield facts, _judge(facts, rules, kept, now_ns)


def explain(
    facts: FileFacts,
    folder: Sequence[FileFacts],
    rules: Sequence[Rule],
    tiers: Mapping[str, TierFacts],
    *,
    prices: PriceBook,
    now_ns: int,
) -> Explanation:
    """Return why *facts*, one of *folder*, is decided as decide() decides it."""
    judgement = next(judged for other, judged in judge_folder(folder, rules, now_ns) if other == facts)
    decision = _decision(facts, judgement, tiers, prices, now_ns)
    cold = judgement.target if judgement.target != HOT else facts.tier
    arithmetic = (
        "it stays hot: nothing to reckon" if cold is None else _reckon(facts, _tier(cold, tiers), tiers, prices).said
    )
    if decision is not None:
        verdict = Verdict(isinstance(decision, Action), (decision.reason,))
    else:
        verdict = Verdict(True, (_staying(facts, judgement, now_ns),))
    return Explanation(
        facts=tuple(_facts(facts, now_ns)),
        passed_over=tuple(_passed_over(facts, rules, judgement.rule, now_ns)),
        rule=_rule_said(judgement.rule),
        target=judgement.target,
        arithmetic=arithmetic,
        verdict=verdict,
    )


def _judge(facts: FileFacts, rules: Sequence[Rule], kept: Mapping[str, frozenset[bytes]], now_ns: int) -> Judgement:
    for rule in rules:
        if rule.keep_newest is not None:
            if facts.name in kept[rule.name]:
                return Judgement(HOT, rule)
            if rule.target == HOT:
                continue
        if is_met(facts, rule, now_ns):
            return Judgement(rule.target, rule)
    return Judgement(HOT, None)


def _passed_over(
    facts: FileFacts, rules: Sequence[Rule], decided: Rule | None, now_ns: int
) -> Iterator[tuple[str, str]]:
    """Yield (rule name, what did not hold) of the rules before the one that decided."""
    for rule in rules:
        if rule == decided:
            return
        missed = list(misses(facts, rule, now_ns))
        if rule.keep_newest is not None and rule.target == HOT:
            missed.append(f"not among the newest {rule.keep_newest} of its folder")
        yield rule.name, "; ".join(missed)


def _decision(
    facts: FileFacts, judgement: Judgement, tiers: Mapping[str, TierFacts], prices: PriceBook, now_ns: int
) -> Action | Refusal | None:
    rule = judgement.rule
    if rule is None or judgement.target == HOT or facts.residency in {Residency.OFFLINE, Residency.BUSY}:
        return None
    is_stored = facts.residency is Residency.DUAL and facts.tier is not None
    target = _tier(facts.tier, tiers) if is_stored and facts.tier is not None else tiers[judgement.target]
    sums = _reckon(facts, target, tiers, prices)
    objection = _objection(facts, rule, sums)
    said = f"{', '.join(_facts(facts, now_ns))} -> {_rule_said(rule)} -> {sums.said}{_not_there(facts, judgement)}"
    if objection is not None:
        cause, sentence = objection
        return Refusal(
            root=facts.root, dir=facts.dir, name=facts.name, size_bytes=facts.size_bytes,
            target=target.name, rule=rule.name, cause=cause, reason=f"{sentence} ({said})",
        )  # fmt: skip
    return Action(
        kind=ActionKind.RELEASE if is_stored else ActionKind.MIGRATE,
        root=facts.root, dir=facts.dir, name=facts.name, identity=facts.identity, residency=facts.residency,
        target=target.name, rule=rule.name, reason=said,
        saved_nano_month=sums.saved_nano_month, once_nano=sums.once_nano,
    )  # fmt: skip


def _tier(name: str, tiers: Mapping[str, TierFacts]) -> TierFacts:
    """Return a tier; one that is no longer configured still holds what was stored on it, at a price unknown here."""
    return tiers.get(name) or TierFacts(name, max(tier.rank for tier in tiers.values()), price_class="")


def _objection(facts: FileFacts, rule: Rule, sums: "_Sums") -> tuple[str, str] | None:
    if facts.known_names < facts.nlink:
        return "hard-links", (
            f"the file has {facts.nlink} names and only {facts.known_names} are known under the roots: "
            "moving it would leave the others behind"
        )
    if facts.mode & SPECIAL_MODE:
        return "special-mode", f"setuid or setgid file (mode {facts.mode & 0o7777:04o})"
    if rule.must_save and sums.saved_nano_month < 0:
        return "no-saving", f"holding it there would cost {say_usd(-sums.saved_nano_month)} a month more"
    return None


@dataclass(frozen=True, slots=True)
class _Sums:
    saved_nano_month: int
    once_nano: int
    said: str


def _reckon(facts: FileFacts, target: TierFacts, tiers: Mapping[str, TierFacts], prices: PriceBook) -> _Sums:
    """Return the arithmetic of holding the file on *target* instead of hot, before dedup and compression."""
    hot_nano = month_nano(tiers[HOT], facts.size_bytes, prices)
    size = say_bytes(facts.size_bytes)
    if facts.residency in {Residency.DUAL, Residency.OFFLINE}:
        said = f"{size}: {say_usd(hot_nano)} a month hot, and the copy on {target.name} is paid for already"
        return _Sums(hot_nano, 0, said)
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
    return _Sums(saved_nano, once_nano, said)


def month_nano(tier: TierFacts, size_bytes: int, prices: PriceBook) -> int:
    """Return what *size_bytes* cost on a tier in a month of 730 h, in nano-dollars."""
    if tier.nano_per_gib_month is not None:
        return accrue_at(tier.nano_per_gib_month, size_bytes, hours=MONTH_HOURS)
    return hold_usd_month(prices, tier.price_class, size_bytes)


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


def _not_there(facts: FileFacts, judgement: Judgement) -> str:
    """Return what to add where the rule names another cold tier than the one the stored copy is on."""
    if facts.tier is None or judgement.target in {HOT, facts.tier}:
        return ""
    return f", not on {judgement.target}: moving between cold tiers is not there yet"


def _staying(facts: FileFacts, judgement: Judgement, now_ns: int) -> str:
    where = "it stays hot"
    if facts.residency is Residency.OFFLINE:
        where = f"it stays on {facts.tier}{_not_there(facts, judgement)}"
    elif facts.residency is Residency.BUSY:
        where = "an operation is under way on it"
    return f"{', '.join(_facts(facts, now_ns))} -> {_rule_said(judgement.rule)} -> {where}"
