"""Which files may come back: what the catalog knows of them, and whether what stands at their paths is their own
placeholder.

Used by recall alone. A placeholder proves nothing by itself: it is a link that anybody may write. The catalog must
have the path, and name the same recipe, and the link must belong to the owner of the content or to root.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tiering.catalog import files, packs, recipes
from tiering.catalog.transaction import Tx
from tiering.catalog.values import FileRow, FileState, RecipeRow
from tiering.config.sections import PlaceholderKind
from tiering.errors import SourceChanged, SourceRefused
from tiering.hot import paths
from tiering.hot.placeholder import parse_target, read_link
from tiering.hot.swap import status_of
from tiering.jobs.context import Context
from tiering.jobs.fetch import cold_packs
from tiering.jobs.reports import Skip
from tiering.jobs.tally import FileItem, Tally

_UNTOUCHED = "what stands there was left alone"


@dataclass(frozen=True, slots=True)
class Incoming:
    """An offline file with everything known about it."""

    rows: tuple[FileRow, ...]
    """All its offline names, the leader first where it is offline."""
    recipe: RecipeRow
    shown: str

    @property
    def row(self) -> FileRow:
        """The name that is claimed."""
        return self.rows[0]


def incoming(ctx: Context, items: Sequence[FileItem], tally: Tally) -> tuple[list[Incoming], list[Incoming]]:
    """Return (those whose packs can be read now, those that must wait for an archive); the others go to the tally."""
    with ctx.catalog.read() as tx:
        found = _load(ctx, tx, items, tally)
        needed = recipes.packs_of(tx, [item.recipe.recipe_no for item in found])
        pack_rows = packs.by_numbers(tx, {number for numbers in needed.values() for number in numbers})
    cold = {row.pack_no for row in cold_packs(ctx, pack_rows.values())}
    waits = {item.recipe.recipe_no for item in found if cold.intersection(needed[item.recipe.recipe_no])}
    ready = [item for item in found if item.recipe.recipe_no not in waits]
    return ready, [item for item in found if item.recipe.recipe_no in waits]


def expected_target(ctx: Context, dir_fd: int, row: FileRow, recipe: RecipeRow) -> bytes | None:
    """Return the target of the placeholder at the path of *row*; None where its root leaves none and nothing stands
    there.

    Raises SourceChanged if a user's file stands there or the placeholder is gone, SourceRefused if the link is not
    this file's.
    """
    root = ctx.root(row.root_id)
    shown = paths.display(root.path, row.dir, row.name)
    status = status_of(dir_fd, row.name)
    if status is None:
        if ctx.config.root(root.name).placeholder is PlaceholderKind.NONE:
            return None
        raise SourceChanged(
            f"{shown}: its placeholder is gone", now="nothing was done", hint="frostline restore takes the content"
        )
    target = read_link(dir_fd, row.name)
    if target is None:
        raise SourceChanged(f"{shown}: something else stands where its placeholder was", now=_UNTOUCHED)
    placeholder = parse_target(target)
    if placeholder is None or placeholder.store_id != ctx.store_id or placeholder.recipe_id != recipe.recipe_id:
        raise SourceRefused(
            f"{shown}: the link there does not name the content that this path had",
            now=_UNTOUCHED,
            hint="frostline scan looks at it anew; frostline restore takes the content of this path",
        )
    if status.st_uid not in {recipe.owner_uid, row.uid, 0}:
        raise SourceRefused(
            f"{shown}: the link there belongs to user {status.st_uid}, the content to user {recipe.owner_uid}",
            now=_UNTOUCHED,
        )
    return target


def _load(ctx: Context, tx: Tx, items: Sequence[FileItem], tally: Tally) -> list[Incoming]:
    groups: dict[int, tuple[FileRow, ...]] = {}
    for item in items:
        shown = paths.display(ctx.root(item.root_id).path, item.dir, item.name)
        row = files.get(tx, item.root_id, item.dir, item.name)
        if row is None:
            tally.skip(shown, "is not known here: frostline scan looks at new placeholders", Skip.REFUSED)
        elif row.state in {FileState.REGULAR, FileState.DUAL, FileState.MIGRATING}:
            tally.done += 1  # it is on the hot disk already
        elif row.state == FileState.RECALLING:
            tally.skip(shown, "is being recalled by another process", Skip.BUSY)
        elif row.state != FileState.OFFLINE or row.recipe_no is None:
            tally.skip(shown, f"cannot be recalled: its state is {row.state}", Skip.OTHER)
        else:
            names = _names(tx, row)
            groups.setdefault(names[0].file_id, names)
    found = recipes.by_numbers(tx, {rows[0].recipe_no for rows in groups.values() if rows[0].recipe_no is not None})
    made = []
    for rows in groups.values():
        shown = paths.display(ctx.root(rows[0].root_id).path, rows[0].dir, rows[0].name)
        recipe = found.get(rows[0].recipe_no or 0)
        if recipe is None or recipe.state != "live":
            tally.skip(shown, "its stored version is not in the catalog any more", Skip.OTHER)
            continue
        made.append(Incoming(rows, recipe, shown))
    return made


def _names(tx: Tx, row: FileRow) -> tuple[FileRow, ...]:
    """Return all offline names of the inode that *row* was a name of, the leader first."""
    leader = row if row.leader_id is None else files.by_ids(tx, [row.leader_id]).get(row.leader_id, row)
    group = [leader, *files.links_of(tx, leader.file_id)]
    return tuple(name for name in group if name.state == FileState.OFFLINE and name.recipe_no == row.recipe_no)
