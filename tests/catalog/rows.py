"""Short ways to make catalog rows in tests: files, packs with made-up chunks, whole stored batches."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from dedup.values import ChunkPart, Digest, FileMeta, Fingerprint, HolePart, PackEntry, Recipe, RecipeId
from tiering.catalog import commit, files, packs, roots
from tiering.catalog.transaction import Tx
from tiering.catalog.values import NewChunk, NewFile, PendingPack, Rejected, StoredBatch, StoredFile

TIER = "standard"
FRAMING = 64


@dataclass(frozen=True)
class Seen:
    """An identity as a stat would give it."""

    ino: int
    size: int
    mtime_ns: int = 5
    ctime_ns: int = 6
    dev: int = 1


def add_root(tx: Tx, name: str = "data") -> int:
    return roots.add(tx, name=name, path=b"/" + name.encode(), marker="marker-" + name)


def new_file(root_id: int, path: bytes, seen: Seen, *, nlink: int = 1) -> NewFile:
    folder, slash, name = path.rpartition(b"/")
    return NewFile(
        root_id=root_id,
        dir=folder + slash,
        name=name,
        size=seen.size,
        mtime_ns=seen.mtime_ns,
        ctime_ns=seen.ctime_ns,
        dev=seen.dev,
        ino=seen.ino,
        nlink=nlink,
        mode=0o100644,
        uid=1000,
        gid=1000,
        last_access_ns=None,
        access_quality="none",
    )


def add_file(tx: Tx, root_id: int, path: bytes, seen: Seen, *, nlink: int = 1) -> int:
    return files.add_new(tx, [new_file(root_id, path, seen, nlink=nlink)], op_id=f"scan:{path!r}:{seen.ino}")[0]


def name_of(content: str) -> tuple[Fingerprint, Digest]:
    """A chunk's name from a word that stands for its content."""
    return (
        Fingerprint(hashlib.sha256(b"f" + content.encode()).digest()[:16]),
        Digest(hashlib.sha256(b"d" + content.encode()).digest()),
    )


def raw_len(content: str) -> int:
    return 10 * len(content) + 7


def recipe_id(number: int) -> RecipeId:
    return RecipeId(f"{number:026d}")


def recipe_of(number: int, contents: Sequence[str], hole: int = 0) -> Recipe:
    parts: list[ChunkPart | HolePart] = [ChunkPart(*name_of(word), raw_len(word)) for word in contents]
    if hole:
        parts.append(HolePart(hole))
    size = sum(part.length for part in parts)
    return Recipe(
        recipe_id=recipe_id(number),
        root="data",
        path=b"",
        links=(),
        size=size,
        digest=Digest(hashlib.sha256(str(list(contents)).encode()).digest()),
        chunker="test",
        meta=FileMeta(0o100644, 1000, 1000, 5, 5),
        parts=tuple(parts),
    )


@dataclass
class Storage:
    """Makes pending packs and batches with numbers of its own."""

    tx: Tx
    number: int = 0

    def pending(self, contents: Sequence[str], *, kind: str = "data", tier: str = TIER) -> tuple[int, list[PackEntry]]:
        """Add a pending pack holding these chunks (or recipes); return its number and entries."""
        self.number += 1
        entries, offset = [], FRAMING
        for word in contents:
            stored = raw_len(word) - 3
            entries.append(PackEntry(*name_of(word), raw_len(word), stored, offset, "raw"))
            offset += stored
        key = f"{kind}/{self.number:04d}-{self.tx.now_ns}"
        row = PendingPack(key, kind, tier, "STANDARD", offset, FRAMING, "crc32:0", "host:1:boot")
        return packs.add_pending(self.tx, row), entries

    def store(
        self,
        items: Sequence[tuple[int, Recipe]],
        new: Sequence[str],
        *,
        tier: str = TIER,
        tiers: Sequence[str] = (TIER,),
        op_id: str = "",
        ino: int = 0,
    ) -> list[Rejected]:
        """Commit (file id, recipe) pairs whose chunks *new* are in a fresh pack and whose others are reused."""
        data_no, entries = self.pending(new, tier=tier)
        pack_nos = (data_no,)
        recipes_no, places = self.pending([f"recipe {recipe.recipe_id}" for _, recipe in items], kind="recipes")
        rows = files.by_ids(self.tx, [file_id for file_id, _ in items])
        stored = []
        for (file_id, recipe), entry in zip(items, places, strict=True):
            seen = Seen(ino or (rows[file_id].ino if file_id in rows else 1), recipe.size)
            stored.append(StoredFile(file_id, seen, recipe, entry, recipes_no))
        batch = StoredBatch(
            op_id=op_id or f"migrate:{self.number}:{self.tx.now_ns}",
            tier=tier,
            tiers=tuple(tiers),
            pack_nos=(*pack_nos, recipes_no),
            chunks=tuple(NewChunk(data_no, entry) for entry in entries),
            files=tuple(stored),
        )
        return commit.commit_stored(self.tx, batch)
