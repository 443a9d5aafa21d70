"""Estimate: what dedup, compression and tiering would save here. No configuration, catalog, store or writable disk.

Looks at every file (tiering by the built-in rules and the shipped price book), then reads all of them, or a sample in
huge trees, through the chunker, the fingerprint and the codec that migrate uses. Nothing is written and nothing is
stored; access times are left alone where the kernel lets us.
"""

import json
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from functools import partial
from importlib import resources
from threading import Event
from typing import Any

from dedup.chunkers import chunker_of
from dedup.errors import ShortRead
from dedup.fingerprint import DEFAULT_FINGERPRINT, resolve_fingerprint
from dedup.formats.segmentation import segment
from dedup.ingest import Cutting, ingest
from dedup.values import WrappedPart
from policies.amounts import NANO
from policies.cost import month_nano
from policies.prices import PriceBook, parse_book
from policies.rules import default_rules
from policies.values import HOT, TierFacts
from tiering import direct
from tiering.clock import Clock
from tiering.errors import SourceChanged, SourceError
from tiering.hot import paths
from tiering.hot.source import Source
from tiering.hot.walk import Entry, Kind
from tiering.jobs.context import NoProgress, Progress
from tiering.jobs.counted import Counted
from tiering.jobs.estimate_look import FirstNames, Judging, Looked, bucket_of, entries_of, look, split_top, tops_of
from tiering.jobs.estimate_reduction import ClassReduction, Reduction, ReductionMeter
from tiering.jobs.outgoing import SMALL_BYTES
from tiering.jobs.references import SourceBytes
from tiering.jobs.reports import Skipped

COMPRESSION_IS_TOLD_BELOW = 0.995  # else "tried on 100%"
SAMPLE_ABOVE_BYTES = 256 << 30  # some minutes of reading from one fast disk
BOOK = "aws-us-east-1"
HOT_CLASS = "gp3"
COLD = "standard"
COLD_CLASS = "STANDARD"


@dataclass(frozen=True, slots=True)
class EstimateOptions:
    """What an estimate assumes, and how much it reads."""

    effort: str = "balanced"
    """Of compression: a key of dedup.codecs.EFFORTS."""
    sample_above_bytes: int = SAMPLE_ABOVE_BYTES
    """Trees with more than this are sampled, about this much is read. 0 reads all."""
    hot_nano_per_gib_month: int | None = None
    """Price of the disk it stands on; None is EBS gp3."""
    storage_class: str = COLD_CLASS
    """Where cold files would go."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What would be saved. Bytes; money in nano-dollars per month of 730 h."""

    paths: tuple[str, ...]
    files: int
    logical_bytes: int
    """Apparent; each inode once."""
    unique_bytes: int
    """After dedup; holes count as nothing."""
    stored_bytes: int
    """After dedup and compression, if all of it were stored; what versions of one model share beyond equal chunks is
    not in it."""
    classes: tuple[ClassReduction, ...]
    """What the bytes read are made of, the largest first; not scaled up where a sample was read."""
    cold_files: int
    cold_bytes: int
    """Of files that the built-in rules would move today."""
    now_nano_month: int
    then_nano_month: int
    once_nano: int
    read_bytes: int
    is_sampled: bool
    price_book: str
    access_quality: str
    problems: tuple[Skipped, ...]
    problem_count: int
    notes: tuple[str, ...]
    seconds: float

    @property
    def reduction_ratio(self) -> float:
        """stored / logical; 1.0 for nothing at all."""
        return self.stored_bytes / self.logical_bytes if self.logical_bytes else 1.0

    def to_json(self) -> dict[str, Any]:
        """Return the documented keys, and more beside them."""
        now, then = self.now_nano_month / NANO, self.then_nano_month / NANO
        return {
            "paths": list(self.paths),
            "files": self.files,
            "logical_bytes": self.logical_bytes,
            "unique_bytes": self.unique_bytes,
            "stored_bytes": self.stored_bytes,
            "reduction_ratio": self.reduction_ratio,
            "classes": [asdict(found) for found in self.classes],
            "cold_files": self.cold_files,
            "cold_bytes": self.cold_bytes,
            "usd_per_month": {
                "now": now,
                "then": then,
                "saved": (self.now_nano_month - self.then_nano_month) / NANO,
            },
            "usd_once": self.once_nano / NANO,
            "read_bytes": self.read_bytes,
            "sampled": self.is_sampled,
            "price_book": self.price_book,
            "access_quality": self.access_quality,
            "skipped": [{"path": item.path, "reason": item.reason} for item in self.problems],
            "skipped_count": self.problem_count,
            "notes": list(self.notes),
            "seconds": self.seconds,
        }


