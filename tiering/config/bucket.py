"""A bucket that others fill and read, as the operator puts it under care: where it is, and which class befits what."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from tiering.clock import NS_PER_DAY
from tiering.config.quantities import Duration, Size
from tiering.config.section import Section, plain_name

TARGETS = ("STANDARD", "INTELLIGENT_TIERING", "STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")
NANO = 1_000_000_000


class BucketRuleConfig(Section):
    """Which objects belong in which class: all conditions named must hold, the first rule that matches decides."""

    name: str = Field(description="Shown wherever the rule decided.")
    prefix: str = Field("", description="Keys that begin so, below the bucket's own prefix.")
    larger_than_bytes: Size | None = Field(None, alias="larger_than", description="Exclusive.")
    smaller_than_bytes: Size | None = Field(None, alias="smaller_than", description="Exclusive.")
    age_ns: Duration | None = Field(None, alias="age", description="Not written for this long.")
    idle_ns: Duration | None = Field(
        None,
        alias="idle",
        description="Not read or written for this long. Never matches where nothing is known of reading: it needs "
        "access_logs, or an inventory with IntelligentTieringReferenceDate.",
    )
    storage_class: str = Field(
        alias="class",
        description="Where what matches belongs. Objects in GLACIER and DEEP_ARCHIVE cannot be read until somebody "
        "restores them; all other classes read at once.",
    )

    @field_validator("storage_class")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in TARGETS:
            raise ValueError(f"must be one of {', '.join(TARGETS)}")
        return value


class BucketConfig(Section):
    """An existing bucket or prefix whose objects stay where they are, under their keys, and change class."""

    name: str = Field(description="Short name for the command line; 1 to 64 letters, digits, dots, dashes.")
    url: str = Field(description="s3://bucket or s3://bucket/prefix. Not where a tier keeps its packs.")
    mode: Literal["report", "transition"] = Field(
        "report",
        description="report: scan and plan, and never change anything. transition: `buckets apply --yes` changes the "
        "class of objects in place.",
    )
    inventory: str = Field(
        "",
        description="manifest.json of an S3 Inventory (s3:// URL or absolute path) to read instead of listing: above "
        'a million objects. "" lists.',
    )
    access_logs: str = Field(
        "", description="S3 server access logs of the bucket (s3://bucket/prefix or a directory): what was read when."
    )
    endpoint_url: str = Field("", description='S3 server other than AWS; "" is AWS.')
    region: str = Field("", description='"" takes what the environment or the profile says.')
    profile: str = Field("", description="Profile of ~/.aws/config.")
    path_style: bool = Field(False, description="Bucket in the path instead of the host name.")
    max_concurrency: int = Field(16, ge=1, le=256, description="Class changes at once.")
    requests_per_s: float = Field(
        300, gt=0, description="At most this many objects a second: the bucket has other users."
    )
    max_objects: int = Field(
        100_000, ge=1, le=1_000_000, description="At most this many objects change class in one run, the best first."
    )
    budget_usd: float = Field(
        100.0, ge=0, description="At most this many dollars of requests, reading and early deletion in one run."
    )
    pays_within_ns: Duration = Field(
        365 * NS_PER_DAY,
        alias="pays_within",
        description="A change must repay its cost within this time, over which its gain is counted. An object that "
        "will be deleted sooner is not worth moving: set it to how long yours live.",
    )
    min_gain_usd: float = Field(
        0.0, ge=0, alias="min_gain", description="Dollars that one change must gain over that time."
    )
    rules: tuple[BucketRuleConfig, ...] = Field((), description="In order; what none matches stays as it is.")

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        return plain_name(value)

    @field_validator("mode", mode="before")
    @classmethod
    def _no_ingest(cls, value: object) -> object:
        if value == "ingest":
            raise ValueError(
                "ingest (moving objects into packs) is not offered: readers would lose their keys. Use transition, or "
                "copy the objects to a directory under [[roots]]"
            )
        return value

    @field_validator("url")
    @classmethod
    def _scheme(cls, value: str) -> str:
        if not value.startswith("s3://") or not value.removeprefix("s3://").split("/", maxsplit=1)[0]:
            raise ValueError("must be s3://bucket or s3://bucket/prefix")
        return value

    @field_validator("inventory", "access_logs")
    @classmethod
    def _readable(cls, value: str) -> str:
        if value and not value.startswith(("s3://", "/")):
            raise ValueError("must be an s3:// URL or an absolute path")
        return value

    @model_validator(mode="after")
    def _rules_have_names_of_their_own(self) -> "BucketConfig":
        names = [rule.name for rule in self.rules]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f'rules: two rules are called "{name}"')
        return self

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self.url.removeprefix("s3://").partition("/")[0]

    @property
    def prefix(self) -> str:
        """What all keys under care begin with, as written: without a trailing slash it is no folder."""
        return self.url.removeprefix("s3://").partition("/")[2]

    @property
    def budget_nano(self) -> int:
        """The budget of a run in nano-dollars."""
        return round(self.budget_usd * NANO)

    @property
    def min_gain_nano(self) -> int:
        """The least gain of a change in nano-dollars."""
        return round(self.min_gain_usd * NANO)
