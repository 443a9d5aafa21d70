"""What tests of moving files share: files made known without a scan, stored and sent away, items for them, reading back
from the store.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from dedup.assemble import StoredChunk, open_by_digest, open_chunk, rewrapped
from dedup.fingerprint import digest
from dedup.recipe import decode_recipe
from dedup.values import ChunkPart, Digest, Recipe, Span, WrappedPart
from tests.jobs.lab import Lab
from tiering.catalog import accounts, files, journal, ledger, packs, recipes, sums
from tiering.catalog.values import FileRow, FileState, NewFile, PackState
from tiering.jobs.items import MigrateItem
from tiering.jobs.migrate import migrate
from tiering.jobs.release import release

CONTENT = b"weights " * 4096


def learn(lab: Lab) -> None:
    """Give every file below the root that has no row one, as the first scan would."""
    root = lab.context.roots[0]
    found = []
    for folder, _, names in os.walk(root.path):
        for name in sorted(names):
            if not name.startswith(b".frostline-"):
                found.append(_new_file(root.root_id, root.path, folder, name))
    with lab.catalog.write() as tx:
        fresh = [row for row in found if files.get(tx, row.root_id, row.dir, row.name) is None]
        files.add_new(tx, fresh, op_id=f"scan:{len(fresh)}:{os.urandom(4).hex()}")


def _new_file(root_id: int, root: bytes, folder: bytes, name: bytes) -> NewFile:
    status = os.lstat(os.path.join(folder, name))
    below = os.path.relpath(folder, root)
    return NewFile(
        root_id=root_id,
        dir=b"" if below == b"." else below + b"/",
        name=name,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        dev=status.st_dev,
        ino=status.st_ino,
        nlink=status.st_nlink,
        mode=status.st_mode,
        uid=status.st_uid,
        gid=status.st_gid,
        last_access_ns=None,
        access_quality="none",
    )


def rows(lab: Lab) -> dict[bytes, FileRow]:
    """Return every row by path."""
    with lab.catalog.read() as tx:
        return {row.path: row for row in files.every(tx, lab.context.roots[0].root_id)}


def items(lab: Lab, tier: str = "standard", paths: Sequence[bytes] = ()) -> list[MigrateItem]:
    """Return an item for each known file, or for *paths*."""
    return [
        MigrateItem(row.root_id, row.dir, row.name, tier, "by hand")
        for path, row in rows(lab).items()
        if not paths or path in paths
    ]


def content(path: str | bytes) -> bytes:
    """Return what store() writes at a path."""
    return CONTENT + os.fsencode(path)


def store(lab: Lab, *paths: str) -> None:
    """Write content() at *paths*; store that, and everything else below the root."""
    for path in paths:
        lab.write(path, content(path))
    learn(lab)
    assert migrate(lab.context, items(lab)).files_skipped == ()


def send_away(lab: Lab, *paths: str) -> None:
    """Leave placeholders alone: of what store() stored, and of everything else below the root."""
    store(lab, *paths)
    assert release(lab.context, items(lab), wait_parked=True).files_skipped == ()


def hidden(lab: Lab) -> list[str]:
    """Return the names that a swap under way stands under."""
    return [
        name for _, _, names in os.walk(lab.root) for name in names if name.startswith((".frostline-p", ".frostline-n"))
    ]


def under_way(lab: Lab) -> list[str]:
    """Return the steps that the journal's operations are at."""
    with lab.catalog.read() as tx:
        return [row.step for row in journal.every(tx)]


def states(lab: Lab) -> dict[bytes, FileState]:
    return {path: row.state for path, row in rows(lab).items()}


def stored_recipe(lab: Lab, path: bytes) -> Recipe:
    """Return the recipe of a stored file, read from its recipe pack and verified."""
    recipe_no = rows(lab)[path].recipe_no
    assert recipe_no is not None
    with lab.catalog.read() as tx:
        row = recipes.by_numbers(tx, [recipe_no])[recipe_no]
        place = packs.locate_recipes(tx, [row])[recipe_no]
    block = place.block
    payload = lab.context.metadata.store.get(block.key, Span(block.offset, block.stored_len))
    raw = open_chunk(block.codec, payload, block.raw_len, place.block_digest)
    return decode_recipe(raw[place.inner_offset : place.inner_offset + place.length])


def stored_bytes(lab: Lab, path: bytes) -> bytes:
    """Return the content of a stored file from the store alone, every chunk and the whole verified."""
    recipe = stored_recipe(lab, path)
    recipe_no = rows(lab)[path].recipe_no
    assert recipe_no is not None
    with lab.catalog.read() as tx:
        places = packs.locate(tx, recipe_no)

    def find(wanted: Digest) -> StoredChunk:
        place = places[wanted]
        block = place.block
        payload = lab.context.tiers[block.tier].store.get(block.key, Span(block.offset, block.stored_len))
        return StoredChunk(block.codec, payload, block.raw_len, place.inner_offset, place.length, block.base)

    pieces = []
    for part in recipe.parts:
        if isinstance(part, ChunkPart):
            pieces.append(open_by_digest(part.digest, find))
        elif isinstance(part, WrappedPart):
            pieces.append(rewrapped(part, b"".join(open_by_digest(chunk.digest, find) for chunk in part.inner)))
        else:
            pieces.append(bytes(part.length))
    whole = b"".join(pieces)
    assert digest(whole) == recipe.digest
    return whole


def packs_in(lab: Lab, *wanted: PackState) -> list[str]:
    """Return the keys of the packs in those states."""
    with lab.catalog.read() as tx:
        return [pack.key for state in wanted for pack in packs.in_state(tx, state)]


def books_balance(lab: Lab) -> None:
    """Hold the books against the rows, against both identities of P6, and against what really lies in the stores."""
    with lab.catalog.read() as tx:
        balances = ledger.all_balances(tx)
        assert sums.differences(tx) == {}
        assert sums.identities(sums.recomputed(tx)) == []
        assert list(ledger.verify_chain(tx)) == []
    booked = -sum(amount for (account, _), amount in balances.items() if account == accounts.BUCKET_TOTAL)
    assert booked == sum(info.size_bytes for tier in lab.context.tiers.values() for info in tier.store.list())


@dataclass
class Counted:
    """Items that say how many of them were taken."""

    items: Sequence[MigrateItem]
    taken: int = 0

    def __iter__(self) -> Iterator[MigrateItem]:
        for item in self.items:
            self.taken += 1
            yield item


@dataclass
class StopAt:
    """A step function that raises at the n-th passing of a step, or calls something there instead."""

    name: str
    number: int = 1
    action: Callable[[], None] | None = None
    seen: list[str] = field(default_factory=list)

    def __call__(self, name: str) -> None:
        self.seen.append(name)
        if name == self.name and self.seen.count(name) == self.number:
            if self.action is None:
                raise Killed(name)
            self.action()


class Killed(BaseException):
    """Stands for the end of the process."""
