"""Short ways to make catalog rows in tests: files, packs with made-up chunks, whole stored batches."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dedup.recipe_id import recipe_key
from dedup.values import Block, ChunkPart, Digest, FileMeta, Fingerprint, HolePart, Recipe, RecipeId
from tiering.catalog import commit, files, packs, roots
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import NewBlock, NewFile, PendingPack, Rejected, StoredBatch, StoredFile

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
        Fingerprint(hashlib.sha256(b"f" + content.encode()).digest()[:8]),
        Digest(hashlib.sha256(b"d" + content.encode()).digest()),
    )


def raw_len(content: str) -> int:
    return 10 * len(content) + 7


def recipe_id(number: int) -> RecipeId:
    return RecipeId(f"{number:026d}")


def recipe_of(number: int, contents: Sequence[str], hole: int = 0, path: bytes = b"") -> Recipe:
    parts: list[ChunkPart | HolePart] = [ChunkPart(*name_of(word), raw_len(word)) for word in contents]
    if hole:
        parts.append(HolePart(hole))
    size = sum(part.length for part in parts)
    return Recipe(
        recipe_id=recipe_id(number),
        root="data",
        path=path,
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

    def pending(
        self, contents: Sequence[str], *, tier: str = TIER, coded: Mapping[str, str] | None = None
    ) -> tuple[int, list[Block]]:
        """Add a pending data pack holding these chunks, two to a block; return its number and blocks.

        A word of the form "delta<base" is coded against the chunk of the word "base", and so are those of *coded*.
        """
        coded = coded or {}
        held: list[list[str]] = []
        for word in contents:
            if held and len(held[-1]) < 2 and not coded and "<" not in word + held[-1][0]:
                held[-1].append(word)
            else:
                held.append([word])
        blocks: list[Block] = []
        offset = FRAMING
        for words in held:
            parts = tuple(ChunkPart(*name_of(word), raw_len(word)) for word in words)
            raw = sum(part.length for part in parts)
            of_base = coded.get(words[0], words[0].partition("<")[2])
            base = name_of(of_base)[1] if of_base else None
            stored = raw - 3 * len(words)
            blocks.append(Block(offset, stored, raw, "raw" if base is None else "delta", parts, base))
            offset += stored
        return self._add("data", tier, offset), blocks

    def pending_recipes(self, found: Sequence[Recipe]) -> tuple[int, list[Block]]:
        """Add a pending pack of recipes, three to a block."""
        blocks: list[Block] = []
        offset = FRAMING
        for batch in batches(found, 3):
            digest = Digest(hashlib.sha256(str([recipe.recipe_id for recipe in batch]).encode()).digest())
            parts = tuple(ChunkPart(Fingerprint(recipe_key(recipe.recipe_id)), digest, 100) for recipe in batch)
            first = 3 * len(blocks)
            blocks.append(Block(offset, 70 * len(batch) + 1, 100 * len(batch), "raw", parts, first=first))
            offset += 70 * len(batch) + 1
        number = self._add("recipes", TIER, offset)
        row = packs.get(self.tx, number)
        assert row is not None
        MADE[row.key] = (tuple(blocks), {recipe_key(recipe.recipe_id): recipe for recipe in found})
        return number, blocks

    def _add(self, kind: str, tier: str, size: int) -> int:
        self.number += 1
        key = f"{kind}/{self.number:04d}-{self.tx.now_ns}"
        row = PendingPack(key, kind, tier, "STANDARD", size, FRAMING, "crc32:0", "host:1:boot")
        return packs.add_pending(self.tx, row)

    def store(
        self,
        items: Sequence[tuple[int, Recipe]],
        new: Sequence[str],
        *,
        tier: str = TIER,
        tiers: Sequence[str] = (TIER,),
        op_id: str = "",
        ino: int = 0,
        coded: Mapping[str, str] | None = None,
    ) -> list[Rejected]:
        """Commit (file id, recipe) pairs whose chunks *new* are in a fresh pack and whose others are reused."""
        data_no, blocks = self.pending(new, tier=tier, coded=coded)
        recipes_no, recipe_blocks = self.pending_recipes([recipe for _, recipe in items])
        rows = files.by_ids(self.tx, [file_id for file_id, _ in items])
        stored = []
        for file_id, recipe in items:
            seen = Seen(ino or (rows[file_id].ino if file_id in rows else 1), recipe.size)
            stored.append(StoredFile(file_id, seen, recipe))
        batch = StoredBatch(
            op_id=op_id or f"migrate:{self.number}:{self.tx.now_ns}",
            tier=tier,
            tiers=tuple(tiers),
            pack_nos=(data_no, recipes_no),
            blocks=tuple(
                NewBlock(data_no, block, _base_name(block, [*new, *(coded or {}).values()])) for block in blocks
            ),
            recipe_blocks=tuple(NewBlock(recipes_no, block) for block in recipe_blocks),
            files=tuple(stored),
        )
        return commit.commit_stored(self.tx, batch)


def _base_name(block: Block, words: Sequence[str]) -> Fingerprint | None:
    names = [name_of(name) for word in words for name in (word, word.partition("<")[2])]
    return next((fingerprint for fingerprint, digest in names if digest == block.base), None)


MADE: dict[str, tuple[tuple[Block, ...], dict[bytes, Recipe]]] = {}
"""Key of a recipe pack made here -> its blocks and recipes."""


class Packed:
    """Reads the recipe packs that were made here, as if they stood in a store."""

    def blocks(self, key: str) -> tuple[Block, ...] | None:
        return MADE[key][0] if key in MADE else None

    def recipes(self, key: str, keys: Sequence[bytes]) -> dict[bytes, Recipe]:
        return {name: MADE[key][1][name] for name in keys}
