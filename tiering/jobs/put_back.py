"""Notes the new stamps of a file that a release exchanged and put back: the exchange moves its ctime, and nothing else.

Used by release and parked for files whose swap was undone. Without it the next scan would see a changed file, part it
from its stored copy and store it again. The bytes are read and compared with the recipe's digest under a read lease;
where they are not the stored ones, or nobody can tell, nothing is noted and the scan decides.
"""

from collections.abc import Sequence

from tiering.catalog import commit, files, recipes
from tiering.catalog.values import FileRow, FileState, PlacedFile, RecipeRow
from tiering.errors import SourceError
from tiering.hot.identity import Identity
from tiering.hot.source import open_source
from tiering.jobs.candidates import digest_of
from tiering.jobs.context import Context


def note_put_back(ctx: Context, file_ids: Sequence[int], *, op_id: str) -> bool:
    """Note the identity of a dual file, all of whose names are *file_ids*, if its bytes are those stored.

    Return whether they were.
    """
    with ctx.catalog.read() as tx:
        found = files.by_ids(tx, file_ids)
        row = next((one for one in found.values() if one.leader_id is None and one.state == FileState.DUAL), None)
        recipe = None if row is None or row.recipe_no is None else recipes.get(tx, row.recipe_no)
    identity = None if row is None or recipe is None else _proven(ctx, row, recipe)
    if identity is None:
        return False
    with ctx.catalog.write() as tx:
        commit.refresh_identity(tx, [PlacedFile(file_id, identity) for file_id in file_ids], op_id=op_id)
    return True


def _proven(ctx: Context, row: FileRow, recipe: RecipeRow) -> Identity | None:
    """Return the identity under which the file was read and found to be the stored one; None if it is not."""
    try:
        with open_source(ctx.root(row.root_id).path, row.dir, row.name, expect=None) as source:
            seen = source.identity
            if (seen.size, seen.mtime_ns) != (row.size, row.mtime_ns) or not source.has_lease:
                return None
            is_stored = digest_of(source.fd, source.size) == recipe.digest
            source.check()
    except (SourceError, OSError):
        return None
    return seen if is_stored else None
