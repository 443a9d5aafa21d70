"""Reads recipe packs whole, proven by the hash in their keys and digests: what rebuild learns of files, they say.

Used by rebuild while it replays segments and when it looks for recipes that no segment names. Memory is bounded by one
pack and a few of its blocks.
"""

from collections import OrderedDict
from collections.abc import Sequence

from dedup.assemble import open_chunk
from dedup.errors import DedupError
from dedup.pack import content_hash, read_trailer
from dedup.recipe import decode_recipe
from dedup.recovery import recover
from dedup.values import Block, Recipe, Span
from tiering.errors import ObjectArchived, ObjectMissing
from tiering.jobs.packing import is_named_by
from tiering.stores.base import Store

BLOCKS_KEPT = 8  # decoded, a quarter of a MiB each: records of one commit follow the order of its pack


class RecipePacks:
    """A replayed.RecipePacks over a store. Raises what the store raises, but for missing objects."""

    def __init__(self, store: Store) -> None:
        """Read from *store*, nothing yet."""
        self._store = store
        self.problems: list[str] = []
        """What was found damaged, a sentence each."""
        self._key = ""
        self._data: memoryview | None = None
        self._blocks: tuple[Block, ...] = ()
        self._block_of: dict[bytes, tuple[int, int, int]] = {}
        """16 bytes of an id -> (index of its block, inner offset, length)."""
        self._opened: OrderedDict[int, bytes | None] = OrderedDict()

    def blocks(self, key: str) -> Sequence[Block] | None:
        """See replayed.RecipePacks; in the order of the pack's trailer, or by its headers if that is damaged."""
        if key != self._key:
            self._load(key)
        return None if self._data is None else self._blocks

    def recipes(self, key: str, keys: Sequence[bytes]) -> dict[bytes, Recipe]:
        """See replayed.RecipePacks."""
        if self.blocks(key) is None:
            return {}
        found: dict[bytes, Recipe] = {}
        for name in keys:
            place = self._block_of.get(name)
            raw = None if place is None else self._raw(place[0])
            if place is None or raw is None:
                continue
            _, inner_offset, length = place
            try:
                found[name] = decode_recipe(raw[inner_offset : inner_offset + length])
            except DedupError as error:
                self.problems.append(f"{key}: a recipe does not decode: {error}")
        return found

    def _load(self, key: str) -> None:
        self._key, self._data, self._blocks, self._block_of = key, None, (), {}
        self._opened.clear()
        try:
            data = memoryview(self._store.get(key))
        except (ObjectMissing, ObjectArchived):
            return

        def read(span: Span) -> bytes:
            return bytes(data[span.start : span.end])

        self._data = data
        try:
            if not is_named_by(key, content_hash(read, len(data))):
                self.problems.append(f"{key}: its trailer does not hash to the name in its key")
            self._blocks = tuple(read_trailer(read, len(data)))
        except DedupError as error:
            self.problems.append(f"{key}: its trailer is damaged: {error}")
            self._blocks = recover(read, len(data), kind="recipes").blocks
        for number, block in enumerate(self._blocks):
            for placed in block.placed():
                self._block_of[placed.chunk.fingerprint] = (number, placed.inner_offset, placed.chunk.length)

    def _raw(self, number: int) -> bytes | None:
        if number in self._opened:
            self._opened.move_to_end(number)
            return self._opened[number]
        block, data = self._blocks[number], self._data
        raw: bytes | None = None
        if data is not None:
            payload = data[block.offset : block.offset + block.stored_len]
            try:
                raw = open_chunk(block.codec, payload, block.raw_len, block.chunks[0].digest)
            except DedupError as error:
                self.problems.append(f"{self._key}, offset {block.offset}: {error}")
        self._opened[number] = raw
        if len(self._opened) > BLOCKS_KEPT:
            self._opened.popitem(last=False)
        return raw
