"""The merge of walk and catalog equals what sets would say, whatever the names, and passes over the unreadable."""

import os

from hypothesis import given
from hypothesis import strategies as st

from tiering.catalog.values import FileRow, FileState
from tiering.hot.walk import Entry, Kind, WalkProblem
from tiering.jobs.scan_merge import Gone, Seen, merge

STATUS = os.stat_result(range(10))
NAMES = st.binary(min_size=1, max_size=3).filter(lambda name: b"/" not in name)
KEYS = st.tuples(st.lists(st.sampled_from([b"a/", b"a-/", b"b/"]), max_size=2).map(b"".join), NAMES)


def entry(key: tuple[bytes, bytes], kind: Kind = Kind.FILE) -> Entry:
    return Entry(key[0], key[1], kind, STATUS, None)


def row(key: tuple[bytes, bytes]) -> FileRow:
    return FileRow(
        file_id=1, root_id=1, dir=key[0], name=key[1], state=FileState.REGULAR, leader_id=None, size=1, mtime_ns=1,
        ctime_ns=1, dev=1, ino=1, nlink=1, mode=1, uid=1, gid=1, recipe_no=None, tier=None, pinned=False,
        first_seen_ns=1, last_access_ns=None, access_quality="none", missing_since_ns=None, missing_from=None,
        recalled_ns=None, stored_ns=None, stored_seq=None,
    )  # fmt: skip


@given(disk=st.sets(KEYS, max_size=12), links=st.sets(KEYS, max_size=4), known=st.sets(KEYS, max_size=12))
def test_the_merge_is_the_join_of_two_sets(
    disk: set[tuple[bytes, bytes]], links: set[tuple[bytes, bytes]], known: set[tuple[bytes, bytes]]
) -> None:
    kinds = {**dict.fromkeys(links, Kind.SYMLINK), **dict.fromkeys(disk, Kind.FILE)}
    sights = list(merge([entry(key, kinds[key]) for key in sorted(kinds)], [row(key) for key in sorted(known)]))

    seen = {(s.entry.dir, s.entry.name): s.row is not None for s in sights if isinstance(s, Seen)}
    gone = {(s.row.dir, s.row.name): s.replaced for s in sights if isinstance(s, Gone)}
    assert seen == {key: key in known for key in disk}
    assert gone == {key: key in links for key in known - disk}


@given(known=st.sets(KEYS, max_size=15), unreadable=st.sampled_from([b"", b"a/", b"a-/", b"a/b/"]))
def test_p5_rows_below_an_unreadable_folder_are_never_gone(known: set[tuple[bytes, bytes]], unreadable: bytes) -> None:
    readable = sorted(key for key in known if not key[0].startswith(unreadable))
    walked: list[Entry | WalkProblem] = [entry(key) for key in readable]
    walked.append(WalkProblem(unreadable, b"", "Permission denied"))
    walked.sort(key=lambda item: (item.dir, item.name))
    sights = list(merge(walked, [row(key) for key in sorted(known)]))

    assert not [sight for sight in sights if isinstance(sight, Gone)]
    assert sum(isinstance(sight, WalkProblem) for sight in sights) == 1


def test_p5_a_name_that_could_not_be_looked_at_is_unknown_as_file_and_as_folder() -> None:
    known = [row((b"", b"x")), row((b"", b"y")), row((b"x/", b"below")), row((b"z/", b"gone"))]
    sights = list(merge([WalkProblem(b"", b"x", "Input/output error"), entry((b"", b"y"))], known))

    assert [sight.row.path for sight in sights if isinstance(sight, Gone)] == [b"z/gone"]
