"""The first half of an estimate: what stands there and how cold it is, by names and stat alone.

Judges every file by the built-in rules, folder by folder, and sorts files into groups for the second half, which reads
all of them or, in huge trees, a sample of whole groups. Large files are grouped by size, because copies and the
checkpoints of one run have equal sizes and must be sampled together or their duplication would be missed; small ones
by path.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import xxhash

from dedup.membership import KeyFilter, filter_for, keys_of
from policies.plan import Action
from policies.planner import decide
from policies.prices import PriceBook
from policies.rules import Rule
from policies.values import AccessQuality, FileFacts, FileIdentity, TierFacts
from tiering.catalog.values import signed64
from tiering.errors import UsageError
from tiering.hot.evidence import mount_quality
from tiering.hot.walk import Entry, Kind, WalkProblem, walk
from tiering.jobs.link_targets import LinkTargets, add_link_targets
from tiering.jobs.reports import Skip, Skipped
from tiering.jobs.surroundings import Surroundings

BUCKETS = 4096
LARGE_BYTES = 1 << 20
LINKS_EXACT = 100_000  # inodes with several names, 10 MB; further ones go through a filter, and a note says so
LINKS_FILTERED = 16_000_000  # 26 MB at about one in 200 taken for seen; beyond, more are
PROBLEMS_LISTED = 1000


@dataclass(slots=True)
class Looked:
    """What the walk saw."""

    files: int = 0
    logical_bytes: int = 0
    cold_files: int = 0
    cold_bytes: int = 0
    """Of files that the rules would move."""
    saved_nano_month: int = 0
    """By moving them as they are, before reduction."""
    once_nano: int = 0
    unknown_access_files: int = 0
    placeholders: int = 0
    qualities: set[str] = field(default_factory=set)
    problems: list[Skipped] = field(default_factory=list)
    problem_count: int = 0
    is_links_full: bool = False
    buckets: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    """Bytes per sampling group."""

    def problem(self, path: str, reason: str) -> None:
        """Note a path that could not be looked at or read."""
        self.problem_count += 1
        if len(self.problems) < PROBLEMS_LISTED:
            self.problems.append(Skipped(path, reason, Skip.UNREADABLE))


@dataclass(frozen=True, slots=True)
class Judging:
    """By what the files are judged."""

    rules: Sequence[Rule]
    tiers: Mapping[str, TierFacts]
    prices: PriceBook
    now_ns: int


def tops_of(paths: Sequence[str]) -> list[bytes]:
    """Return the folders and files to look at, absolute, nested ones left out. Raises UsageError naming a bad path."""
    tops: list[bytes] = []
    for shown in paths:
        path = os.path.realpath(os.fsencode(shown))
        if not os.path.exists(path):
            raise UsageError(f"{shown} does not exist", now="nothing was read", hint="check the spelling")
        if not os.path.isdir(path) and not os.path.isfile(path):
            raise UsageError(f"{shown} is neither a folder nor a file", now="nothing was read")
        if not os.access(path, os.R_OK):
            raise UsageError(f"{shown} cannot be read", now="nothing was read", hint="run as a user who may read it")
        tops.append(path)
    chosen: list[bytes] = []
    for path in sorted(set(tops)):
        if not any(path == top or path.startswith(top.rstrip(b"/") + b"/") for top in chosen):
            chosen.append(path)
    return chosen


def entries_of(top: bytes) -> Iterator[Entry | WalkProblem]:
    """Yield what the walk sees below a folder, or the one entry of a file, named relative to split_top()'s folder."""
    folder, name = split_top(top)
    if not name:
        yield from walk(folder)
        return
    yield Entry(b"", name, Kind.FILE, os.lstat(top), None)


def split_top(top: bytes) -> tuple[bytes, bytes]:
    """Return (folder, name) for a file, (top, b"") for a folder."""
    return (top, b"") if os.path.isdir(top) else os.path.split(top)


def bucket_of(size_bytes: int, path: bytes) -> int:
    """Return the sampling group of a file."""
    key = size_bytes.to_bytes(8, "big") if size_bytes >= LARGE_BYTES else path
    return xxhash.xxh3_64_intdigest(key) % BUCKETS


