"""Migrate: files go out whole, once, shared where they are alike, and the books explain each byte."""

import itertools
import os
import random
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from dedup.fingerprint import FINGERPRINT_LEN, fingerprint, register_fingerprint
from dedup.values import Fingerprint
from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import (
    books_balance,
    items,
    learn,
    packs_in,
    rows,
    states,
    stored_bytes,
    stored_recipe,
)
from tiering.catalog import accounts, journal, ledger, segments
from tiering.catalog.values import FileState, PackState
from tiering.errors import RootMissing
from tiering.jobs.context import NoProgress
from tiering.jobs.items import MigrateItem
from tiering.jobs.migrate import migrate
from tiering.jobs.reports import Skip


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def test_files_are_stored_and_stay_where_they_are(lab: Lab) -> None:
    contents = {b"a.bin": noise(1, 300_000), b"d/b.txt": b"words " * 9000, b"d/e/empty": b"", b"d/\xff": b"x"}
    for path, data in contents.items():
        lab.write(path, data)
    learn(lab)

    report = migrate(lab.context, items(lab))

    assert (report.files_done, report.files_skipped) == (4, ())
    assert report.bytes_read == sum(map(len, contents.values()))
    assert set(states(lab).values()) == {FileState.DUAL}
    for path, data in contents.items():
        assert stored_bytes(lab, path) == data
        assert (lab.root / os.fsdecode(path)).read_bytes() == data
    books_balance(lab)


def test_what_is_done_is_in_a_durable_segment(lab: Lab) -> None:
    lab.write("a", b"a" * 5000)
    learn(lab)

    migrate(lab.context, items(lab))

    with lab.catalog.read() as tx:
        stored_seq = rows(lab)[b"a"].stored_seq
        assert stored_seq is not None
        assert segments.durable_through(tx) >= stored_seq
        assert segments.next_batch(tx) is None
        assert journal.every(tx) == []


def test_the_recipe_holds_what_a_restore_needs(lab: Lab) -> None:
    place = lab.write("dir/a.bin", noise(2, 70_000))
    os.chmod(place, 0o640)
    os.utime(place, ns=(111, 222_333_444_555))
    os.setxattr(place, "user.note", b"hello\0there")
    learn(lab)

    migrate(lab.context, items(lab))

    recipe = stored_recipe(lab, b"dir/a.bin")
    assert (recipe.root, recipe.path, recipe.size) == ("root", b"dir/a.bin", 70_000)
    assert recipe.meta.mode & 0o7777 == 0o640
    assert recipe.meta.mtime_ns == 222_333_444_555
    assert recipe.meta.xattrs == ((b"user.note", b"hello\0there"),)
    assert recipe.stored_ns == lab.clock.now_ns()


def test_identical_files_are_stored_once(lab: Lab) -> None:
    data = noise(3, 200_000)
    for name in ("one", "two", "three"):
        lab.write(name, data)
    learn(lab)

    migrate(lab.context, items(lab))

    with lab.catalog.read() as tx:
        overhead = -ledger.balance(tx, accounts.STORE_OVERHEAD)
        assert ledger.balance(tx, accounts.STORE_LIVE) == len(data) + overhead
        assert ledger.balance(tx, accounts.STORE_DEDUP_SAVED) == 2 * len(data)
    books_balance(lab)


def test_an_edited_copy_stores_only_what_differs(lab: Lab) -> None:
    data = noise(4, 3_000_000)
    lab.write("before", data)
    learn(lab)
    migrate(lab.context, items(lab))
    lab.write("after", data[:1_000_000] + b"inserted" + data[1_000_000:])
    learn(lab)

    report = migrate(lab.context, items(lab))

    assert report.files_done == 2  # the first one is there already
    assert report.bytes_stored < 600_000
    assert stored_bytes(lab, b"after")[1_000_000:1_000_008] == b"inserted"
    books_balance(lab)


def test_many_small_files_share_packs(lab: Lab) -> None:
    for number in range(300):
        lab.write(f"many/{number:03}", noise(number, 500 + number))
    learn(lab)

    report = migrate(lab.context, items(lab))

    assert report.files_done == 300
    assert len(packs_in(lab, PackState.LIVE)) == 2  # one of chunks, one of recipes
    assert stored_bytes(lab, b"many/123") == noise(123, 623)
    books_balance(lab)


def test_a_large_file_fills_several_packs(lab: Lab) -> None:
    data = noise(5, 5_500_000)
    lab.write("large", data)
    learn(lab)

    migrate(lab.context, items(lab))

    # A block fills a pack here; the last one, which is short, may come before another and share its pack.
    assert len([key for key in packs_in(lab, PackState.LIVE) if key.startswith("packs/")]) in {5, 6}
    assert stored_bytes(lab, b"large") == data
    books_balance(lab)
    assert list((lab.base / "state" / "spool").iterdir()) == []


