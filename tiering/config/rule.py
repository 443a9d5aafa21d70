"""A rule as the operator writes it: which files, and where they belong."""

from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator, model_validator

from policies.globs import GlobError, compile_glob
from policies.kinds import Kind
from tiering.clock import NS_PER_DAY
from tiering.config.quantities import Duration, Size
from tiering.config.section import Section, as_list


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
    pin: bool = Field(False, description="What matches stays hot: the same as tier = hot.")
    must_save: bool = Field(False, description="Refuse moves that would cost more per month than they save.")
    tier: str = Field("hot", description="Where what matches belongs: a tier's name, or hot.")
    reason: str = Field("", description="A sentence for whoever asks why.")

    @field_validator("match")
    @classmethod
    def _globs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            try:
                compile_glob(pattern)
            except GlobError as error:
                raise ValueError(str(error)) from None
        return value

    @model_validator(mode="after")
    def _pin_means_hot(self) -> "RuleConfig":
        if self.pin and self.tier != "hot":
            raise ValueError(f'pin = true keeps files hot, and tier = "{self.tier}" does not')
        return self
