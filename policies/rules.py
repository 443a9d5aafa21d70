"""Rules: which file belongs on which tier, and why.

Rules stand in order and the first that matches decides; a file that none matches stays hot. A rule that asks about
reading (idle, active days) never matches a file whose reading is unknown: no evidence is not "cold". Rules arrive here
validated; unknown tiers are refused by check_rules().
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from policies.amounts import say_bytes, say_time
from policies.globs import compile_glob, matches
from policies.kinds import Kind, checkpoint_group, kind_of
from policies.units import is_final, part_of, step_of
from policies.values import HOT, NS_PER_DAY, FileFacts

MIN_SIZE_BYTES = 4096
"""Below one disk block nothing is won: a placeholder takes a directory entry and an inode as well."""
COOL_OFF_NS = NS_PER_DAY
RECENT_NS = 7 * NS_PER_DAY
STANDARD_IDLE_NS = 30 * NS_PER_DAY
"""facts/s3.md: an idle gp3 GiB repays its way to STANDARD and back within days, even when a $40/h node waits for it."""
ARCHIVE_IDLE_NS = 180 * NS_PER_DAY
"""facts/s3.md: GLACIER and DEEP_ARCHIVE repay one full recall after 17-37 idle days for objects of 1 GiB, 66-252 at 1
MiB; half a year also outlasts a quarter's rhythm of work."""


class RuleError(ValueError):
    """A rule cannot be meant. The message names the rule and the field."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A strategy that a rule leaves the tier to."""

    name: str
    """age, idle, frequency, break_even, expected_cost, ewma or intelligent_tiering."""
    steps: tuple[tuple[float, str], ...] = ()
    """Of age and idle (days, tier) rising from 0; of frequency (reads a day at least, tier) falling to 0."""

    @property
    def needs_evidence(self) -> bool:
        """Whether it asks about reading: then it never decides where reading is unknown."""
        return self.name != "age"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Conditions that must all hold, and the tier that follows. A condition left at its default asks nothing."""

    name: str
    target: str
    """A tier's name, or "hot"."""
    reason: str = ""
    """A sentence for people, shown wherever the rule decided."""
    strategy: Choice | None = None
    """Whom the tier is left to once the conditions hold; *target* is then of no account."""
    roots: tuple[str, ...] = ()
    """Names of roots, any of which; empty: all."""
    parts: tuple[str, ...] = ()
    """Parts of a checkpoint (policies.units.PARTS), any of which."""
    match: tuple[str, ...] = ()
    """Globs, any of which matches (policies.globs)."""
    kinds: tuple[Kind, ...] = ()
    larger_than_bytes: int | None = None
    """Exclusive."""
    smaller_than_bytes: int | None = None
    """Exclusive."""
    idle_ns: int | None = None
    """Not read, written or recalled for at least this long, proven by evidence."""
    age_ns: int | None = None
    """Not written for at least this long; needs no evidence of reading."""
    written_within_ns: int | None = None
    """Written less than this ago (also when its time lies in the future)."""
    recalled_within_ns: int | None = None
    active_days_at_most: int | None = None
    """Days with evidence of reading within window_days, which must have been watched in full."""
    window_days: int = 30
    uids: tuple[int, ...] = ()
    """Owners, any of them."""
    keep_newest: int | None = None
    """Of the files of one folder that meet the conditions on name, kind, size and owner, the newest N (shards of one
    checkpoint count once) are held hot by this rule; the others go on to its remaining conditions. In a rule whose
    target is hot, the others are none of its business."""
    keep_every: int | None = None
    """Checkpoints whose step is a multiple of this are held hot, like those of keep_newest."""
    keep_best: int | None = None
    """The best N steps of a run by its metrics file are held hot."""
    keep_final: bool = False
    """What is called final or last is held hot."""
    metric: str = ""
    """Which metric keep_best goes by; "" takes what the run's own record calls best."""
    higher_is_better: bool = False
    pinned: bool = False
    """Only pinned files."""
    link_target: bool = False
    """Only files that a symlink under the roots points at."""
    model_cache: bool = False
    """Only files in a Hugging Face cache."""
    is_hint: bool = False
    """From a drop-in file: it stands in front of pins, and a saved plan asks again for it."""
    must_save: bool = False
    """Refuse moves that would cost more per month than they save."""

    @property
    def keeps(self) -> bool:
        """Whether it holds some checkpoints of a run hot."""
        return self.keep_newest is not None or self.keep_every is not None or bool(self.keep_best) or self.keep_final

    @property
    def is_by_name(self) -> bool:
        """Whether it asks about names, sizes and owners alone: such a rule keeps a file and nobody beside it."""
        asks = (self.idle_ns, self.age_ns, self.written_within_ns, self.recalled_within_ns, self.active_days_at_most)
        standing = (
            self.pinned
            or self.is_hint
            or self.link_target
            or self.model_cache
            or self.keeps
            or self.strategy is not None
        )
        return not standing and all(asked is None for asked in asks)


