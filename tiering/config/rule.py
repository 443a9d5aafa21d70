"""A rule as the operator writes it: which files, and where they belong."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from policies.kinds import Kind
from policies.rules import Choice
from tiering.clock import NS_PER_DAY
from tiering.config.quantities import Duration, Size, parse_duration_ns
from tiering.config.section import Section, as_list, known_globs

StrategyName = Literal["age", "idle", "frequency", "break_even", "expected_cost", "ewma", "intelligent_tiering"]


class RuleConfig(Section):
    """One rule: all conditions named must hold, the first rule that matches decides, unmatched files stay hot."""

    name: str = Field(description="Shown wherever the rule decided.")
    match: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field(
        (), description='Globs on the path below the root, any of which matches: "runs/**", "*.pt".'
    )
    kind: Annotated[tuple[Kind, ...], BeforeValidator(as_list)] = Field(
        (), description="checkpoint, dataset, archive, code, log or other, by name and suffix."
    )
    larger_than_bytes: Size | None = Field(None, alias="larger_than", description="Exclusive.")
    smaller_than_bytes: Size | None = Field(None, alias="smaller_than", description="Exclusive.")
    idle_ns: Duration | None = Field(
        None, alias="idle", description="Not read or written for this long. Never matches where reading is unknown."
    )
    age_ns: Duration | None = Field(
        None, alias="age", description="Not written for this long; needs no evidence of reading."
    )
    written_within_ns: Duration | None = Field(None, alias="written_within", description="Written less than this ago.")
    recalled_within_ns: Duration | None = Field(
        None, alias="recalled_within", description="Recalled less than this ago."
    )
    active_days_at_most: int | None = Field(
        None, ge=0, description="Read on at most this many days of the window, which must have been watched in full."
    )
    window_ns: Duration = Field(
        30 * NS_PER_DAY, alias="window", description="Window of active_days_at_most, whole days."
    )
    owner: Annotated[tuple[str | int, ...], BeforeValidator(as_list)] = Field(
        (), description="User names or numbers, any of which matches."
    )
    keep_newest: int | None = Field(
        None,
        ge=0,
        description="The newest N of a folder that match stay hot; the others go on to the other conditions.",
    )
    keep_every: int | None = Field(
        None, ge=1, description="Checkpoints whose step is a multiple of this stay hot, like those of keep_newest."
    )
    keep_best: int | None = Field(
        None, ge=0, description="The best N steps of a run stay hot, by its trainer_state.json or metrics.json(l)."
    )
    keep_final: bool = Field(False, description="What is called final or last stays hot.")
    metric: str = Field("", description="Metric of keep_best; empty: what the run's own record calls best.")
    higher_is_better: bool = Field(False, description="Whether the largest value of the metric is the best.")
    part: Annotated[tuple[Literal["optimizer", "weights"], ...], BeforeValidator(as_list)] = Field(
        (), description="Only this part of a checkpoint: optimizer, weights. Optimizer state may be colder."
    )
    root: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field(
        (), description="Only files of these roots; empty: all."
    )
    strategy: StrategyName | None = Field(
        None,
        description="Who chooses the tier of what matches: age, idle, frequency, break_even, expected_cost, ewma or "
        "intelligent_tiering. Then tier is not used.",
    )
    steps: dict[str, str | float] = Field(
        {},
        description='For age and idle: tier = duration from which ("30d"); for frequency: tier = days with reads per '
        "day at least. What is below the first stays hot.",
    )
    pin: bool = Field(False, description="What matches stays hot: the same as tier = hot.")
    must_save: bool = Field(False, description="Refuse moves that would cost more per month than they save.")
    tier: str = Field("hot", description="Where what matches belongs: a tier's name, or hot.")
    reason: str = Field("", description="A sentence for whoever asks why.")

    @field_validator("match")
    @classmethod
    def _globs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return known_globs(value)

    @model_validator(mode="after")
    def _strategy_has_steps(self) -> "RuleConfig":
        stepped = self.strategy in {"age", "idle", "frequency"}
        if stepped != bool(self.steps):
            raise ValueError(
                f'strategy = "{self.strategy}" needs steps' if stepped else "steps belong to age, idle and frequency"
            )
        if self.strategy is not None and (self.pin or self.tier != "hot"):
            raise ValueError("a rule has a strategy or a tier, not both")
        self.choice()
        return self

    def choice(self) -> Choice | None:
        """Return the strategy in policies' words. Raises ValueError for steps that cannot be meant."""
        if self.strategy is None:
            return None
        if self.strategy == "frequency":
            bands = sorted(((_rate(value), tier) for tier, value in self.steps.items()), reverse=True)
            if not bands or bands[-1][0] != 0:
                raise ValueError("steps of frequency end at 0: the tier of what is hardly read")
            return Choice(self.strategy, tuple(bands))
        steps = sorted((parse_duration_ns(value) / NS_PER_DAY, tier) for tier, value in self.steps.items())
        days = [day for day, _ in steps]
        if len(set(days)) < len(days):
            raise ValueError("steps: two tiers begin at the same time")
        if steps and steps[0][0] > 0:
            steps.insert(0, (0.0, "hot"))
        return Choice(self.strategy, tuple(steps))

    @model_validator(mode="after")
    def _pin_means_hot(self) -> "RuleConfig":
        if self.pin and self.tier != "hot":
            raise ValueError(f'pin = true keeps files hot, and tier = "{self.tier}" does not')
        return self


def _rate(value: str | float) -> float:
    try:
        rate = float(value)
    except ValueError:
        raise ValueError(f'steps of frequency are days with reads per day, like 0.1 (got "{value}")') from None
    if rate < 0:
        raise ValueError("steps of frequency must not be negative")
    return rate
