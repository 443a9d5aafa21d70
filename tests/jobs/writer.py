"""A program that keeps changing its own files under a root and knows exactly what each must contain.

Run as `python -m tests.jobs.writer FOLDER SEED STOP_FILE`. Prints one JSON object at its end: what it believes, how
long its longest open or truncate took, how long the machine itself kept it waiting, and what it saw that was wrong.
"""

import hashlib
import json
import mmap
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

FILES = 4
OFFLINE = (NotADirectoryError,)  # what open(2) says at a placeholder


class Writer:
    """The sole writer of its folder."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.believed: dict[str, bytes | None] = {f"f{number}": None for number in range(FILES)}
        self.longest_s = 0.0
        self.stalled_s = 0.0
        self.counts: dict[str, int] = {}
        self.wrong: list[str] = []

    def run(self, stop: Path) -> None:
        """Go on until the file *stop* exists."""
        actions = [
            self.append, self.overwrite, self.truncate, self.replace, self.delete, self.create, self.map,
            self.hold, self.read, self.read, self.come_late,
        ]  # fmt: skip
        while not stop.exists():
            name = self.random.choice(list(self.believed))
            action = self.random.choice(actions)
            try:
                self._exists(name, action)
            except OFFLINE:
                self.counts["offline"] = self.counts.get("offline", 0) + 1
            self.pause(self.random.random() * 0.03, stop.with_name(f"beside-{self.folder.name}"))

    def pause(self, rest_s: float, beside: Path) -> None:
        """Rest, then open a file that nobody else knows: what that takes longer is the machine's own doing."""
        began = time.perf_counter()
        threading.Event().wait(rest_s)
        beside.write_bytes(b"")
        self.stalled_s = max(self.stalled_s, time.perf_counter() - began - rest_s)

    def _exists(self, name: str, action: Callable[[str], None]) -> None:
        if (self.believed[name] is None) == (action == self.create):
            action(name)
            self.counts[action.__name__] = self.counts.get(action.__name__, 0) + 1

    def timed(self, function: Callable[[], int | None]) -> int:
        """Call; the time that this process waited for the processor itself is not the holder's fault and is taken
        off.
        """
        queued, began = _queued_s(), time.perf_counter()
        try:
            return function() or 0
        finally:
            took = time.perf_counter() - began - (_queued_s() - queued)
            self.longest_s = max(self.longest_s, took)

    def open(self, name: str, flags: int) -> int:
        return self.timed(lambda: os.open(self.folder / name, flags))

    def content(self, name: str) -> bytes:
        found = self.believed[name]
        assert found is not None
        return found

    def noise(self) -> bytes:
        return self.random.randbytes(self.random.randrange(1, 60_000))

    def append(self, name: str) -> None:
        data = self.noise()
        fd = self.open(name, os.O_WRONLY | os.O_APPEND)
        os.write(fd, data)
        os.close(fd)
        self.believed[name] = self.content(name) + data

    def overwrite(self, name: str) -> None:
        data, was = self.noise(), self.content(name)
        at = self.random.randrange(len(was) + 1)
        fd = self.open(name, os.O_RDWR)
        os.pwrite(fd, data, at)
        os.close(fd)
        self.believed[name] = was[:at] + data + was[at + len(data) :]

    def truncate(self, name: str) -> None:
        was = self.content(name)
        size = self.random.randrange(len(was) + 1)
        self.timed(lambda: os.truncate(self.folder / name, size))
        self.believed[name] = was[:size]

    def replace(self, name: str) -> None:
        data = self.noise()
        (self.folder / "new").write_bytes(data)
        os.replace(self.folder / "new", self.folder / name)
        self.believed[name] = data

    def delete(self, name: str) -> None:
        os.unlink(self.folder / name)
        self.believed[name] = None

    def create(self, name: str) -> None:
        data = self.noise()
        fd = self.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(fd, data)
        os.close(fd)
        self.believed[name] = data

    def map(self, name: str) -> None:
        was = self.content(name)
        if not was:
            return
        fd = self.open(name, os.O_RDWR)
        with mmap.mmap(fd, len(was)) as mapped:
            os.close(fd)
            for _ in range(3):  # the second store to a dirty page moves no mtime
                at = self.random.randrange(len(was))
                mapped[at] ^= 1
                was = was[:at] + bytes([was[at] ^ 1]) + was[at + 1 :]
                threading.Event().wait(0.002)
        self.believed[name] = was

    def hold(self, name: str) -> None:
        first, second = self.noise(), self.noise()
        fd = self.open(name, os.O_WRONLY | os.O_APPEND)
        os.write(fd, first)
        threading.Event().wait(0.02)
        os.write(fd, second)
        os.close(fd)
        self.believed[name] = self.content(name) + first + second

    def come_late(self, name: str) -> None:
        """Resolve the path now, open what was found there later."""
        data = self.noise()
        found = os.open(self.folder / name, os.O_PATH)
        threading.Event().wait(self.random.random() * 0.1)
        try:
            fd = self.timed(lambda: os.open(f"/proc/self/fd/{found}", os.O_WRONLY | os.O_APPEND))
        finally:
            os.close(found)
        if os.fstat(fd).st_nlink:  # later than the parking time is too late, and known to be
            os.write(fd, data)
            self.believed[name] = self.content(name) + data
        os.close(fd)

    def read(self, name: str) -> None:
        fd = self.open(name, os.O_RDONLY)
        with open(fd, "rb") as file:
            if file.read() != self.content(name):
                self.wrong.append(f"{name} does not read as it was written")

    def report(self) -> str:
        sums = {
            name: None if data is None else hashlib.sha256(data).hexdigest() for name, data in self.believed.items()
        }
        times = {"longest_s": self.longest_s, "stalled_s": self.stalled_s}
        return json.dumps({"believed": sums, "counts": self.counts, "wrong": self.wrong, **times})


def _queued_s() -> float:
    """How long this thread has waited for a processor so far."""
    with open("/proc/thread-self/schedstat", "rb") as stat:
        return int(stat.read().split()[1]) / 1e9


if __name__ == "__main__":
    writer = Writer(Path(sys.argv[1]), int(sys.argv[2]))
    writer.run(Path(sys.argv[3]))
    print(writer.report())