def estimate(
    paths_shown: Sequence[str],
    *,
    clock: Clock,
    options: EstimateOptions | None = None,
    progress: Progress | None = None,
    stop: Event | None = None,
) -> Estimate:
    """Return what would be saved under *paths_shown* (folders or files). Unreadable files are listed, not fatal.

    Memory does not grow with the number of files, but for links and the largest folder. Setting *stop* ends the reading
    early and says so. Raises UsageError for a path that is not there.
    """
    chosen = options or EstimateOptions()
    run = _Run(tops_of(paths_shown), chosen, clock, progress or NoProgress(), stop=stop or Event())
    return replace(run.run(), paths=tuple(paths_shown))


class _Run:
    """One estimate."""

    def __init__(
        self, tops: Sequence[bytes], options: EstimateOptions, clock: Clock, progress: Progress, *, stop: Event
    ) -> None:
        self._tops = tops
        self._options = options
        self._clock = clock
        self._progress = progress
        self._stop = stop
        self._book = shipped_book()
        hot = options.hot_nano_per_gib_month
        self._hot = TierFacts(HOT, 0, HOT_CLASS, nano_per_gib_month=self._book.hot[HOT_CLASS] if hot is None else hot)
        self._cold = TierFacts(COLD, 1, options.storage_class)
        self._meter = ReductionMeter(effort=options.effort)
        self._read_bytes = 0
        self._read_logical = 0
        self._fingerprint = resolve_fingerprint(DEFAULT_FINGERPRINT)

    def run(self) -> Estimate:
        """Look, read, add up."""
        begun_s = self._clock.monotonic_s()
        self._book.price(self._options.storage_class)  # an unknown class is refused before anything is read
        tiers = {HOT: self._hot, COLD: self._cold}
        judging = Judging(default_rules(standard=COLD), tiers, self._book, self._clock.now_ns())
        self._progress.start("look")
        looked = look(self._tops, judging)
        chosen = self._choose(looked)
        self._progress.start("read", total_bytes=_bytes_in(looked, chosen), total_files=None)
        for top in self._tops:
            self._read_top(top, looked, chosen)
        self._progress.finish()
        return self._sum(looked, is_sampled=chosen is not None, seconds=self._clock.monotonic_s() - begun_s)

    def _choose(self, looked: Looked) -> frozenset[int] | None:
        """Return the groups to read, None for all: in order of their number until there is enough."""
        limit = self._options.sample_above_bytes
        if not limit or looked.logical_bytes <= limit:
            return None
        chosen: set[int] = set()
        total = 0
        for number, size_bytes in enumerate(looked.buckets):
            if total >= limit:
                break
            if size_bytes:
                chosen.add(number)
                total += size_bytes
        return frozenset(chosen)

    def _read_top(self, top: bytes, looked: Looked, chosen: frozenset[int] | None) -> None:
        folder, _ = split_top(top)
        first_names = FirstNames()
        for entry in entries_of(top):
            if self._stop.is_set():
                return
            if not isinstance(entry, Entry) or entry.kind is not Kind.FILE or not entry.stat.st_size:
                continue
            if chosen is not None:
                path = os.path.join(folder, entry.path)
                if bucket_of(entry.stat.st_size, path) not in chosen or self._is_enough():
                    continue
            if not first_names.is_first(entry.stat):
                continue
            try:
                self._read_file(folder, entry)
            except _Stopped:
                return
            except (OSError, SourceError) as error:
                shown = paths.display(folder, entry.dir, entry.name)
                reason = error.what if isinstance(error, SourceError) else error.strerror or str(error)
                looked.problem(shown, f"not read: {reason}")

    def _is_enough(self) -> bool:
        """Return whether a group far larger than the rest has been read for long enough."""
        return self._read_logical >= 2 * self._options.sample_above_bytes

    def _read_file(self, folder: bytes, entry: Entry) -> None:
        with paths.opened_dir(folder, entry.dir) as dir_fd:
            fd = paths.open_file(dir_fd, entry.name)
        with closing(os.fdopen(fd, "rb", closefd=True)), closing(direct.Ahead(fd)) as ahead:
            source = Source(fd, paths.display(folder, entry.dir, entry.name), None, ahead=ahead)
            self._measure(source, entry.name)
            source.drop_cache()
        self._read_logical += source.size

    def _measure(self, source: Source, name: bytes) -> None:
        # As migrate cuts them: a small file is generic whatever it holds.
        regions = segment(SourceBytes(source), name=name) if source.size > SMALL_BYTES else None
        chunkers = partial(chunker_of, size_bytes=source.size)
        cutting = Cutting(chunkers, self._fingerprint, regions=regions or (), proves=False)
        counted = Counted(source, self._progress)
        try:
            found = ingest(counted, cutting, take=self._meter.take, before_read=self._check)
        except ShortRead as error:
            raise SourceChanged(f"{source.path} became shorter while it was read") from error
        finally:
            self._read_bytes += counted.bytes
        pages = [part for part in found.parts if isinstance(part, WrappedPart)]
        for page in pages:
            self._meter.add_pages(page.length, sum(chunk.length for chunk in page.inner))

    def _check(self) -> None:
        if self._stop.is_set():
            raise _Stopped

    def _sum(self, looked: Looked, *, is_sampled: bool, seconds: float) -> Estimate:
        reduction = self._meter.result()
        share = self._read_logical / looked.logical_bytes if looked.logical_bytes else 1.0
        scale = looked.logical_bytes / self._read_logical if self._read_logical else 1.0
        unique, stored = round(reduction.unique_bytes * scale), round(reduction.stored_bytes * scale)
        ratio = stored / looked.logical_bytes if looked.logical_bytes else 1.0
        now = month_nano(self._hot, looked.logical_bytes, self._book)
        stays = month_nano(self._hot, looked.logical_bytes - looked.cold_bytes, self._book)
        then = stays + month_nano(self._cold, round(looked.cold_bytes * ratio), self._book)
        return Estimate(
            paths=(),
            files=looked.files,
            logical_bytes=looked.logical_bytes,
            unique_bytes=unique,
            stored_bytes=stored,
            classes=reduction.classes,
            cold_files=looked.cold_files,
            cold_bytes=looked.cold_bytes,
            now_nano_month=now,
            then_nano_month=then,
            once_nano=round(looked.once_nano * ratio),
            read_bytes=self._read_bytes,
            is_sampled=is_sampled or reduction.sampled_share < 1,
            price_book=self._book.book_id,
            access_quality=", ".join(sorted(looked.qualities)) or "none",
            problems=tuple(looked.problems),
            problem_count=looked.problem_count,
            notes=tuple(self._notes(looked, reduction, share=share, is_sampled=is_sampled)),
            seconds=seconds,
        )

    def _notes(self, looked: Looked, reduction: Reduction, *, share: float, is_sampled: bool) -> list[str]:
        disk = HOT_CLASS if self._options.hot_nano_per_gib_month is None else "given"
        cold = self._options.storage_class
        notes = [f"prices: {disk} for the disk, {cold} for what is cold; requests and recalls are not in the month"]
        if is_sampled:
            notes.append(f"a sample was read ({share:.1%} of the bytes); copies that differ in size may be missed")
        if reduction.sampled_share < 1:
            notes.append(f"one chunk in {round(1 / reduction.sampled_share)} was told apart, to bound memory")
        if reduction.coded_share < COMPRESSION_IS_TOLD_BELOW:
            notes.append(
                f"compression was tried on {reduction.coded_share:.0%} of what is distinct, all through the trees"
            )
        if self._stop.is_set():
            notes.append(f"stopped after {share:.1%} of the bytes")
        if looked.unknown_access_files:
            notes.append(
                f"of {looked.unknown_access_files:,} files nobody records when they are read: they count as hot"
            )
        if looked.placeholders:
            notes.append(f"{looked.placeholders:,} placeholders of released files were left out")
        if looked.is_links_full:
            notes.append("very many hard links: of further ones about one file in 200 may be left out")
        return notes


class _Stopped(Exception):
    """Asked to stop while a file was read; what was read counts."""


def shipped_book() -> PriceBook:
    """Return the price book that comes with frostline."""
    text = resources.files("policies.data").joinpath(f"{BOOK}.json").read_text(encoding="utf-8")
    return parse_book(json.loads(text, parse_float=Decimal))


def _bytes_in(looked: Looked, chosen: frozenset[int] | None) -> int:
    return sum(size for number, size in enumerate(looked.buckets) if chosen is None or number in chosen)
