"""The open counter sees other processes' opens, and admits what it missed."""

import os
import struct
import subprocess
from pathlib import Path

import pytest

from tiering.hot.opens import OpenCounter, open_counter, parse_events


def _event(pid: int, handle: bytes, mask: int = 0x20) -> bytes:
    record = struct.pack("=BBHQIi", 1, 0, 20 + len(handle), 77, len(handle), 1) + handle
    return struct.pack("=IBBHQii", 24 + len(record), 3, 0, 24, mask, -1, pid) + record


def test_events_are_counted_by_object_and_our_own_are_not() -> None:
    counts: dict[tuple[int, int, bytes], int] = {}
    data = _event(5, b"aaaabbbb") * 2 + _event(6, b"ccccdddd") + _event(9, b"aaaabbbb")
    assert parse_events(data, counts, own_pid=9) is False
    assert counts == {(77, 1, b"aaaabbbb"): 2, (77, 1, b"ccccdddd"): 1}


def test_an_overflow_is_admitted() -> None:
    assert parse_events(struct.pack("=IBBHQii", 24, 3, 0, 24, 0x4000, -1, 0), {}, own_pid=9) is True


def test_malformed_events_end_the_parse() -> None:
    assert parse_events(struct.pack("=IBBHQii", 0, 3, 0, 24, 0x20, -1, 0), {}, own_pid=9) is False


@pytest.mark.root
def test_other_processes_opens_are_seen(volume: Path) -> None:
    (volume / "read").write_bytes(b"x")
    (volume / "idle").write_bytes(b"x")
    try:
        counter = open_counter([os.fsencode(volume)])
    except OSError as error:
        pytest.skip(f"no fanotify for this process or file system: {error.strerror}")
    with counter:
        counter.poll()
        (volume / "idle").read_bytes()  # by ourselves
        subprocess.run(["cat", str(volume / "read")], check=True, capture_output=True)
        seen = counter.poll()
        inodes = {
            (status.st_dev, status.st_ino): name for name in ("read", "idle") if (status := os.stat(volume / name))
        }
        assert {inodes[inode] for inode in seen.inodes if inode in inodes} == {"read"}
        (volume / "read").unlink()
        assert not counter.poll().overflowed
    counter.close()
    assert isinstance(counter, OpenCounter)
