"""A folder that does not let go of what is made in it keeps its own files from coming back, and no others."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.jobs.lab import Lab
from tests.jobs.outbound import content, items, send_away
from tests.jobs.test_restore_run import hidden
from tiering.catalog import journal
from tiering.jobs.recall import recall
from tiering.jobs.reconcile import reconcile
from tiering.jobs.reports import Skip


@contextmanager
def append_only(folder: Path) -> Iterator[None]:
    """Let files be made in *folder*, and none renamed or removed."""
    program = shutil.which("chattr")
    if program is None or subprocess.run([program, "+a", folder], capture_output=True, check=False).returncode:
        pytest.skip("only root, and not on every file system")
    try:
        yield
    finally:
        subprocess.run([program, "-a", folder], check=True)


def under_way(lab: Lab) -> int:
    with lab.catalog.read() as tx:
        return len(list(journal.every(tx)))


def test_the_others_come_back_and_reconcile_does_the_rest_when_it_can(lab: Lab) -> None:
    names = ["one/a", "one/b", "two/a", "two/b"]
    send_away(lab, *names)
    with append_only(lab.root / "one"):
        report = recall(lab.context, items(lab), reason="asked")
        assert report.files_done == 2
        assert {skip.path: skip.kind for skip in report.files_skipped} == {
            str(lab.root / name): Skip.CHANGED for name in names[:2]
        }
        assert all((lab.root / name).is_symlink() for name in names[:2])
        assert len(hidden(lab.root / "one")) == under_way(lab) == 2
    after = replace(lab.context, owner=f"test:{os.getpid()}:the next boot")
    reconcile(after)
    assert recall(after, items(lab), reason="asked").files_skipped == ()
    assert {name: (lab.root / name).read_bytes() for name in names} == {name: content(name) for name in names}
    assert hidden(lab.root / "one") == []
    assert under_way(lab) == 0
