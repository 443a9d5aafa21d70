"""A bucket that others fill and read, as the operator puts it under care: where it is, and which class befits what."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from tiering.clock import NS_PER_DAY
from tiering.config.quantities import Duration, Schedule, Size
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
        "",
        alias="class",
        description="Where what matches belongs; needed but for mode ingest, where the bucket's tier says it. Objects "
        "in GLACIER and DEEP_ARCHIVE cannot be read until somebody restores them; all other classes read at once.",
    )

    @field_validator("storage_class")
    @classmethod
    def _known(cls, value: str) -> str:
        if value and value not in TARGETS:
            raise ValueError(f"must be one of {', '.join(TARGETS)}")
        return value


class BucketConfig(Section):
    """An existing bucket or prefix: its objects change class under their keys, or are taken into packs."""

    name: str = Field(description="Short name for the command line; 1 to 64 letters, digits, dots, dashes.")
    url: str = Field(description="s3://bucket or s3://bucket/prefix. Not where a tier keeps its packs.")
    mode: Literal["report", "transition", "ingest"] = Field(
        "report",
        description="report: scan and plan, and never change anything. transition: `buckets apply --yes` changes the "
        "class of objects in place. ingest: it reads objects and stores them in `tier`, deduplicated and compressed "
        "like files; their originals stay unless delete_originals says otherwise.",
    )
    tier: str = Field("", description="ingest: the tier that objects are stored in.")
    delete_originals: bool = Field(
        False,
        description="ingest: WARNING, true deletes each original once its stored copy was read back whole and is in "
        "the catalog and in a durable segment. Programs that read the bucket find their keys gone: read by "
        "`frostline cat`, `restore`, tiering.open or frostline://, or put back with `frostline buckets restore`.",
    )
    egress_usd_per_gib: float = Field(
        0.0,
        ge=0,
        description="ingest: what a GiB read out of this bucket to where frostline runs costs beside requests and "
        "retrieval; 0 within its region. Quoted, and booked.",
    )
    schedule: Schedule = Field(
        "",
        description='When the daemon scans and plans this bucket, and acts on it where act = true: "24h" or '
        '"30 2 * * *"; "" leaves it to the commands.',
    )
    inventory: str = Field(
        "",
        description="manifest.json of an S3 Inventory (s3:// URL or absolute path) to read instead of listing: above "
        'a million objects. "" lists.',
    )
    access_logs: str = Field(
        "", description="S3 server access logs of the bucket (s3://bucket/prefix or a directory): what was read when."
    )
    cloudtrail: str = Field(
        "", description="The same from CloudTrail data events: the prefix of their .json.gz files, or a directory."
    )
    endpoint_url: str = Field("", description='S3 server other than AWS; "" is AWS.')
    region: str = Field("", description='"" takes what the environment or the profile says.')
    profile: str = Field("", description="Profile of ~/.aws/config.")
    path_style: bool = Field(False, description="Bucket in the path instead of the host name.")
    max_concurrency: int = Field(16, ge=1, le=256, description="Requests at once.")
    requests_per_s: float = Field(
        300, gt=0, description="At most this many objects a second: the bucket has other users."
    )
    max_objects: int = Field(
        100_000,
        ge=1,
        le=1_000_000,
        description="At most this many objects change class in one run, the best first, or are taken in, by key.",
    )
    budget_usd: float = Field(
        100.0, ge=0, description="At most this many dollars of requests, reading and early deletion in one run."
    )
    budget_usd_per_month: float = Field(
        1000.0,
        ge=0,
        description="The daemon stops acting on this bucket once so much was booked for it in a calendar month (UTC).",
    )
    requests_per_day: int = Field(
        10_000_000, ge=0, description="The same for requests in a day (UTC), lists and looks among them."
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

    @field_validator("url")
    @classmethod
    def _scheme(cls, value: str) -> str:
        if not value.startswith("s3://") or not value.removeprefix("s3://").split("/", maxsplit=1)[0]:
            raise ValueError("must be s3://bucket or s3://bucket/prefix")
        return value

    @field_validator("inventory", "access_logs", "cloudtrail")
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

    @model_validator(mode="after")
    def _mode_has_what_it_needs(self) -> "BucketConfig":
        if self.mode == "ingest":
            self._check_ingest()
            return self
        for name in ("tier", "delete_originals", "egress_usd_per_gib"):
            if getattr(self, name):
                raise ValueError(f"{name}: is for mode = ingest only")
        for number, rule in enumerate(self.rules):
            if not rule.storage_class:
                raise ValueError(f"rules[{number}].class: is needed: where does what matches belong?")
        return self

    def _check_ingest(self) -> None:
        if not self.tier:
            raise ValueError("tier: mode = ingest needs the tier that objects are stored in")
        if self.prefix and not self.prefix.endswith("/"):
            raise ValueError('url: with mode = ingest its prefix must end in "/": keys below it become paths')
        for number, rule in enumerate(self.rules):
            if rule.storage_class:
                raise ValueError(f"rules[{number}].class: is not for mode = ingest, where the bucket's tier says it")

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
    def month_nano(self) -> int:
        """What the daemon may spend on it in a month, in nano-dollars."""
        return round(self.budget_usd_per_month * NANO)

    @property
    def egress_nano_per_gib(self) -> int:
        """What a GiB costs on its way here, in nano-dollars."""
        return round(self.egress_usd_per_gib * NANO)

    @property
    def min_gain_nano(self) -> int:
        """The least gain of a change in nano-dollars."""
        return round(self.min_gain_usd * NANO)
