"""The sections of the configuration, one model each.

A field's description is its comment in the written sample and its line in the reference: it states what changing the
value does. Python names carry units; the key in the file is the alias where the two differ.
"""

import os
import re
from enum import StrEnum
from typing import Literal

from pydantic import Field, field_validator, model_validator

from policies.globs import compile_glob
from tiering.clock import NS_PER_S
from tiering.config.archive_access import COOLS, check_archive_access
from tiering.config.quantities import Duration, OptionalDuration, Schedule, Size
from tiering.config.section import Section, absolute_path, known_timezone, plain_name

NANO = 1_000_000_000
MIB = 2**20
ARCHIVE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Classes whose objects must be restored before they can be read."""
MAX_TAGS = 10
_PRESCRIBED = re.compile(r"raw|zstd:([1-9]|1[0-9]|2[0-2])")
"""What dedup.codecs.level_given takes; importing it would cost every command a fifth of a second."""
LOCAL_SCHEMES = ("file://", "memory://")


class CatalogConfig(Section):
    """Where the state of this installation lives."""

    url: str = Field(
        "sqlite:////var/lib/frostline/catalog.db",
        description="Database of the catalog and the ledger: sqlite:////absolute/path on a local disk, or "
        "postgresql://user@host/name. Pointing it elsewhere is starting over: move the data first.",
    )
    state_dir: str = Field(
        "/var/lib/frostline",
        description="Folder for packs under construction and lock files; needs room for four packs per running job.",
    )

    @field_validator("state_dir")
    @classmethod
    def _absolute(cls, value: str) -> str:
        return absolute_path(value)

    @field_validator("url")
    @classmethod
    def _same_file_for_all(cls, value: str) -> str:
        if re.match(r"sqlite(\+\w+)?:///[^/:]", value):
            raise ValueError('must name an absolute path, like "sqlite:////var/lib/frostline/catalog.db"')
        return value


class PlaceholderKind(StrEnum):
    """What stands at the path of an offline file."""

    LINK = "link"
    """A symlink that names the recipe; opening it fails, and it survives rename and copy."""
    NONE = "none"
    """Nothing: the name disappears, and the file is reached through frostline alone."""


class RootConfig(Section):
    """One directory under care."""

    name: str = Field(
        description="Name in reports, records and recipes. Renaming it makes frostline see a new root: keep it.",
    )
    path: str = Field(description="Absolute path. Never inside a store, nor a store inside it.")
    placeholder: PlaceholderKind = Field(
        PlaceholderKind.LINK,
        description='What stands where a file was: "link" is a symlink that names its recipe, "none" is nothing.',
    )
    release_without_lease_ns: OptionalDuration = Field(
        None,
        alias="release_without_lease",
        description="For file systems without leases (NFS, FUSE, cluster): release after no change for this long, with "
        'the digest read twice. "" never releases there: files are migrated and stay.',
    )
    cross_mounts: bool = Field(
        False, description="Follow other file systems mounted below the root. Off: they are left alone."
    )
    open_counter: bool = Field(
        False,
        description="Count opens with fanotify (needs CAP_SYS_ADMIN): better evidence of reading than atime, and a "
        "small cost for every open on that mount.",
    )
    tiers: tuple[str, ...] = Field(
        (),
        description="Cold tiers that files of this root may go to; empty: all. A rule's tier that is not among them "
        "gives way to the next warmer one that is.",
    )
    recall_within_ns: OptionalDuration = Field(
        None,
        alias="recall_within",
        description='Files must be back within this time: tiers whose restores may take longer are not used. "": any.',
    )
    high_water: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Fill of the hot capacity from which files that no rule moves leave too, the least valuable per "
        "byte first. 1: never.",
    )
    low_water: float = Field(
        0.85, gt=0, le=1, description="Fill down to which they leave. Lower: more room, more recalls."
    )
    capacity_bytes: Size = Field(
        0,
        alias="capacity",
        description="Hot bytes this root may take; 0: the size of its file system, whoever fills it.",
    )
    read_only: bool = Field(
        False, description="Only scan, plan and report: no marker is written and nothing is ever moved here."
    )

    @field_validator("path")
    @classmethod
    def _absolute(cls, value: str) -> str:
        return absolute_path(value)

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        return plain_name(value)

    @model_validator(mode="after")
    def _marks_in_order(self) -> "RootConfig":
        if self.low_water > self.high_water:
            raise ValueError(f"low_water ({self.low_water:g}) must not be above high_water ({self.high_water:g})")
        return self

    @property
    def path_bytes(self) -> bytes:
        """The path as raw bytes: absolute, normalised, no trailing slash."""
        return os.fsencode(self.path)


class HotConfig(Section):
    """What the fast disks cost."""

    usd_per_gib_month: float = Field(
        0.08,
        ge=0,
        description="Price of one GiB (2**30 bytes) on the hot tier for a month. Every saving is measured by it.",
    )
    refundable: bool = Field(
        False,
        description="true: freed bytes come off a bill (an elastic volume), and are reported as realised savings. "
        "false: the disk is paid for anyway, and the same bytes are reported as avoided cost.",
    )

    @property
    def nano_per_gib_month(self) -> int:
        """The price in nano-dollars."""
        return round(self.usd_per_gib_month * NANO)


class TierConfig(Section):
    """One cold tier: a store and a storage class in it. Tiers stand in the file from the warmest to the coldest.

    A tier keeps its name, and stays in the file, for as long as anything is stored in it.
    """

    store: str = Field(description="file:///absolute/dir or s3://bucket/prefix.")
    storage_class: str = Field(
        "STANDARD",
        description="Class sent with every upload; ignored by local stores. GLACIER and DEEP_ARCHIVE must be restored "
        "before reading, which takes minutes to days.",
    )
    endpoint_url: str = Field("", description='S3 server other than AWS; "" is AWS.')
    region: str = Field("", description='"" takes what the environment or the profile says.')
    profile: str = Field(
        "", description="Profile of ~/.aws/config. Credentials never stand in this file; see docs/config.md."
    )
    path_style: bool = Field(
        False, description="Bucket in the path instead of the host name, as most other servers want."
    )
    max_concurrency: int = Field(
        16, ge=1, le=512, description="Requests at once. More is faster until the line or the server is full."
    )
    bandwidth_bytes_per_s: Size = Field(
        0, alias="bandwidth", description="Bytes per second, up and down together; 0 is no limit."
    )
    encryption: Literal["", "AES256", "aws:kms"] = Field(
        "", description='Encryption at rest of new objects: AES256 (SSE-S3), aws:kms, or "": the bucket\'s default.'
    )
    kms_key: str = Field("", description='Id or ARN of the key for aws:kms; "" is the account\'s own key.')
    bucket_key: bool = Field(
        True, description="With aws:kms: one data key for the bucket, not a KMS request per object. Off: costlier."
    )
    tags: dict[str, str] = Field(
        {},
        description="Put on every new object, so that the provider's bill can be split by them; at most ten.",
    )
    archive_access_days: int = Field(
        0,
        ge=0,
        le=730,
        description="Of a tier in INTELLIGENT_TIERING: after how many days without reading the bucket's own "
        "configuration archives objects (90 or more); 0: it does not. What is archived must be restored.",
    )
    deep_archive_access_days: int = Field(0, ge=0, le=730, description="The same for Deep Archive Access (180 on).")
    usd_per_gib_month: float | None = Field(
        None,
        ge=0,
        description="Your own price for storage here, where the price book does not apply (local or other stores).",
    )

    @field_validator("store")
    @classmethod
    def _scheme(cls, value: str) -> str:
        if value.startswith("file://") and not value.startswith("file:///"):
            raise ValueError("needs an absolute path: file:///dir")
        if not value.startswith((*LOCAL_SCHEMES, "s3://")):
            raise ValueError("must be file:///dir or s3://bucket/prefix")
        return value.rstrip("/") if value != "file:///" else value

    @field_validator("tags")
    @classmethod
    def _few_and_short(cls, value: dict[str, str]) -> dict[str, str]:
        if len(value) > MAX_TAGS or any(len(name) > 128 or len(text) > 256 for name, text in value.items()):
            raise ValueError(f"S3 takes at most {MAX_TAGS} tags, names up to 128 and values up to 256 characters")
        return value

    @model_validator(mode="after")
    def _archives_as_s3_does(self) -> "TierConfig":
        check_archive_access(self.storage_class, self.archive_access_days, self.deep_archive_access_days)
        return self

    @property
    def is_local(self) -> bool:
        """Whether it is a directory or memory of this machine."""
        return self.store.startswith(LOCAL_SCHEMES)

    @property
    def is_archive(self) -> bool:
        """Whether its objects must be restored before reading."""
        return not self.store.startswith("file://") and self.storage_class in ARCHIVE_CLASSES

    def archives_by_itself(self, storage_class: str) -> bool:
        """Whether the bucket archives objects of that class."""
        return storage_class == COOLS and bool(self.archive_access_days or self.deep_archive_access_days)

    @property
    def nano_per_gib_month(self) -> int | None:
        """The operator's own storage price in nano-dollars; None: the price book's."""
        return None if self.usd_per_gib_month is None else round(self.usd_per_gib_month * NANO)


class MetadataConfig(Section):
    """Where recipes, segments and the ownership file go."""

    tier: str = Field(
        "",
        description='Tier whose store keeps recipes and segments; "" is the first. Moving it needs frostline rebuild.',
    )
    storage_class: str = Field(
        "STANDARD", description="Class of recipes and segments: one that reads at once, or no recall could begin."
    )

    @field_validator("storage_class")
    @classmethod
    def _instant(cls, value: str) -> str:
        if value in ARCHIVE_CLASSES:
            raise ValueError("must be a class that reads at once")
        return value


class PricesConfig(Section):
    """What the provider charges."""

    book: str = Field(
        "aws-us-east-1",
        description="Price book: the name of a shipped one, or the path of your own .json. Ledger entries name it.",
    )


class ChunkingConfig(Section):
    """How files are cut, compressed and packed."""

    pack_bytes: Size = Field(
        64 * MIB,
        ge=64 * 1024,
        le=4096 * MIB,
        description="Size of a pack. Larger: fewer requests, cheaper archives; smaller: less to fetch for one file.",
    )
    effort: Literal["fast", "balanced", "small"] = Field(
        "balanced", description="Compression effort: fast, balanced or small. Only what is stored from now on changes."
    )
    codecs: dict[str, str] = Field(
        {},
        description='Codec by pattern, instead of what content suggests: { "*.log" = "zstd:19", "raw/**" = "raw" }. '
        "The first pattern that matches the path below its root decides; such files are coded against nothing.",
    )

    @field_validator("codecs")
    @classmethod
    def _known_codecs(cls, value: dict[str, str]) -> dict[str, str]:
        for pattern, codec in value.items():
            compile_glob(pattern)
            if not _PRESCRIBED.fullmatch(codec):
                raise ValueError(f'codec "{codec}" cannot be prescribed: only "raw" and "zstd:1" to "zstd:22"')
        return value


class ReleaseConfig(Section):
    """Freeing the hot tier."""

    park_s: float = Field(
        60,
        ge=0,
        le=86_400,
        description="Seconds a released file stays parked beside its placeholder before its bytes are freed. A program "
        "that opened it a moment before the swap has this long to be noticed. Lower it only where nobody else writes.",
    )
    max_files_per_cycle: int = Field(
        100_000, ge=0, description="At most this many files are released per cycle, whatever the rules say."
    )
    max_bytes_per_cycle: Size = Field(
        1024 * 1024 * MIB, description="At most this many bytes are released per cycle, whatever the rules say."
    )
    min_size_bytes: Size = Field(
        4096,
        alias="min_size",
        description="Smaller files stay: a placeholder takes about as much room, and recalling one costs a request.",
    )


class VersionsConfig(Section):
    """How long what is no longer current can still be had."""

    keep_days: int = Field(
        30, ge=0, description="Days a replaced version is kept after its file changed. 0: gone with the next gc."
    )
    missing_days: int = Field(
        30, ge=0, description="Days the stored copy of a file that disappeared is kept. 0: gone with the next gc."
    )


class ScanConfig(Section):
    """When a scan refuses to believe what it sees."""

    mass_missing_fraction: float = Field(
        0.10, ge=0, le=1, description="More than this part of a root missing at once changes nothing until confirmed."
    )
    mass_missing_files: int = Field(
        1000, ge=0, description="More than this many files missing at once change nothing until confirmed."
    )


class GcConfig(Section):
    """Deleting from the store."""

    grace_ns: Duration = Field(
        72 * 3600 * NS_PER_S,
        alias="grace",
        description="How long an object nobody needs waits before it is deleted. Longer than your slowest job and your "
        "catalog backups: a restored backup needs objects that were doomed since.",
    )


class SegmentsConfig(Section):
    """The catalog's shadow in the store."""

    max_age_ns: Duration = Field(
        300 * NS_PER_S,
        alias="max_age",
        description="A segment is written at least this often while things change: what losing the catalog can cost.",
    )


class ScheduleConfig(Section):
    """When the daemon does what: an interval ("24h"), five cron fields ("30 2 * * *"), or "" for never."""

    scan: Schedule = Field("1h", description="Look at the trees. Rarer: evidence of reading gets coarser.")
    cycle: Schedule = Field("24h", description="Scan, plan, migrate, release. Nothing moves unless act = true.")
    tickets: Schedule = Field("5m", description="Follow archive restores and finish what they wait for.")
    accrue: Schedule = Field("1h", description="Book the cost of storage. Missed hours are caught up.")
    gc: Schedule = Field("24h", description="Reclaim what nobody needs. Never: the bucket only grows.")
    timezone: str = Field("UTC", description="Zone in which cron fields are meant.")

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        return known_timezone(value)
