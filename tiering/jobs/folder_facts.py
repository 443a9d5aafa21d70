"""Gathers the facts that policies decides on, one folder at a time, from the catalog and from what names tell.

Used by plan and explain. Reads only; each page of rows is a snapshot of its own, so that a long plan does not hold the
catalog's log. Memory is bounded by the largest folder.
"""

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache

from policies.placing import HISTORY_DAYS
from policies.rules import Rule
from policies.units import step_of, top_of
from policies.values import NS_PER_DAY, AccessQuality, FileFacts, FileIdentity, Residency
from tiering.catalog import access, files, scans
from tiering.catalog.transaction import Tx
from tiering.catalog.values import FileRow, FileState
from tiering.jobs.context import Context, OpenRoot
from tiering.jobs.link_targets import LinkTargets
from tiering.jobs.metric_files import best_ranks
from tiering.jobs.surroundings import Surroundings

PAGE_ROWS = 2000
_RESIDENCY = {
    FileState.REGULAR: Residency.REGULAR,
    FileState.DUAL: Residency.DUAL,
    FileState.OFFLINE: Residency.OFFLINE,
    FileState.MIGRATING: Residency.BUSY,
    FileState.RECALLING: Residency.BUSY,
}


class FolderFacts:
    """The facts of one root's files."""

    def __init__(
        self, ctx: Context, root: OpenRoot, rules: Sequence[Rule], links: LinkTargets, *, asks_history: bool = False
    ) -> None:
        """Gather what *rules* ask for; *links* has the targets of all links under the roots.

        *asks_history*: days of reading are wanted whatever the rules say.
        """
        self._ctx = ctx
        self._root = root
        self._links = links
        self._window_days = max((r.window_days for r in rules if r.active_days_at_most is not None), default=0)
        if asks_history or any(rule.strategy is not None for rule in rules):
            self._window_days = max(self._window_days, HISTORY_DAYS)
        self._best = [rule for rule in rules if rule.keep_best]
        self._ranks = lru_cache(maxsize=256)(self._ranks_of)
        self._asks_step = any(rule.keep_newest is not None for rule in rules)
        self._asks_cache = any(rule.model_cache for rule in rules)
        with ctx.catalog.read() as tx:
            last = scans.last(tx, root.root_id, state="complete")
        self.last_scan = last
        """The newest complete scan of the root; None if there was none."""
        self._watched = AccessQuality.NONE if last is None else AccessQuality(last.access_quality)
        self._around = Surroundings(root.path)

    def folders(self, *, under: bytes = b"") -> Iterator[list[FileFacts]]:
        """Yield the files of each folder, in walk order; missing files and further names of hard links left out."""
        folder: list[FileFacts] = []
        folder_dir: bytes | None = None
        after: tuple[bytes, bytes] | None = None
        while True:
            with self._ctx.catalog.read() as tx:
                page = files.page(tx, self._root.root_id, after=after, limit=PAGE_ROWS, under=under)
                facts = self._facts(tx, page)
            if not page:
                break
            after = (page[-1].dir, page[-1].name)
            for item in facts:
                if item.dir != folder_dir and folder:
                    yield folder
                    folder = []
                folder_dir = item.dir
                folder.append(item)
        if folder:
            yield folder

    def folder_of(self, dir: bytes) -> list[FileFacts]:
        """Return the files of one folder, without those below it."""
        found: list[FileFacts] = []
        after = (dir, b"")
        while True:
            with self._ctx.catalog.read() as tx:
                page = files.page(tx, self._root.root_id, after=after, limit=PAGE_ROWS, under=dir)
                here = [row for row in page if row.dir == dir]
                found += self._facts(tx, here)
            if len(here) < len(page) or not page:
                return found
            after = (page[-1].dir, page[-1].name)

    def _facts(self, tx: Tx, page: Sequence[FileRow]) -> list[FileFacts]:
        rows = [row for row in page if row.state in _RESIDENCY and row.is_leader]
        days: dict[int, list[access.AccessDay]] = {}
        if self._window_days:
            since = self._ctx.clock.now_ns() // NS_PER_DAY - self._window_days
            days = access.days_of(tx, [row.file_id for row in rows], since_day=since)
        return [self._one(tx, row, days.get(row.file_id, [])) for row in rows]

    def _one(self, tx: Tx, row: FileRow, days: Sequence[access.AccessDay]) -> FileFacts:
        names = [row] if row.nlink == 1 else self._names(tx, row)
        return FileFacts(
            root=self._root.name,
            dir=row.dir,
            name=row.name,
            identity=FileIdentity(row.dev, row.ino, row.size, row.mtime_ns, row.ctime_ns),
            mode=row.mode,
            uid=row.uid,
            residency=_RESIDENCY[row.state],
            tier=row.tier,
            recipe_no=row.recipe_no,
            first_seen_ns=row.first_seen_ns,
            last_access_ns=row.last_access_ns,
            access_quality=self._quality(row),
            active_days=tuple(sorted({day.day for day in days})),
            is_pinned=any(name.pinned for name in names),
            is_link_target=any(self._is_target(name) for name in names),
            is_model_cache=self._asks_cache and any(self._around.in_model_cache(name.dir) for name in names),
            best_ranks=tuple(self._best_ranks(row)) if self._best else (),
            stored_ns=row.stored_ns,
            step_rank=self._around.step_rank(row.dir) if self._asks_step else None,
            recalled_ns=row.recalled_ns,
            nlink=row.nlink,
            known_names=len(names),
        )

    def _best_ranks(self, row: FileRow) -> Iterator[tuple[str, int]]:
        """Yield (rule, place of the file's step by the metric of that rule)."""
        step = step_of(row.dir, row.name)
        if step is None:
            return
        top = top_of(row.dir)
        run = os.path.dirname(top.rstrip(b"/")) if step_of(top, b"") is not None else row.dir.rstrip(b"/")
        for rule in self._best:
            place = self._ranks(run, rule.metric, higher=rule.higher_is_better).get(step)
            if place is not None:
                yield rule.name, place

    def _ranks_of(self, run: bytes, metric: str, *, higher: bool) -> dict[int, int]:
        """Return the places of the steps beside each other in the folder *run*."""
        place = os.path.join(self._root.path, run)
        try:
            names = os.listdir(place)
        except OSError:
            return {}
        steps = {step for name in names for step in (step_of(name + b"/", b""), step_of(b"", name)) if step is not None}
        return best_ranks(place, sorted(steps), metric=metric, higher_is_better=higher)

    def _quality(self, row: FileRow) -> AccessQuality:
        """Return what the row's evidence is worth by now.

        Nothing where the last scan found that nobody's reading can be seen. An open that was counted proves that one
        use; that there was none since is for the mount's atime to say, for the counter may have stopped.
        """
        recorded = AccessQuality(row.access_quality)
        if not self._watched.is_evidence or recorded is AccessQuality.OPENS:
            return self._watched
        return recorded

    def _names(self, tx: Tx, row: FileRow) -> list[FileRow]:
        """Return the leader and every follower that is not missing."""
        return [row, *(link for link in files.links_of(tx, row.file_id) if link.state is not FileState.MISSING)]

    def _is_target(self, row: FileRow) -> bool:
        if self._links.covers_file(row.root_id, row.path):
            return True
        return self._links.covers_folder(row.root_id, row.dir)