def test_holes_are_stored_as_nothing(lab: Lab) -> None:
    place = lab.write("sparse", b"")
    with place.open("r+b") as out:
        out.truncate(64 << 20)
        out.seek(32 << 20)
        out.write(b"in the middle")
    learn(lab)

    report = migrate(lab.context, items(lab))

    assert report.bytes_stored < 20_000
    assert stored_bytes(lab, b"sparse") == place.read_bytes()
    books_balance(lab)


def test_names_of_one_inode_are_one_recipe(lab: Lab) -> None:
    first = lab.write("first", noise(6, 50_000))
    os.link(first, lab.root / "second")
    learn(lab)

    report = migrate(lab.context, items(lab))

    assert report.files_done == 2
    assert states(lab) == {b"first": FileState.DUAL, b"second": FileState.DUAL}
    recipe = stored_recipe(lab, b"first")
    assert {recipe.path, *recipe.links} == {b"first", b"second"}
    assert rows(lab)[b"first"].recipe_no == rows(lab)[b"second"].recipe_no
    books_balance(lab)


def test_an_inode_with_an_unknown_name_is_refused(lab: Lab, tmp_path: Path) -> None:
    os.link(lab.write("known", b"data"), tmp_path / "unknown")
    lab.write("other", b"other")
    learn(lab)

    report = migrate(lab.context, items(lab))

    assert report.files_done == 1
    (skipped,) = report.files_skipped
    assert (skipped.path, skipped.kind) == (str(lab.root / "known"), Skip.REFUSED)
    assert "2 hard links, of which 1" in skipped.reason
    assert states(lab)[b"known"] == FileState.REGULAR


def test_what_cannot_be_done_is_skipped_with_a_reason_and_the_rest_goes_on(lab: Lab) -> None:
    changed = lab.write("changed", b"before")
    gone = lab.write("gone", b"gone")
    busy = lab.write("busy", b"busy" * 1000)
    linked = lab.write("linked", b"linked")
    lab.write("fine", b"fine")
    learn(lab)
    changed.write_bytes(b"after!")
    gone.unlink()
    linked.unlink()
    linked.symlink_to("/etc/passwd")
    wanted = [*items(lab), MigrateItem(lab.context.roots[0].root_id, b"", b"never seen", "standard")]

    with busy.open("r+b"):
        report = migrate(lab.context, wanted)

    kinds = {Path(skipped.path).name: skipped.kind for skipped in report.files_skipped}
    assert kinds == {
        "changed": Skip.CHANGED,
        "gone": Skip.CHANGED,
        "linked": Skip.REFUSED,
        "busy": Skip.BUSY,
        "never seen": Skip.OTHER,
    }
    assert (report.files_done, report.exit_code) == (1, 3)
    assert all(state == FileState.REGULAR for path, state in states(lab).items() if path != b"fine")
    books_balance(lab)


