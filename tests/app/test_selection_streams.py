"""A selection lists nothing: it looks files up while they are worked on, and memory does not grow with their number."""

import os
import tracemalloc

from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn, rows
from tiering.app.selection import Part, away_total, select, to_recall
from tiering.app.targets import apart, find_targets, whole_roots
from tiering.catalog import files
from tiering.catalog.values import FileState, NewFile
from tiering.jobs.carrying import carry_out
from tiering.jobs.migrate import migrate
from tiering.jobs.release import release
from tiering.jobs.stored_paths import PAGE_ROWS
from tiering.jobs.wanted_queue import BATCH_FILES


def known(lab: Lab, count: int, *, first: int = 0) -> None:
    """Put files into the catalog that nobody has made."""
    root_id = lab.context.roots[0].root_id
    made = [
        NewFile(
            root_id, b"folder-%04d/" % (number // 100), b"file-%07d" % number, 100, 1, 1, 7, number + 1, 1, 0o100644,
            0, 0, None, "none",
        )
        for number in range(first, first + count)
    ]  # fmt: skip
    with lab.catalog.write() as tx:
        files.add_new(tx, made, op_id=f"scan:{first}:{count}")


def peak_of(lab: Lab) -> int:
    """Return the bytes of Python's that a migrate of everything takes at most."""
    tracemalloc.start()
    try:
        selected = select(lab.context, whole_roots(lab.context), "standard")
        report = carry_out(lab.context, selected.to_store(), to_release=selected.stored(), wait_parked=True)
        assert report.skipped_count == selected.parts[Part.STORE].files
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_a_migrate_holds_does_not_grow_with_the_files(lab: Lab) -> None:
    """The files are not there: each is looked up, claimed, tried and skipped."""
    known(lab, PAGE_ROWS)
    peak_of(lab)  # everything is loaded
    known(lab, 4 * BATCH_FILES - PAGE_ROWS, first=PAGE_ROWS)  # as many batches as are in work at once, and one
    few = peak_of(lab)
    known(lab, 3 * BATCH_FILES, first=4 * BATCH_FILES)
    # A list of items alone would be 2 MB, with their rows 12; now and then the threads meet so that it is 2 for once.
    assert any(peak_of(lab) - few < 1 << 20 for _ in range(3))


def test_files_are_looked_up_a_page_at_a_time_while_others_write(lab: Lab) -> None:
    known(lab, 2 * PAGE_ROWS + 100)
    root_id = lab.context.roots[0].root_id
    selected = select(lab.context, whole_roots(lab.context), "standard")
    seen: list[bytes] = []
    for item in selected.to_store():
        if len(seen) == PAGE_ROWS - 1:  # pinned on a page that is read, on one that is not, and new behind and ahead
            with lab.catalog.write() as tx:
                files.set_pinned(tx, [1, 2 * PAGE_ROWS + 50], pinned=True)
            known(lab, 100, first=3 * PAGE_ROWS)
        seen.append(item.name)
    numbers = [int(name[5:]) for name in seen]
    late = 2 * PAGE_ROWS + 49
    with lab.catalog.read() as tx:
        assert files.by_ids(tx, [2 * PAGE_ROWS + 50])[2 * PAGE_ROWS + 50].name == b"file-%07d" % late
    assert numbers == [number for number in (*range(2 * PAGE_ROWS + 100), *range(3 * PAGE_ROWS, 3 * PAGE_ROWS + 100))
                       if number != late]  # fmt: skip
    assert {item.root_id for item in selected.to_store()} == {root_id}


def test_what_is_stored_meanwhile_is_met_once(lab: Lab) -> None:
    """Every file is committed while the stream stands at it."""
    for number in range(30):
        lab.write(f"{number % 7}/{number}", b"%d" % number * 200)
    learn(lab)
    selected = select(lab.context, whole_roots(lab.context), "standard")
    done = 0
    for item in selected.to_store():
        done += migrate(lab.context, [item]).files_done
    assert (done, selected.parts[Part.STORE].files) == (30, 30)
    assert list(selected.to_store()) == []
    assert len(list(selected.stored())) == 30


def test_paths_that_cover_one_another_count_once(lab: Lab) -> None:
    for name in ("a/b/c", "a/d", "ab/e", "f"):
        lab.write(name, name.encode() * 300)
    os.link(lab.root / "f", lab.root / "g")
    learn(lab)
    named = ["a/b/c", "a/b", "a", "ab", "f", "f", "a/d"]
    targets = apart(find_targets(lab.context, [str(lab.root / name) for name in named]))
    assert [target.dir + target.name for target in targets] == [b"a/", b"ab/", b"f"]
    assert select(lab.context, targets, "standard").parts[Part.STORE].files == 4
    whole = apart([*targets, *whole_roots(lab.context)])
    assert whole == whole_roots(lab.context)


def test_what_is_offline_is_found_while_it_is_brought_back(lab: Lab) -> None:
    for name in ("a", "sub/b", "c"):
        lab.write(name, name.encode() * 3000)
    learn(lab)
    migrate(lab.context, items(lab))
    release(lab.context, items(lab, paths=[b"a", b"sub/b"]), wait_parked=True)
    assert rows(lab)[b"c"].state is FileState.DUAL
    targets = whole_roots(lab.context)
    assert [item.name for item in to_recall(lab.context, targets)] == [b"a", b"b"]
    total = away_total(lab.context, targets)
    assert (total.files, total.size_bytes) == (2, 3000 + 15_000)
