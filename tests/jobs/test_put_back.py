"""A file whose release was undone is still dual: its bytes are proven again, and nothing is stored a second time."""

import os
from dataclasses import replace

import pytest

from tests.jobs.lab import Lab
from tests.jobs.outbound import Killed, StopAt, items, rows, states
from tiering.catalog.values import FileState
from tiering.hot.identity import Identity
from tiering.jobs.audit import audit
from tiering.jobs.migrate import migrate
from tiering.jobs.reconcile import reconcile
from tiering.jobs.release import release
from tiering.jobs.scan import scan_root

DEAD = "test:4194303:boot"  # above any pid_max: a process that is not there


@pytest.fixture
def stored(lab: Lab) -> Lab:
    """Two migrated files, one of them with two names."""
    lab.write("a", b"weights " * 4096)
    lab.write("b", b"moments " * 4096)
    os.link(lab.root / "b", lab.root / "c")
    scan_root(lab.context, lab.context.roots[0])
    migrate(lab.context, items(lab))
    return lab


def die_exchanged(lab: Lab) -> None:
    """Kill a release between its exchanges and the note of them; let the next process put things right."""
    before = {path: os.lstat(lab.root / os.fsdecode(path)).st_ctime_ns for path in rows(lab)}
    context = replace(lab.context, owner=DEAD, step=StopAt("release.exchanged"))
    with pytest.raises(Killed):
        release(context, items(lab), wait_parked=True)
    assert any((lab.root / name).is_symlink() for name in "abc")
    reconcile(lab.context)
    assert before.keys() == rows(lab).keys()


def test_after_a_kill_amid_the_exchanges_the_files_are_dual_as_they_are(stored: Lab) -> None:
    die_exchanged(stored)
    for path, row in rows(stored).items():
        seen = Identity.of(os.lstat(stored.root / os.fsdecode(path)))
        assert (row.size, row.mtime_ns, row.ctime_ns) == (seen.size, seen.mtime_ns, seen.ctime_ns)
    assert set(states(stored).values()) == {FileState.DUAL}
    assert audit(stored.context).discrepancies == ()
    scan_root(stored.context, stored.context.roots[0])
    assert set(states(stored).values()) == {FileState.DUAL}
    assert migrate(stored.context, items(stored)).bytes_stored == 0


def test_p1_bytes_that_changed_meanwhile_are_not_taken_for_the_stored_ones(stored: Lab) -> None:
    status = os.stat(stored.root / "a")
    context = replace(stored.context, owner=DEAD, step=StopAt("release.exchanged"))
    with pytest.raises(Killed):
        release(context, items(stored), wait_parked=True)
    hidden = [name for name in os.listdir(stored.root) if name.startswith(".frostline-parked") and name]
    for name in [*hidden, "a"]:
        place = stored.root / name
        if not place.is_symlink() and place.stat().st_ino == status.st_ino:
            place.write_bytes(b"WEIGHTS " * 4096)
            os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
    reconcile(stored.context)
    assert rows(stored)[b"a"].ctime_ns != os.stat(stored.root / "a").st_ctime_ns
    scan_root(stored.context, stored.context.roots[0])
    assert states(stored)[b"a"] == FileState.REGULAR
