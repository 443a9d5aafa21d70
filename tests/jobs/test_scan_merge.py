"""The merge of walk and catalog equals what sets would say, whatever the names, and passes over the unreadable."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiering.catalog.walked import KnownFile, KnownRow
from tiering.hot.looks import Looks
from tiering.hot.walk import SLICE, Entry, Kind, Listing, WalkProblem
from tiering.jobs.scan_merge import Stretch, merge

FILE = os.stat_result(
    (0o100644, 7, 3, 1, 1000, 1000, 10, 5, 6, 6), {"st_atime_ns": 5_000, "st_mtime_ns": 6_000, "st_ctime_ns": 6_001}
)
KINDS = {Kind.FILE: FILE, Kind.SYMLINK: os.stat_result(range(10))}
NAMES = st.binary(min_size=1, max_size=3).filter(lambda name: b"/" not in name)
KEYS = st.tuples(st.lists(st.sampled_from([b"a/", b"a-/", b"b/"]), max_size=2).map(b"".join), NAMES)
ATIME: dict[str, Any] = {"quality": "atime", "counts_atime": True}
Key = tuple[bytes, bytes]


def row(key: Key, *, state: str = "regular", size: int = 10, last_access_ns: int | None = None) -> KnownRow:
    """A row as the catalog has it for a file with the stat result FILE."""
    stamps = FILE.st_mtime_ns, FILE.st_ctime_ns, 3, 7, size, 1, FILE.st_mode
    return (*key, *stamps, state, "atime", FILE.st_atime_ns if last_access_ns is None else last_access_ns, 1)


def looks_of(names: Sequence[bytes]) -> Looks:
    """Files with the stat result FILE."""
    numbers = (FILE.st_mtime_ns, FILE.st_ctime_ns, 3, 7, 10, 1, FILE.st_mode, FILE.st_atime_ns, 1000, 1000)
    return Looks(names, *([number] * len(names) for number in numbers))


def listings(kinds: dict[Key, Kind], at_once: int = SLICE, *, together: bool = False) -> Iterator[Listing]:
    """The walk over such a tree, in stretches of so many names, whose files are looked at alone or *together*."""
    for folder, group in groupby(sorted(kinds), key=lambda key: key[0]):
        names = [name for _, name in group]
        for start in range(0, len(names), at_once):
            part = names[start : start + at_once]
            files = [(name, FILE) for name in part if kinds[folder, name] is Kind.FILE]
            others = [
                Entry(folder, name, kind, KINDS[kind], b"somewhere")
                for name in part
                if (kind := kinds[folder, name]) is not Kind.FILE
            ]
            if together:
                yield Listing(folder, part[-1], others=list(others), looks=looks_of([name for name, _ in files]))
            else:
                yield Listing(folder, part[-1], files, list(others))


def pages(known: Iterable[Key], rows_each: int = 5) -> list[list[KnownRow]]:
    rows = [row(key) for key in sorted(known)]
    return [rows[start : start + rows_each] for start in range(0, len(rows), rows_each)]


def merged(walked: Iterable[Listing | WalkProblem], known: list[list[KnownRow]]) -> Stretch:
    """All stretches as one."""
    whole = Stretch()
    for stretch in merge(walked, known, quality="atime", counts_atime=True):
        whole.files += stretch.files
        whole.size_bytes += stretch.size_bytes
        whole.fresh += stretch.fresh
        whole.seen += stretch.seen
        whole.gone += stretch.gone
        whole.problems += stretch.problems
        whole.reads += stretch.reads
    return whole


def gone(found: Stretch) -> dict[Key, bool]:
    return {(item.row.dir, item.row.name): item.replaced for item in found.gone}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a loaded machine is no fault
@given(
    disk=st.sets(KEYS, max_size=12),
    links=st.sets(KEYS, max_size=4),
    known=st.sets(KEYS, max_size=12),
    at_once=st.integers(1, 4),
    rows_each=st.integers(1, 4),
    together=st.booleans(),
)
def test_the_merge_is_the_join_of_two_sets(
    disk: set[Key], links: set[Key], known: set[Key], at_once: int, rows_each: int, together: bool
) -> None:
    kinds = {**dict.fromkeys(links, Kind.SYMLINK), **dict.fromkeys(disk, Kind.FILE)}
    found = merged(listings(kinds, at_once, together=together), pages(known, rows_each))

    assert (found.files, found.size_bytes) == (len(disk), 10 * len(disk))
    assert [new[:2] for new in found.fresh] == sorted(disk - known)
    assert (found.seen, found.reads) == ([], [])  # rows and files agree
    assert gone(found) == {key: key in links for key in known - disk}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(known=st.sets(KEYS, max_size=15), unreadable=st.sampled_from([b"", b"a/", b"a-/", b"a/b/"]))
def test_p5_rows_below_an_unreadable_folder_are_never_gone(known: set[Key], unreadable: bytes) -> None:
    readable = dict.fromkeys((key for key in known if not key[0].startswith(unreadable)), Kind.FILE)
    walked: list[Listing | WalkProblem] = [*listings(readable), WalkProblem(unreadable, b"", "Permission denied")]
    found = merged(sorted(walked, key=lambda item: item.dir), pages(known))

    assert (found.gone, len(found.problems)) == ([], 1)


def test_p5_a_name_that_could_not_be_looked_at_is_unknown_as_file_and_as_folder() -> None:
    known = [(b"", b"x"), (b"", b"y"), (b"x/", b"below"), (b"z/", b"gone")]
    there = Listing(b"", b"y", [(b"y", FILE)], [WalkProblem(b"", b"x", "Input/output error")])

    assert gone(merged([there], pages(known))) == {(b"z/", b"gone"): False}


@pytest.mark.parametrize("together", [False, True])
def test_every_difference_is_seen(together: bool) -> None:
    same = KnownFile._make(row((b"", b"f")))
    for change in (
        {"mtime_ns": 1}, {"ctime_ns": 1}, {"dev": 4}, {"ino": 8}, {"size": 11}, {"nlink": 2}, {"mode": 0o100600},
        {"state": "missing"}, {"state": "offline"}, {"access_quality": "none"},
    ):  # fmt: skip
        found = merged(listings({(b"", b"f"): Kind.FILE}, together=together), [[tuple(same._replace(**change))]])
        assert [seen.row and seen.row.file_id for seen in found.seen] == [1], change


@pytest.mark.parametrize("together", [False, True])
def test_an_access_time_that_went_on_is_told_and_is_no_change(together: bool) -> None:
    found = merged(listings({(b"", b"f"): Kind.FILE}, together=together), [[row((b"", b"f"), last_access_ns=7)]])
    assert (found.reads, found.seen) == ([(1, 7, FILE.st_atime_ns)], [])


def test_a_folder_emptied_of_very_many_files_is_told_in_bounded_pieces() -> None:
    known = [(b"", b"%06d" % number) for number in range(5 * SLICE)]
    left = {known[0]: Kind.FILE, known[-1]: Kind.FILE}
    stretches = list(merge(listings(left), pages(known, 2 * SLICE), quality="atime", counts_atime=True))

    assert sum(len(stretch.gone) for stretch in stretches) == len(known) - 2
    assert max(len(stretch.gone) for stretch in stretches) <= 2 * SLICE


@pytest.mark.parametrize("together", [False, True])
def test_new_files_come_as_rows_and_an_inode_counts_once_with_all_its_names(together: bool) -> None:
    names = [b"f", b"g"]
    (new,) = merge(listings({(b"d/", name): Kind.FILE for name in names}, together=together), [], **ATIME)
    shared = looks_of(names)._replace(nlink=[2, 1])
    (seen,) = merge([Listing(b"d/", b"g", looks=shared)], [], quality="none", counts_atime=False)

    assert new.fresh == [(b"d/", name, 10, 6_000, 6_001, 3, 7, 1, FILE.st_mode, 1000, 1000, 5_000) for name in names]
    assert (new.files, new.size_bytes) == (2, 20)
    assert [(row[1], row[7], row[11]) for row in seen.fresh] == [(b"f", 2, None), (b"g", 1, None)]
    assert (seen.files, seen.size_bytes) == (2, 15)


def test_files_of_one_folder_that_were_looked_at_alone_and_together_are_one_list() -> None:
    mixed = Listing(b"", b"d", [(b"b", FILE), (b"d", FILE)], looks=looks_of([b"a", b"c"]))
    (known,) = merge([mixed], pages((b"", name) for name in (b"a", b"b", b"c", b"d")), **ATIME)
    (new,) = merge([mixed], [], **ATIME)

    assert (known.files, known.size_bytes, known.fresh, known.seen, known.gone) == (4, 40, [], [], [])
    assert [row[1] for row in new.fresh] == [b"a", b"b", b"c", b"d"]


def test_numbers_beyond_63_bits_are_kept_signed_and_what_cannot_be_kept_is_told() -> None:
    times = {"st_atime_ns": 5_000, "st_mtime_ns": 6_000, "st_ctime_ns": 6_001}
    high = os.stat_result((0o100644, (1 << 64) - 2, 1 << 63, 1, 0, 0, 10, 5, 6, 6), times)
    late = os.stat_result((0o100644, 9, 3, 1, 0, 0, 10, 5, 6, 6), {**times, "st_mtime_ns": 1 << 63})
    (found,) = merge([Listing(b"", b"l", [(b"h", high), (b"l", late)])], pages([(b"", b"l")]), **ATIME)

    assert [row[5:7] for row in found.fresh] == [(-1 << 63, -2)]
    assert (found.files, found.size_bytes, found.gone) == (1, 10, [])
    assert [(problem.name, "modification time" in problem.reason) for problem in found.problems] == [(b"l", True)]
