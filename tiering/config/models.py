"""The configuration as one value, with the checks that need more than one section."""

import os

from pydantic import Field, field_validator, model_validator

from tiering.config.bucket import BucketConfig
from tiering.config.placing import BudgetConfig, PlanningConfig
from tiering.config.recall import RecallConfig
from tiering.config.rule import RuleConfig
from tiering.config.section import Section, plain_name
from tiering.config.sections import (
    CatalogConfig,
    ChunkingConfig,
    GcConfig,
    HotConfig,
    MetadataConfig,
    PricesConfig,
    ReleaseConfig,
    RootConfig,
    ScanConfig,
    ScheduleConfig,
    SegmentsConfig,
    TierConfig,
    VersionsConfig,
)
from tiering.config.telling import LogsConfig, NotifyConfig


class Config(Section):
    """Everything the operator decided. Immutable; the Python names carry units, the file's keys do not."""

    act: bool = Field(
        False,
        description="false: the daemon scans, plans and reports, and moves nothing. true arms it. Commands with --yes "
        "act in either case.",
    )
    catalog: CatalogConfig = CatalogConfig()
    roots: tuple[RootConfig, ...] = Field((), description="Directories under care.")
    hot: HotConfig = HotConfig()
    tiers: dict[str, TierConfig] = Field(default_factory=dict, description="Cold tiers, the warmest first.")
    metadata: MetadataConfig = MetadataConfig()
    prices: PricesConfig = PricesConfig()
    chunking: ChunkingConfig = ChunkingConfig()
    planning: PlanningConfig = PlanningConfig()
    budget: BudgetConfig = BudgetConfig()
    release: ReleaseConfig = ReleaseConfig()
    recall: RecallConfig = RecallConfig()
    versions: VersionsConfig = VersionsConfig()
    scan: ScanConfig = ScanConfig()
    gc: GcConfig = GcConfig()
    segments: SegmentsConfig = SegmentsConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    logs: LogsConfig = LogsConfig()
    notify: NotifyConfig = NotifyConfig()
    rules: tuple[RuleConfig, ...] = Field((), description="In order; none at all means the built-in rules.")
    buckets: tuple[BucketConfig, ...] = Field((), description="Buckets under care, apart from roots and tiers.")

    @field_validator("tiers")
    @classmethod
    def _tier_names(cls, tiers: dict[str, TierConfig]) -> dict[str, TierConfig]:
        if not tiers:
            raise ValueError("at least one [tiers.NAME] is needed")
        for name in tiers:
            plain_name(name)
            if name == "hot":
                raise ValueError('"hot" is the SSD itself: give the cold tier another name')
        is_archive = [tier.is_archive for tier in tiers.values()]
        if is_archive != sorted(is_archive):
            raise ValueError("tiers must stand from the warmest to the coldest: archive classes come last")
        return tiers

    @model_validator(mode="after")
    def _belongs_together(self) -> "Config":
        names = [root.name for root in self.roots]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f'roots: two roots are called "{name}"')
        self._check_buckets()
        if self.metadata.tier and self.metadata.tier not in self.tiers:
            raise ValueError(
                f'metadata.tier: there is no tier "{self.metadata.tier}" (there are {", ".join(self.tiers)})'
            )
        for root in self.roots:
            for tier in root.tiers:
                if tier not in self.tiers:
                    raise ValueError(f'roots: {root.name}: tiers: there is no tier "{tier}"')
        for number, rule in enumerate(self.rules):
            if rule.tier != "hot" and rule.tier not in self.tiers:
                known = ", ".join(["hot", *self.tiers])
                raise ValueError(f'rules[{number}].tier: there is no tier "{rule.tier}" (there are {known})')
        return self

    def _check_buckets(self) -> None:
        names = [bucket.name for bucket in self.buckets]
        for number, bucket in enumerate(self.buckets):
            if names.count(bucket.name) > 1:
                raise ValueError(f'buckets: two buckets are called "{bucket.name}"')
            self._check_ingest(number, bucket)
            others = {f"is within buckets[{i}]": other.url for i, other in enumerate(self.buckets) if i != number}
            stores = {f"holds the store of tiers.{name}": tier.store for name, tier in self.tiers.items()}
            for said, url in (others | stores).items():
                ours, theirs = url.rstrip("/") + "/", bucket.url.rstrip("/") + "/"
                if theirs.startswith(ours) or (url in stores.values() and ours.startswith(theirs)):
                    raise ValueError(f"buckets[{number}].url: {bucket.url} {said}")

    def _check_ingest(self, number: int, bucket: BucketConfig) -> None:
        if not bucket.tier:
            return
        if bucket.tier not in self.tiers:
            known = ", ".join(self.tiers)
            raise ValueError(f'buckets[{number}].tier: there is no tier "{bucket.tier}" (there are {known})')
        if bucket.delete_originals and self.tiers[bucket.tier].is_archive:
            raise ValueError(
                f"buckets[{number}].delete_originals: what is stored in {bucket.tier} cannot be read back before the "
                "originals go; use a tier that reads at once (files may sink from there to a colder one)"
            )

    @property
    def metadata_tier(self) -> str:
        """Name of the tier whose store keeps recipes and segments."""
        return self.metadata.tier or next(iter(self.tiers))

    @property
    def spool_dir(self) -> str:
        """Folder for packs under construction."""
        return os.path.join(self.catalog.state_dir, "spool")

    def root(self, name: str) -> RootConfig:
        """Return the settings of a root; the defaults for one that only the catalog knows."""
        for root in self.roots:
            if root.name == name:
                return root
        return RootConfig(name=name, path="/")

    def rank(self, tier: str) -> int:
        """Return 1 for the warmest cold tier, more for colder ones. KeyError where there is no such tier."""
        return {name: rank for rank, name in enumerate(self.tiers, start=1)}[tier]
