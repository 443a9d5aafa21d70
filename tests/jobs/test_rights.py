"""The walk out and back without root's rights: as an ordinary user, and with the capabilities of the service
alone.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.somebody import environment, python_of
from tests.structure.sources import PROJECT

SERVICE = "+dac_read_search,+dac_override,+chown,+fowner,+fsetid,+lease"

_WALK = """
import os, sys
from pathlib import Path
from tests.jobs.lab import open_lab
from tests.jobs.outbound import items, learn
from tiering.jobs.migrate import migrate
from tiering.jobs.recall import recall
from tiering.jobs.release import release

with open_lab(Path(sys.argv[1])) as lab:
    for number in range(3):
        place = lab.write(f"d/{number}", b"content %d" % number * 2000)
        place.chmod(0o2640)
        if sys.argv[2] != "self":
            os.chown(place, int(sys.argv[2]), int(sys.argv[2]))
            os.chmod(place, 0o2640)
        os.setxattr(place, "user.note", b"kept")
    before = [os.stat(lab.root / f"d/{number}") for number in range(3)]
    learn(lab)
    for job in (
        migrate(lab.context, items(lab)),
        release(lab.context, items(lab), wait_parked=True),
        recall(lab.context, items(lab), reason=""),
    ):
        assert job.files_skipped == (), job.files_skipped
        assert job.files_done == 3
    for number, was in enumerate(before):
        place = lab.root / f"d/{number}"
        now = os.stat(place)
        assert place.read_bytes() == b"content %d" % number * 2000
        for field in ("st_mode", "st_uid", "st_gid", "st_mtime_ns"):
            assert getattr(now, field) == getattr(was, field), (field, was, now)
        assert os.getxattr(place, "user.note") == b"kept"
print("walked")
"""


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder whose way others may go: every pytest that starts closes the one that holds all of pytest's again."""
    with tempfile.TemporaryDirectory(prefix="frostline-rights-") as folder:
        yield Path(folder)


@pytest.mark.root
@pytest.mark.parametrize(
    ("rights", "owner"),
    [
        (["--reuid=65534", "--regid=65534", "--clear-groups"], "self"),
        (
            ["--reuid=65533", "--regid=65533", "--clear-groups", f"--inh-caps={SERVICE}", f"--ambient-caps={SERVICE}"],
            "1234",
        ),
    ],
    ids=["an ordinary user", "the service"],
)
def test_the_walk_with_few_rights(base: Path, rights: list[str], owner: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    uid = int(rights[0].split("=")[1])
    os.chown(base, uid, uid)
    python = python_of(uid)
    command = [
        "setpriv",
        *rights,
        "--bounding-set=-all," + SERVICE,
        python,
        "-c",
        _WALK,
        str(base / "lab"),
        owner,
    ]
    done = subprocess.run(
        command, cwd=PROJECT, env=environment(PROJECT, base), capture_output=True, text=True, check=False
    )
    assert done.stdout == "walked\n", done.stderr[-3000:]
