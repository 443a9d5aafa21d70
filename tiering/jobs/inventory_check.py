"""Compares the catalog's packs with an S3 Inventory of their bucket: existence, size, storage class.

Used by audit --inventory, where listing a bucket of a hundred million keys is too dear. An inventory is a day old and
may miss what was just written: whatever it seems to say is looked at again, object by object, before it is called a
discrepancy, and nothing is ever deleted on its word. Memory: a page of it, and the numbers of the packs.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from tiering.catalog import packs
from tiering.catalog.objects import CLASSES, Seen
from tiering.catalog.transaction import batches
from tiering.catalog.values import PackRow, PackState
from tiering.clock import NS_PER_DAY, NS_PER_S
from tiering.errors import ConfigError, ObjectMissing
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.findings import LISTED, Findings
from tiering.jobs.inventory import Manifest, Passed, check_file, local_file, parse_manifest, read_file
from tiering.jobs.store_check import expected_packs
from tiering.jobs.store_debris import PREFIXES
from tiering.stores.base import ObjectInfo

SETTLED_NS = 2 * NS_PER_DAY
"""An inventory is only expected to have what was there so long before its time: it is eventually consistent."""


def check_inventory(ctx: Context, manifest_path: str, found: Findings) -> int:
    """Compare; return how many objects of ours the inventory names. Raises ConfigError where it cannot be meant."""
    path = Path(manifest_path)
    try:
        manifest = parse_manifest(path.read_bytes(), manifest_path)
    except OSError as error:
        raise ConfigError(f"{manifest_path}: {error.strerror or error}") from error
    check = _Check(ctx, manifest, found)
    for file in manifest.files:
        data = local_file(path.parent, file.key)
        check_file(data, file)
        for page in read_file(data, manifest, "", check.passed):
            check.page(page)
    check.finish()
    return check.named


class _Check:
    """One inventory against the packs of the tiers in its bucket."""

    def __init__(self, ctx: Context, manifest: Manifest, found: Findings) -> None:
        self._ctx = ctx
        self._found = found
        self._as_of_ns = manifest.as_of_s * NS_PER_S
        self._places = dict(_places(ctx, manifest.bucket))
        if not self._places:
            raise ConfigError(f"the inventory is of the bucket {manifest.bucket}, where no tier has its store")
        self._missing = expected_packs(ctx)
        self._looks = 0
        self.named = 0
        self.passed = Passed()

    def page(self, page: Sequence[Seen]) -> None:
        """Compare one page."""
        for prefix, tier in self._places.items():
            ours = {name: seen for seen in page if (name := _ours(seen[0].decode(errors="replace"), prefix))}
            for batch in batches(ours):
                with self._ctx.catalog.read() as tx:
                    rows = packs.by_keys(tx, batch)
                for key in batch:
                    self.named += 1
                    self._one(tier, key, ours[key], rows.get(key))

    def finish(self) -> None:
        """Look for what the inventory should have had."""
        for batch in batches(sorted(self._missing)):
            with self._ctx.catalog.read() as tx:
                rows = packs.by_numbers(tx, batch)
            for row in rows.values():
                is_here = row.tier in {tier.name for tier in self._here()}
                is_old = row.created_ns < self._as_of_ns - SETTLED_NS
                if is_here and row.size and is_old and self._may_look() and self._head(row) is None:
                    use = "live files need it" if row.state is PackState.LIVE else "it was doomed"
                    self._found.add(
                        f"inventory: {row.key} ({row.size} bytes) is booked in tier {row.tier} and is not there; {use}"
                    )
        if self._looks > LISTED:
            self._found.note(
                f"{self._looks - LISTED:,} objects that the inventory tells otherwise were not looked at again: make a "
                "listing (audit without --inventory)"
            )

    def _one(self, tier: OpenTier, key: str, seen: Seen, row: PackRow | None) -> None:
        if row is None:
            is_old = seen[4] * NS_PER_S < self._as_of_ns - SETTLED_NS
            if is_old and self._may_look() and (info := self._head_of(tier, key)) is not None:
                self._found.add(f"inventory: {key} ({info.size_bytes} bytes) is in no book; gc dooms it")
            return
        self._missing.discard(row.pack_no)
        if row.state not in {PackState.LIVE, PackState.DOOMED}:
            return  # it came or went since the inventory was made
        if (seen[1], CLASSES[seen[2]]) != (row.size, row.storage_class) and self._may_look():
            self._compare(row, self._head(row))

    def _compare(self, row: PackRow, info: ObjectInfo | None) -> None:
        """Say what is still otherwise than it is booked, now that the object was looked at."""
        if info is None:
            self._found.add(f"inventory: {row.key} ({row.size} bytes) is booked and is not there")
        elif info.size_bytes != row.size:
            self._found.add(f"inventory: {row.key} has {info.size_bytes} bytes, {row.size} are booked")
        elif info.storage_class != row.storage_class and self._ctx.tier(row.tier).capabilities.keeps_class:
            self._found.add(f"inventory: {row.key} is of class {info.storage_class}, {row.storage_class} is booked")

    def _head(self, row: PackRow) -> ObjectInfo | None:
        return self._head_of(self._ctx.tier(row.tier), row.key)

    def _may_look(self) -> bool:
        """Count a look; a thousand are made."""
        self._looks += 1
        return self._looks <= LISTED

    @staticmethod
    def _head_of(tier: OpenTier, key: str) -> ObjectInfo | None:
        try:
            return tier.store.head(key)
        except ObjectMissing:
            return None

    def _here(self) -> Iterator[OpenTier]:
        urls = {tier.store.url for tier in self._places.values()}
        yield from (tier for tier in self._ctx.tiers.values() if tier.store.url in urls)


def _places(ctx: Context, bucket: str) -> Iterator[tuple[str, OpenTier]]:
    """Yield (prefix of its keys, tier) for each store in *bucket*."""
    for tier in (*ctx.tiers.values(), ctx.metadata):
        parts = urlsplit(tier.store.url)
        if parts.scheme == "s3" and parts.netloc == bucket:
            yield f"{parts.path.strip('/')}/".lstrip("/"), tier


def _ours(key: str, prefix: str) -> str:
    """Return a pack's key in its store; "" for what is none."""
    own = key.removeprefix(prefix)
    return own if key.startswith(prefix) and own.startswith(tuple(PREFIXES)) else ""