def default_rules(
    *,
    standard: str,
    archive: str | None = None,
    min_size_bytes: int = MIN_SIZE_BYTES,
    cool_off_ns: int = COOL_OFF_NS,
) -> tuple[Rule, ...]:
    """Return the built-in rules for a warm cold tier named *standard* and, if there is one, *archive*."""
    staying = (
        Rule(name="pinned", target=HOT, pinned=True, reason="an operator pinned it"),
        Rule(
            name="link-target", target=HOT, link_target=True,
            reason="a symlink points at it: programs reach it under another name (latest.pt, best.ckpt)",
        ),
        Rule(
            name="model-cache", target=HOT, model_cache=True,
            reason="a Hugging Face cache links and locks its own files and downloads again what looks broken",
        ),
        Rule(
            name="newest-checkpoint", target=HOT, kinds=(Kind.CHECKPOINT,), keep_newest=1,
            reason="the newest checkpoint of a folder is what a run resumes from",
        ),
        Rule(
            name="recently-written", target=HOT, written_within_ns=RECENT_NS,
            reason="what was just written is usually read or rewritten soon",
        ),
        Rule(
            name="too-small", target=HOT, smaller_than_bytes=min_size_bytes,
            reason="a placeholder takes about as much room, and recalling it costs a request",
        ),
        Rule(
            name="cool-off", target=HOT, recalled_within_ns=cool_off_ns,
            reason="it was just recalled; a file must not shuttle",
        ),
    )  # fmt: skip
    leaving = [
        Rule(
            name=f"idle-{STANDARD_IDLE_NS // NS_PER_DAY}d", target=standard, idle_ns=STANDARD_IDLE_NS, must_save=True,
            reason="nobody has used it for a month, and it can be back in seconds",
        ),
    ]  # fmt: skip
    if archive is not None:
        leaving.insert(0, Rule(
            name=f"idle-{ARCHIVE_IDLE_NS // NS_PER_DAY}d", target=archive, idle_ns=ARCHIVE_IDLE_NS, must_save=True,
            reason="nobody has used it for half a year: the cheapest class repays even the hours of a restore",
        ))  # fmt: skip
    return (*staying, *leaving)


def check_rules(rules: Sequence[Rule], tier_names: Iterable[str]) -> None:
    """Raise RuleError on a duplicate name, an unknown tier, a bad glob or a limit that cannot be meant."""
    known = {HOT, *tier_names}
    seen: set[str] = set()
    for rule in rules:
        if rule.name in seen:
            raise RuleError(f'rule "{rule.name}": the name is taken by an earlier rule')
        seen.add(rule.name)
        if rule.target not in known:
            raise RuleError(
                f'rule "{rule.name}": there is no tier "{rule.target}" (there are {", ".join(sorted(known))})'
            )
        for pattern in rule.match:
            compile_glob(pattern)
        for _, tier in rule.strategy.steps if rule.strategy is not None else ():
            if tier not in known:
                raise RuleError(f'rule "{rule.name}": steps: there is no tier "{tier}"')
        _check_limits(rule)