def look(tops: Sequence[bytes], judging: Judging) -> Looked:
    """Walk every top and judge every file. Reads nothing but names, links and stat."""
    found = Looked()
    links = LinkTargets()
    numbers = {split_top(top)[0]: i for i, top in enumerate(tops)}
    for top in tops:
        if os.path.isdir(top):
            add_link_targets(links, top, numbers)
    first_names = FirstNames()
    for top in tops:
        folder, _ = split_top(top)
        judge = _Judge(found, judging, links, folder=folder, number=numbers[folder])
        for entry in entries_of(top):
            if isinstance(entry, WalkProblem):
                if not entry.is_mount:
                    path = os.fsdecode(os.path.join(folder, entry.dir, entry.name))
                    found.problem(path, entry.reason)
            elif entry.kind is Kind.PLACEHOLDER:
                found.placeholders += 1
            elif entry.kind is Kind.FILE and first_names.is_first(entry.stat):
                judge.take(entry)
        judge.end()
    found.is_links_full = not first_names.is_exact
    return found


class FirstNames:
    """Tells the first name of an inode from the others, in memory that does not grow with the number of links."""

    def __init__(self, *, exact: int = LINKS_EXACT) -> None:
        """Remember *exact* inodes exactly."""
        self._exact = exact
        self._inodes: set[int] = set()
        self._more: KeyFilter | None = None

    @property
    def is_exact(self) -> bool:
        """Whether no inode went through the filter, which takes a few for seen that were not."""
        return self._more is None

    def is_first(self, status: os.stat_result) -> bool:
        """Return whether no other name of this inode came before."""
        if status.st_nlink == 1:
            return True
        inode = status.st_dev << 64 | status.st_ino
        if inode in self._inodes:
            return False
        if len(self._inodes) < self._exact:
            self._inodes.add(inode)
            return True
        self._more = self._more or filter_for(LINKS_FILTERED)
        key = keys_of(xxhash.xxh3_64_digest(inode.to_bytes(16, "big")))
        if self._more.may_hold(key)[0]:
            return False
        self._more.add(key)
        return True


class _Judge:
    """Collects the files of a folder and judges them together."""

    def __init__(self, found: Looked, judging: Judging, links: LinkTargets, *, folder: bytes, number: int) -> None:
        self._found = found
        self._judging = judging
        self._links = links
        self._number = number
        self._folder = folder
        self._around = Surroundings(folder)
        self._quality = _quality(folder)
        self._files: list[FileFacts] = []
        found.qualities.add(str(self._quality))

    def take(self, entry: Entry) -> None:
        """Count one file, and judge the folder before it if it is the first of the next."""
        if self._files and self._files[0].dir != entry.dir:
            self.end()
        status = entry.stat
        self._found.files += 1
        self._found.logical_bytes += status.st_size
        self._found.buckets[bucket_of(status.st_size, os.path.join(self._folder, entry.path))] += status.st_size
        facts = FileFacts(
            root=os.fsdecode(self._folder),
            dir=entry.dir,
            name=entry.name,
            identity=FileIdentity(
                signed64(status.st_dev), signed64(status.st_ino), status.st_size, status.st_mtime_ns, status.st_ctime_ns
            ),
            mode=status.st_mode,
            uid=status.st_uid,
            first_seen_ns=self._judging.now_ns,
            last_access_ns=status.st_atime_ns if self._quality.is_evidence else None,
            access_quality=self._quality,
            is_link_target=self._links.covers_file(self._number, entry.path)
            or self._links.covers_folder(self._number, entry.dir),
            is_model_cache=self._around.in_model_cache(entry.dir),
            step_rank=self._around.step_rank(entry.dir),
            nlink=status.st_nlink,
            known_names=status.st_nlink,
        )
        self._found.unknown_access_files += facts.idle_ns(self._judging.now_ns) is None
        self._files.append(facts)

    def end(self) -> None:
        """Judge what was collected."""
        judging = self._judging
        for decision in decide(self._files, judging.rules, judging.tiers, judging.prices, judging.now_ns):
            if isinstance(decision, Action):
                self._found.cold_files += 1
                self._found.cold_bytes += decision.size_bytes
                self._found.saved_nano_month += decision.saved_nano_month
                self._found.once_nano += decision.once_nano
        self._files = []


def _quality(folder: bytes) -> AccessQuality:
    try:
        return mount_quality(folder)
    except OSError:
        return AccessQuality.NONE
