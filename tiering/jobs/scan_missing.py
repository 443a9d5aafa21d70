"""Files that a scan did not see: counted, doubted, and marked missing at the very end. Absence is not deletion (P5).

Under a root that spans mounts a folder may be empty because what was mounted there is not: the root's marker stands,
and the files are few enough to be believed. Their device tells: a row whose file was on another device than the root,
and whose folder is not on that device now, is not gone.
"""

import os
from collections.abc import Iterator, Sequence, Set

from tiering.catalog import files, journal
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import FileRow, FileState, signed64
from tiering.catalog.walked import KnownFile
from tiering.config import PlaceholderKind, RootConfig
from tiering.hot.placeholder import parse_target
from tiering.jobs.context import Context, OpenRoot
from tiering.jobs.scan_spool import GoneItem, GoneSpool

ROWS = 5000  # per transaction
MASS_AT_LEAST = 5  # fewer files are no mass disappearance, however small the root


class MissingFiles:
    """Collects the rows that seem gone during one scan of one root. Close it."""

    def __init__(self, ctx: Context, root: OpenRoot, *, settings: RootConfig, known_files: int) -> None:
        """*known_files* is how many files the catalog expected to see."""
        self._ctx = ctx
        self._root = root
        self._settings = settings
        self._known_files = known_files
        self._seeming = GoneSpool(ctx.config.spool_dir)
        self._gone = GoneSpool(ctx.config.spool_dir)
        self._unmounted: dict[bytes, int] = {}
        self._device = signed64(os.stat(root.path).st_dev)

    @property
    def count(self) -> int:
        """How many are gone, once settle() has looked again."""
        return self._gone.count

    def note(self, row: KnownFile | FileRow, *, replaced: bool) -> None:
        """Set a row aside whose path has no file; *replaced*: something that is not its file stands there."""
        if row.state == FileState.MISSING:
            return
        if row.state == FileState.OFFLINE and self._settings.placeholder is PlaceholderKind.NONE:
            return  # nothing stands at the path of an offline file here
        self._seeming.add(row.file_id, row.dir, row.name, replaced=replaced)

    @property
    def unmounted(self) -> dict[bytes, int]:
        """Folder relative to the root -> how many files below it were on a file system that is not mounted now."""
        return self._unmounted

    def settle(self, *, left_devices: Set[int], confirmed: bool) -> None:
        """Look again, after the walk: what came back, has moved, or is being worked on is not gone; nor is, unless that
        is *confirmed*, what was on a device that is not mounted. *left_devices* have another number now.
        """
        for batch in batches(self._seeming.read(), ROWS):
            absent = [item for item in batch if item[3] or not self._stands(item[1] + item[2])]
            with self._ctx.catalog.read() as tx:
                for item, row in _still_at_their_paths(tx, absent):
                    if row.recipe_no is not None and self._settings.read_only:
                        continue  # without a marker nobody knows whether the right tree is mounted
                    if not confirmed and row.dev not in left_devices and self._is_unmounted(row):
                        continue
                    self._gone.add(item[0], item[1], item[2], replaced=item[3])

    def is_mass(self) -> bool:
        """Return whether so many are gone that someone has to confirm it."""
        limits = self._ctx.config.scan
        if self.count < MASS_AT_LEAST:
            return False
        return self.count > limits.mass_missing_files or self.count > limits.mass_missing_fraction * self._known_files

    def mark(self, *, op_id: str) -> int:
        """Mark missing what settle() found gone; return how many."""
        marked = 0
        for number, batch in enumerate(batches(self._gone.read(), ROWS)):
            with self._ctx.catalog.write() as tx:
                ids = [item[0] for item, _ in _still_at_their_paths(tx, batch)]
                if ids:
                    files.mark_missing(tx, ids, op_id=f"{op_id}:{number}")
            marked += len(ids)
        return marked

    def close(self) -> None:
        """Free the room on disk."""
        self._seeming.close()
        self._gone.close()

    def _is_unmounted(self, row: FileRow) -> bool:
        """Return whether the file was on a mount below the root that is not there, and count it if so."""
        if row.dev == self._device:
            return False
        folder, device = self._nearest(row.dir)
        if device == row.dev:
            return False
        self._unmounted[folder] = self._unmounted.get(folder, 0) + 1
        return True

    def _nearest(self, folder: bytes) -> tuple[bytes, int]:
        """Return the nearest folder above, or *folder* itself, that is there, and its device."""
        while folder:
            try:
                return folder, signed64(os.stat(os.path.join(self._root.path, folder)).st_dev)
            except OSError:
                folder = folder[: folder.rfind(b"/", 0, -1) + 1]
        return b"", self._device

    def _stands(self, path: bytes) -> bool:
        """Return whether a file or placeholder is there after all, created or replaced during the walk."""
        absolute = os.path.join(self._root.path, path)
        try:
            if os.path.islink(absolute):
                return parse_target(os.readlink(absolute)) is not None
            return os.path.isfile(absolute)
        except OSError:
            return False


def _still_at_their_paths(tx: Tx, items: Sequence[GoneItem]) -> Iterator[tuple[GoneItem, FileRow]]:
    """Yield those whose row is where it was, not missing yet, and under no operation."""
    busy = journal.files_at_work(tx)
    rows = files.by_ids(tx, [item[0] for item in items])
    for item in items:
        row = rows.get(item[0])
        if row is None or item[0] in busy or row.state is FileState.MISSING:
            continue
        if (row.dir, row.name) == (item[1], item[2]):
            yield item, row