def _check_limits(rule: Rule) -> None:
    limits: Mapping[str, int | None] = {
        "larger_than_bytes": rule.larger_than_bytes,
        "smaller_than_bytes": rule.smaller_than_bytes,
        "idle_ns": rule.idle_ns,
        "age_ns": rule.age_ns,
        "written_within_ns": rule.written_within_ns,
        "recalled_within_ns": rule.recalled_within_ns,
        "active_days_at_most": rule.active_days_at_most,
        "keep_newest": rule.keep_newest,
        "keep_best": rule.keep_best,
        "window_days": rule.window_days,
    }
    for field, value in limits.items():
        if value is not None and value < 0:
            raise RuleError(f'rule "{rule.name}": {field} must not be negative (got {value})')


def newest_of_folder(folder: Sequence[FileFacts], rule: Rule) -> frozenset[bytes]:
    """Return the names of *folder*'s files (all of one folder) that *rule*.keep_newest holds.

    Newest by mtime, ties by name. A folder that is itself one step of a run counts as one checkpoint: its files are
    held if it is among the newest N steps beside it, and not otherwise. Offline files take part: an offline newest
    checkpoint does not make the one before it the newest.
    """
    if rule.keep_newest is None:
        return frozenset()
    groups: dict[str, int] = {}
    names: dict[str, list[bytes]] = {}
    for facts in folder:
        if facts.step_rank is not None and facts.step_rank >= rule.keep_newest:
            continue
        if _none(_static_misses(facts, rule)):
            group = checkpoint_group(_name(facts))
            groups[group] = max(groups.get(group, facts.identity.mtime_ns), facts.identity.mtime_ns)
            names.setdefault(group, []).append(facts.name)
    if any(facts.step_rank is not None for facts in folder):
        kept = list(groups)
    else:
        kept = sorted(groups, key=lambda group: (groups[group], group), reverse=True)[: rule.keep_newest]
    return frozenset(name for group in kept for name in names[group])


def is_kept(facts: FileFacts, rule: Rule) -> bool:
    """Return whether keep_every, keep_best or keep_final of *rule* holds the file hot; newest_of_folder() is apart."""
    if not _none(_static_misses(facts, rule)):
        return False
    step = step_of(facts.dir, facts.name)
    best = facts.best_rank(rule.name) if rule.keep_best is not None else None
    return (
        (bool(rule.keep_every) and step is not None and step % (rule.keep_every or 1) == 0)
        or (rule.keep_best is not None and best is not None and best < rule.keep_best)
        or (rule.keep_final and is_final(facts.dir, facts.name))
    )


def is_eligible(facts: FileFacts, rule: Rule) -> bool:
    """Return whether the conditions of *rule* on name, kind, size, owner and root hold."""
    return _none(_static_misses(facts, rule))


def misses(facts: FileFacts, rule: Rule, now_ns: int) -> Iterator[str]:
    """Yield, as phrases, the conditions of *rule* that *facts* does not meet; none at all means it matches.

    Lazy: who only asks whether it matches pays for one phrase. keep_newest is left out: newest_of_folder() answers it.
    """
    yield from _standing_misses(facts, rule)
    yield from _time_misses(facts, rule, now_ns)
    yield from _static_misses(facts, rule)
    yield from _reading_misses(facts, rule, now_ns)


def is_met(facts: FileFacts, rule: Rule, now_ns: int) -> bool:
    """Return whether every condition of *rule* but keep_newest holds."""
    return _none(misses(facts, rule, now_ns))


def _none(phrases: Iterator[str]) -> bool:
    return next(phrases, None) is None


def _name(facts: FileFacts) -> str:
    return facts.name.decode("utf-8", "surrogateescape")


