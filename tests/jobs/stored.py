"""Gives files of the laboratory a stored copy or a placeholder by catalog rows alone, for jobs that only look."""

import os
import secrets
from pathlib import Path

from dedup.recipe_id import new_recipe_id, recipe_key
from dedup.values import Block, ChunkPart, Digest, FileMeta, Fingerprint, Recipe
from tests.jobs.lab import STORE_ID, Lab
from tiering.catalog import commit, files, packs
from tiering.catalog.transaction import Tx
from tiering.catalog.values import FileRow, NewBlock, PendingPack, PlacedFile, StoredBatch, StoredFile
from tiering.hot.identity import Identity
from tiering.hot.placeholder import format_target

FRAMING = 64


def row_of(lab: Lab, path: str | bytes) -> FileRow | None:
    """Return the row of a path below the root."""
    folder, slash, name = os.fsencode(path).rpartition(b"/")
    with lab.catalog.read() as tx:
        return files.get(tx, lab.context.roots[0].root_id, folder + slash, name)


def store(lab: Lab, path: str | bytes, *, owner: int | None = None, tier: str = "standard") -> str:
    """Make the scanned file dual; return its recipe id. *owner* is the uid in the recipe."""
    row = row_of(lab, path)
    assert row is not None
    status = os.lstat(os.path.join(lab.context.roots[0].path, os.fsencode(path)))
    recipe_id = new_recipe_id(secrets.token_bytes(16))
    part = ChunkPart(Fingerprint(secrets.token_bytes(8)), Digest(secrets.token_bytes(32)), max(1, status.st_size))
    recipe = Recipe(
        recipe_id=recipe_id,
        root="root",
        path=os.fsencode(path),
        links=(),
        size=status.st_size,
        digest=Digest(secrets.token_bytes(32)),
        chunker="test",
        meta=FileMeta(status.st_mode, status.st_uid if owner is None else owner, status.st_gid, status.st_mtime_ns, 0),
        parts=(part,) if status.st_size else (),
    )
    with lab.catalog.write() as tx:
        data_no, data = _pending(tx, "data", tier, part)
        of_recipe = ChunkPart(Fingerprint(recipe_key(recipe_id)), part.digest, 99)
        recipes_no, block = _pending(tx, "recipes", tier, of_recipe)
        batch = StoredBatch(
            op_id=f"migrate:{recipe_id}",
            tier=tier,
            tiers=(tier,),
            pack_nos=(data_no, recipes_no),
            blocks=(NewBlock(data_no, data),) if status.st_size else (),
            recipe_blocks=(NewBlock(recipes_no, block),),
            files=(StoredFile(row.file_id, Identity.of(status), recipe),),
        )
        assert commit.commit_stored(tx, batch) == []
    return recipe_id


def release(lab: Lab, path: str | bytes, recipe_id: str) -> Path:
    """Put the placeholder in the file's place and make the row offline."""
    row = row_of(lab, path)
    assert row is not None
    place = lab.root / os.fsdecode(path)
    place.unlink()
    link(place, recipe_id)
    with lab.catalog.write() as tx:
        identity = Identity.of(os.lstat(place))
        assert commit.set_offline(tx, [PlacedFile(row.file_id, identity)], op_id=f"release:{recipe_id}")
    return place


def link(place: Path, recipe_id: str, *, uid: int | None = None, store_id: str = STORE_ID) -> Path:
    """Write a placeholder (or a forged one)."""
    place.symlink_to(os.fsdecode(format_target(store_id, recipe_id, os.fsencode(place.name))))
    if uid is not None:
        os.chown(place, uid, uid, follow_symlinks=False)
    return place


def _pending(tx: Tx, kind: str, tier: str, part: ChunkPart) -> tuple[int, Block]:
    block = Block(FRAMING, part.length, part.length, "raw", (part,))
    key = f"{kind}/{secrets.token_hex(8)}"
    row = PendingPack(key, kind, tier, "STANDARD", FRAMING + part.length, FRAMING, "crc32:0", "host:1:boot")
    return packs.add_pending(tx, row), block
