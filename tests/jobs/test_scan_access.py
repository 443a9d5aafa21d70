"""Access times: whose reading counts, and what is said when nobody's can be known."""

import os
from pathlib import Path

import pytest

from policies.values import NS_PER_DAY, NS_PER_S, AccessQuality
from tests.jobs.lab import Lab
from tests.jobs.stored import row_of, store
from tiering.catalog import access
from tiering.hot.evidence import mount_quality
from tiering.jobs.scan import ScanReport, scan_root

DAY_S = 86_400


@pytest.fixture(autouse=True)
def _atime_is_kept(tmp_path: Path) -> None:
    if not mount_quality(os.fsencode(tmp_path)).is_evidence:
        pytest.skip("the tests' file system keeps no atime")


def scan(lab: Lab, after_s: float = 3600) -> ScanReport:
    lab.clock.advance(after_s)
    return scan_root(lab.context, lab.context.roots[0])


def tree(lab: Lab, count: int) -> list[Path]:
    """Write files last read and written 100 days ago."""
    paths = [lab.write(f"d{i // 10:03d}/f{i:04d}", b"data") for i in range(count)]
    for path in paths:
        touch(lab, path, 100 * NS_PER_DAY)
    return paths


def touch(lab: Lab, path: Path, ago_ns: int) -> None:
    """Set the atime to so long ago on the lab's clock; the mtime stays 100 days old."""
    now_ns = lab.clock.now_ns()
    mtime_ns = min(path.stat().st_mtime_ns, now_ns - 100 * NS_PER_DAY)
    os.utime(path, ns=(now_ns - ago_ns, mtime_ns))


def last_access(lab: Lab, path: Path) -> int | None:
    row = row_of(lab, str(path.relative_to(lab.root)))
    assert row is not None
    return row.last_access_ns


def test_a_file_met_for_the_first_time_was_not_read_after_its_atime(lab: Lab) -> None:
    (path,) = tree(lab, 1)
    scan(lab)

    assert last_access(lab, path) == path.stat().st_atime_ns


def test_reading_moves_the_last_access_and_leaves_a_day(lab: Lab) -> None:
    paths = tree(lab, 60)
    scan(lab)
    touch(lab, paths[5], NS_PER_DAY // 24)
    report = scan(lab)
    row = row_of(lab, "d000/f0005")

    assert not report.sweep
    assert last_access(lab, paths[5]) == paths[5].stat().st_atime_ns
    assert row is not None
    with lab.catalog.read() as tx:
        (day,) = access.days_of(tx, [row.file_id], since_day=0)[row.file_id]
    assert (day.day, day.source) == (paths[5].stat().st_atime_ns // NS_PER_DAY, "atime")
    assert last_access(lab, paths[6]) == paths[6].stat().st_atime_ns


def test_the_last_access_never_goes_back(lab: Lab) -> None:
    (path,) = tree(lab, 1)
    scan(lab)
    before = last_access(lab, path)
    touch(lab, path, 300 * NS_PER_DAY)
    scan(lab)

    assert last_access(lab, path) == before


def sweep(lab: Lab, paths: list[Path]) -> None:
    """Read every file, in walk order, a second apart, ending an hour ago."""
    for i, path in enumerate(paths):
        touch(lab, path, 3600 * NS_PER_S + (len(paths) - i) * NS_PER_S)


def test_a_backup_that_reads_everything_in_order_is_recorded_and_not_counted(lab: Lab) -> None:
    paths = tree(lab, 120)
    scan(lab)
    before = [last_access(lab, path) for path in paths]
    lab.clock.advance(5 * DAY_S)
    sweep(lab, paths)
    report = scan(lab)

    assert report.sweep
    assert report.access_quality == mount_quality(os.fsencode(lab.root))
    assert [last_access(lab, path) for path in paths] == before
    assert not scan(lab).sweep


def test_a_reader_after_the_sweep_counts(lab: Lab) -> None:
    paths = tree(lab, 120)
    scan(lab)
    sweep(lab, paths)
    scan(lab)
    lab.clock.advance(DAY_S)
    touch(lab, paths[7], 60 * NS_PER_S)
    scan(lab, after_s=30)

    assert last_access(lab, paths[7]) == paths[7].stat().st_atime_ns


def test_nightly_sweeps_make_the_roots_evidence_worth_nothing(lab: Lab) -> None:
    paths = tree(lab, 120)
    scan(lab)
    qualities = []
    for _ in range(3):
        lab.clock.advance(DAY_S - 3600)
        sweep(lab, paths)
        qualities.append(scan(lab).access_quality)

    assert qualities[-1] == AccessQuality.SWEPT
    lab.clock.advance(10 * DAY_S)
    assert scan(lab).access_quality != AccessQuality.SWEPT


def test_a_file_both_read_and_rewritten_keeps_its_evidence(lab: Lab) -> None:
    paths = tree(lab, 60)
    scan(lab)
    paths[0].write_bytes(b"new content")
    os.utime(paths[0], ns=(lab.clock.now_ns() - NS_PER_DAY // 2, lab.clock.now_ns()))
    scan(lab)
    row = row_of(lab, "d000/f0000")

    assert row is not None
    assert row.last_access_ns == paths[0].stat().st_atime_ns


def test_a_stored_file_keeps_its_copy_when_only_its_atime_moves(lab: Lab) -> None:
    (path,) = tree(lab, 1)
    scan(lab)
    store(lab, "d000/f0000")
    with path.open("rb") as source:
        source.read()
    scan(lab)
    row = row_of(lab, "d000/f0000")

    assert row is not None
    assert row.state == "dual"