def _static_misses(facts: FileFacts, rule: Rule) -> Iterator[str]:
    if rule.roots and facts.root not in rule.roots:
        yield f"root is {facts.root}, not {' or '.join(rule.roots)}"
    if rule.parts and (part := part_of(facts.dir, facts.name)) not in rule.parts:
        yield f"it is {part or 'no'} part of a checkpoint, not {' or '.join(rule.parts)}"
    if rule.match and not any(matches(pattern, facts.path) for pattern in rule.match):
        yield f"path matches none of {', '.join(rule.match)}"
    if rule.kinds and (kind := kind_of(_name(facts))) not in rule.kinds:
        yield f"kind is {kind}, not {' or '.join(rule.kinds)}"
    if rule.larger_than_bytes is not None and facts.size_bytes <= rule.larger_than_bytes:
        yield f"{say_bytes(facts.size_bytes)} is not larger than {say_bytes(rule.larger_than_bytes)}"
    if rule.smaller_than_bytes is not None and facts.size_bytes >= rule.smaller_than_bytes:
        yield f"{say_bytes(facts.size_bytes)} is not smaller than {say_bytes(rule.smaller_than_bytes)}"
    if rule.uids and facts.uid not in rule.uids:
        yield f"owner {facts.uid} is not {' or '.join(map(str, rule.uids))}"


def _standing_misses(facts: FileFacts, rule: Rule) -> Iterator[str]:
    if rule.pinned and not facts.is_pinned:
        yield "not pinned"
    if rule.link_target and not facts.is_link_target:
        yield "no symlink points at it"
    if rule.model_cache and not facts.is_model_cache:
        yield "not in a model cache"


def _time_misses(facts: FileFacts, rule: Rule, now_ns: int) -> Iterator[str]:
    if rule.age_ns is not None and (age_ns := facts.age_ns(now_ns)) < rule.age_ns:
        yield f"written {say_time(age_ns)} ago, less than {say_time(rule.age_ns)}"
    if rule.written_within_ns is not None and (age_ns := facts.age_ns(now_ns)) >= rule.written_within_ns:
        yield f"written {say_time(age_ns)} ago, not within {say_time(rule.written_within_ns)}"
    if rule.recalled_within_ns is None:
        return
    if facts.recalled_ns is None:
        yield "never recalled"
    elif now_ns - facts.recalled_ns >= rule.recalled_within_ns:
        yield f"recalled {say_time(now_ns - facts.recalled_ns)} ago, not within {say_time(rule.recalled_within_ns)}"


def _reading_misses(facts: FileFacts, rule: Rule, now_ns: int) -> Iterator[str]:
    if rule.strategy is not None and rule.strategy.needs_evidence and facts.idle_ns(now_ns) is None:
        yield f"reading is unknown ({facts.access_quality}), and {rule.strategy.name} goes by it"
    if rule.idle_ns is not None:
        idle_ns = facts.idle_ns(now_ns)
        if idle_ns is None:
            yield f"reading is unknown ({facts.access_quality}), which is not idle"
        elif idle_ns < rule.idle_ns:
            yield f"idle {say_time(idle_ns)}, less than {say_time(rule.idle_ns)}"
    if rule.active_days_at_most is not None:
        yield from _active_misses(facts, rule, now_ns)


def _active_misses(facts: FileFacts, rule: Rule, now_ns: int) -> Iterator[str]:
    if not facts.access_quality.is_evidence:
        yield f"reading is unknown ({facts.access_quality}), which is not inactive"
        return
    if now_ns - facts.first_seen_ns < rule.window_days * NS_PER_DAY:
        watched = say_time(max(0, now_ns - facts.first_seen_ns))
        yield f"watched for {watched} only, not the {rule.window_days} days of the window"
        return
    since = now_ns // NS_PER_DAY - rule.window_days
    active = sum(day > since for day in facts.active_days)
    if active > (rule.active_days_at_most or 0):
        yield f"read on {active} of {rule.window_days} days, more than {rule.active_days_at_most}"
