"""Files that a scan did not see: counted, doubted, and marked missing at the very end. Absence is not deletion (P5)."""

import os
from collections.abc import Iterator, Sequence

from tiering.catalog import files, journal
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import FileRow, FileState
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

    def settle(self) -> None:
        """Look again, after the walk: what came back, has moved, or is being worked on is not gone."""
        for batch in batches(self._seeming.read(), ROWS):
            absent = [item for item in batch if item[3] or not self._stands(item[1] + item[2])]
            with self._ctx.catalog.read() as tx:
                for item, row in _still_at_their_paths(tx, absent):
                    if row.recipe_no is not None and self._settings.read_only:
                        continue  # without a marker nobody knows whether the right tree is mounted
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