class OpensForWriting(NoProgress):
    """Opens the file when its first bytes have been read: that breaks the read lease."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def advance(self, *, byte_count: int = 0, files: int = 0) -> None:
        if byte_count:
            with pytest.raises(BlockingIOError):  # O_NONBLOCK, or this very thread would wait for itself
                os.open(self._place, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)


def test_a_file_opened_for_writing_while_it_is_read_is_left_alone(lab: Lab) -> None:
    place = lab.write("growing", noise(7, 6_000_000))
    learn(lab)

    report = migrate(replace(lab.context, progress=OpensForWriting(place)), items(lab))

    assert report.files_done == 0
    assert report.files_skipped[0].kind == Skip.BUSY
    assert states(lab)[b"growing"] == FileState.REGULAR
    assert packs_in(lab, PackState.LIVE) == []
    books_balance(lab)


def test_a_tier_reuses_chunks_of_warmer_tiers_and_never_of_colder_ones(lab: Lab) -> None:
    data = noise(8, 100_000)
    lab.write("cold", data)
    learn(lab)
    migrate(lab.context, items(lab, "archive"))
    lab.write("warm", data)
    learn(lab)
    migrate(lab.context, items(lab, "standard", [b"warm"]))
    lab.write("cold too", data)
    learn(lab)

    report = migrate(lab.context, items(lab, "archive", [b"cold too"]))

    assert report.files_done == 1
    with lab.catalog.read() as tx:
        live = [ledger.balance(tx, accounts.STORE_LIVE, tier) for tier in ("standard", "archive")]
    assert all(len(data) < size < len(data) + 2000 for size in live)
    books_balance(lab)


def test_migrating_again_reads_nothing(lab: Lab) -> None:
    lab.write("a", b"a" * 5000)
    learn(lab)
    migrate(lab.context, items(lab))

    again = migrate(lab.context, items(lab))

    assert (again.files_done, again.bytes_read, again.bytes_stored) == (1, 0, 0)


def test_a_stored_file_is_stored_again_to_be_warmer_and_not_to_be_colder(lab: Lab) -> None:
    lab.write("warm", noise(9, 50_000))
    lab.write("cold", noise(10, 50_000))
    learn(lab)
    migrate(lab.context, items(lab, "standard", [b"warm"]))
    migrate(lab.context, items(lab, "archive", [b"cold"]))
    before = rows(lab)

    colder = migrate(lab.context, items(lab, "archive", [b"warm"]))
    (skipped,) = colder.files_skipped
    assert skipped.reason.startswith("is stored on standard and stays there")
    assert "--to standard --release" in skipped.reason
    assert (colder.files_done, colder.bytes_read, colder.exit_code) == (0, 0, 3)
    assert rows(lab) == before

    warmer = migrate(lab.context, items(lab, "standard", [b"cold"]))
    assert (warmer.files_done, warmer.bytes_read, warmer.exit_code) == (1, 50_000, 0)
    assert rows(lab)[b"cold"].tier == "standard"
    books_balance(lab)


def test_p2_colliding_fingerprints_are_stored_apart(lab: Lab) -> None:
    def weak(data: bytes | bytearray | memoryview) -> Fingerprint:
        return Fingerprint(bytes(FINGERPRINT_LEN - 1) + bytes([fingerprint(data)[-1] & 1]))

    register_fingerprint("one-bit", weak)
    contents = {f"file-{number}".encode(): noise(number, 20_000) for number in range(8)}
    for path, data in contents.items():
        lab.write(path, data)
    learn(lab)

    for item in items(lab):
        migrate(lab.context, [item], fingerprint="one-bit")

    assert all(stored_bytes(lab, path) == data for path, data in contents.items())
    with lab.catalog.read() as tx:
        assert ledger.balance(tx, accounts.STORE_DEDUP_SAVED) == 0


class StopsAfter(NoProgress):
    """Asks for the stop when so many files were read, before the thread that read the last of them takes another."""

    def __init__(self, lab: Lab, files: int) -> None:
        self._stop = lab.context.stop
        self._left = itertools.count(files - 1, -1)
        self._one = threading.Lock()  # nobody who was counted later goes on before the stop is set

    def advance(self, *, byte_count: int = 0, files: int = 0) -> None:
        with self._one:
            if files and next(self._left) == 0:
                self._stop.set()


def test_a_stop_ends_after_the_files_in_hand(lab: Lab) -> None:
    threads = len(os.sched_getaffinity(0))
    count = 5 + threads + 20
    for number in range(count):
        lab.write(f"{number:03}/data", noise(number, 100_000))  # the files of one folder are read at once
    learn(lab)

    stopped = migrate(replace(lab.context, progress=StopsAfter(lab, 5)), items(lab))

    assert 5 <= stopped.files_done < 5 + threads  # every other thread had at most one in hand
    assert "run it again" in stopped.notes[0]
    found = list(states(lab).values())
    assert found.count(FileState.DUAL) == stopped.files_done
    assert found.count(FileState.REGULAR) == count - stopped.files_done
    books_balance(lab)
    lab.context.stop.clear()
    assert migrate(lab.context, items(lab)).files_done == count
    books_balance(lab)


def test_an_unmounted_root_is_told_apart_from_missing_files(lab: Lab) -> None:
    lab.write("a", b"a")
    learn(lab)
    lab.root.rename(lab.base / "elsewhere")
    lab.root.mkdir()

    with pytest.raises(RootMissing):
        migrate(lab.context, items(lab))

    assert states(lab) == {b"a": FileState.REGULAR}


@pytest.mark.parametrize("effort", ["fast", "small"])
def test_the_effort_is_the_installations(tmp_path: Path, effort: str) -> None:
    with open_lab(tmp_path / f"lab-{effort}", chunking={"effort": effort, "pack_bytes": "1MiB"}) as lab:
        lab.write("binary", bytes(range(256)) * 400)
        learn(lab)
        migrate(lab.context, items(lab))
        level = {"fast": "zstd:1", "small": "zstd:9"}[effort]
        assert level in codecs_of(lab)


def codecs_of(lab: Lab) -> set[str]:
    with lab.catalog.read() as tx:
        return {str(row[0]) for row in tx.conn.exec_driver_sql("SELECT name FROM codecs")}


def test_the_reason_stands_in_the_ledger(lab: Lab) -> None:
    lab.write("a", b"a")
    learn(lab)
    migrate(lab.context, [item._replace(reason="idle for 90 days") for item in items(lab)])

    with lab.catalog.read() as tx:
        reasons = [entry.reason for entry in ledger.entries(tx) if entry.kind == "migrate"]
    assert reasons == ["idle for 90 days"]
