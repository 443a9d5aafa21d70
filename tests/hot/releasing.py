"""One release of a file, step by step, for the tests of the swap."""

import os
from collections.abc import Callable
from pathlib import Path

from tiering.hot import names
from tiering.hot.identity import Identity
from tiering.hot.parking import Finished, Parked, Slot, Undone, begin, finish, no_step
from tiering.hot.placeholder import format_target

OP = "release:abc123"
CONTENT = b"the old content\n" * 1000


class Release:
    """One release of `folder/file`, step by step."""

    def __init__(self, folder: Path, *file_names: bytes, leaves_placeholder: bool = True) -> None:
        self.folder = folder
        self.dir_fd = os.open(folder, os.O_RDONLY)
        self.path = folder / os.fsdecode(file_names[0])
        self.slots = [
            Slot(
                self.dir_fd,
                name,
                names.parked(OP, index),
                format_target("storeid0", "0" * 26, name) if leaves_placeholder else None,
            )
            for index, name in enumerate(file_names)
        ]
        self.expected = Identity.of(self.path.stat())
        self.parked = self.expected

    def begin(self, step: Callable[[str], None] = no_step) -> Parked | Undone:
        fd = os.open(self.path, os.O_RDONLY)
        try:
            result = begin(fd, self.slots, expected=self.expected, op=OP, step=step)
        finally:
            os.close(fd)
        if isinstance(result, Parked):
            self.parked = result.identity
        return result

    def finish(self, step: Callable[[str], None] = no_step) -> Finished:
        return finish(self.slots, parked=self.parked, op=OP, step=step)

    @property
    def hidden(self) -> Path:
        return self.folder / os.fsdecode(self.slots[0].hidden)

    @property
    def conflict(self) -> Path:
        return self.folder / os.fsdecode(names.conflict(self.slots[0].name, OP))

    def leftovers(self) -> list[str]:
        return [name for name in os.listdir(self.folder) if name.startswith(".frostline-")]
