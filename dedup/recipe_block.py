"""Recipes of many files decoded at once: the values that decode_recipe() gives, at a third of its time.

Used by restore and recall, which read the recipes of a block together. Where the numbers of the recipes end is found in
one pass over the block; what is left to interpret for each is cutting out its texts. Files with holes, pages, further
names or attributes, and whatever is not quite in order, are left to decode_recipe().
"""

from collections.abc import Iterator, Sequence
from itertools import compress, pairwise, repeat

import numpy as np
from numpy.typing import NDArray

from dedup.errors import DedupError
from dedup.fingerprint import DIGEST_LEN, FINGERPRINT_LEN
from dedup.layout import MAX_STORED_LEN, RECIPE_KEY_LEN
from dedup.recipe import FIXED, MAGIC, MAX_TEXT, SINGLE, STRAIGHT, VERSION, Head, decode_recipe, read_head
from dedup.recipe_id import new_recipe_id
from dedup.values import ChunkPart, FileMeta, Recipe, made_of

_Numbers = NDArray[np.int64]
_Flags = NDArray[np.bool_]

_NS = 10**9
_ENOUGH = 8  # below it setting up the columns costs more than they save
_STAMPS = np.arange(5)  # mtime in s and ns, atime likewise, size
_SECONDS = 1 << 33  # zigzagged: below it neither time leaves 64 bits of ns
_LONGEST = 9  # bytes of a number below 2**63
_LEAD = np.frombuffer(MAGIC + bytes([VERSION]), dtype=np.uint8)
_KEY = _LEAD.size + 1
_STORED = _KEY + RECIPE_KEY_LEN
_CHUNK_LEN = FINGERPRINT_LEN + DIGEST_LEN
_NO_HEAD: Head = ((0,) * 5, ("",) * 4)


def decode_recipes(block: bytes, spans: Sequence[tuple[int, int]]) -> list[Recipe | DedupError]:
    """Return decode_recipe() of each of *spans*, (start, end) in *block*, or the error that it raises."""
    found: dict[int, Recipe] = {}
    long = [number for number, (start, end) in enumerate(spans) if start + FIXED.size < end <= len(block)]
    if len(long) >= _ENOUGH:
        columns = _Columns(block, [spans[number] for number in long])
        if columns.is_sound.any():
            found = dict(zip(compress(long, columns.is_sound), columns.recipes(), strict=True))
    return [found.get(number) or _alone(block[slice(*span)]) for number, span in enumerate(spans)]


def _alone(data: bytes) -> Recipe | DedupError:
    try:
        return decode_recipe(data)
    except DedupError as error:
        return error


class _Endings:
    """The variable-length numbers of a block: each ends at a byte below 0x80."""

    def __init__(self, block: bytes) -> None:
        self._bytes = np.frombuffer(block, dtype=np.uint8)
        # Numbers that would end behind the block end where no recipe of it does.
        self._ends = np.append(np.flatnonzero(self._bytes < 0x80), len(block))

    def at(self, places: _Numbers) -> _Numbers:
        """Return the ending that is next at or behind each place."""
        return np.searchsorted(self._ends, places)

    def end(self, which: _Numbers) -> _Numbers:
        """Return the place behind each ending."""
        return self._ends[np.minimum(which, len(self._ends) - 1)] + 1

    def values(self, starts: _Numbers, ends: _Numbers) -> _Numbers:
        """Return the numbers between; -1 for one that is beyond 63 bits."""
        widths = ends - starts
        values = np.zeros(starts.shape, dtype=np.int64)
        for place in range(min(int(widths.max(initial=0)), _LONGEST)):
            digits = self._bytes[np.minimum(starts + place, len(self._bytes) - 1)].astype(np.int64) & 0x7F
            values |= np.where(widths > place, digits << 7 * place, 0)
        values[widths > _LONGEST] = -1
        return values


class _Columns:
    """Recipes of a block, each longer than its fixed part, as columns of places and numbers. What stands there for one
    that is not sound means nothing.
    """

    def __init__(self, block: bytes, spans: Sequence[tuple[int, int]]) -> None:
        """Read all but the texts."""
        self._block = block
        self._numbers = _Endings(block)
        begins, self._ends = np.array(spans, dtype=np.int64).reshape(-1, 2).T
        self._begins: list[int] = begins.tolist()
        fixed = np.frombuffer(block, dtype=np.uint8)[begins[:, None] + np.arange(FIXED.size)]
        self._flags = fixed[:, _LEAD.size]
        self._stored = fixed[:, _STORED:].copy().view("<i8").ravel()
        self.is_sound: _Flags = (fixed[:, : _LEAD.size] == _LEAD).all(axis=1)
        self._heads, behind = self._read_heads()
        self._need(behind > 0)
        self._read_numbers(behind)
        self._read_chunks(self._digests + DIGEST_LEN)

    def recipes(self) -> Iterator[Recipe]:
        """Yield those that are sound."""
        block, sound = self._block, np.flatnonzero(self.is_sound)
        begins = [self._begins[number] for number in sound.tolist()]
        numbers, names = zip(*[self._heads[number] for number in sound.tolist()], strict=True)
        roots, chunkers, users, groups = zip(*names, strict=True)
        modes, uids, gids, _, _ = zip(*numbers, strict=True)
        times = self._mtimes[sound].tolist(), self._atimes[sound].tolist()
        metas = made_of(FileMeta, (modes, uids, gids, *times, repeat(()), users, groups))
        spans = zip(self._paths[sound].tolist(), self._stamps[sound].tolist(), strict=True)
        paths = [block[start:end] for start, end in spans]
        digests = _cut(block, self._digests[sound], DIGEST_LEN)
        sizes: list[int] = self._sizes[sound].tolist()
        parts = self._parts(sound, digests, sizes)
        ids = [new_recipe_id(block[begin + _KEY : begin + _STORED]) for begin in begins]
        stored = self._stored[sound].tolist()
        columns = (ids, roots, paths, repeat(()), sizes, digests, chunkers, metas, parts, stored)
        return made_of(Recipe, columns)

    def _parts(self, sound: _Numbers, digests: list[bytes], sizes: list[int]) -> Iterator[tuple[ChunkPart, ...]]:
        """Return the parts of the sound ones; a file of one chunk shares its digest with it."""
        is_single = self._flags[sound] == SINGLE
        names = _cut(self._block, self._names[sound[is_single]], FINGERPRINT_LEN)
        of_singles = compress(digests, is_single), compress(sizes, is_single)
        singles = zip(made_of(ChunkPart, (names, *of_singles)), strict=True)
        counts = np.where(is_single, 0, self._counts[sound])
        chunks = self._chunks(self._names[sound], counts, self._lengths[np.repeat(self.is_sound, self._counts)])
        cuts = pairwise([0, *np.cumsum(counts[~is_single]).tolist()])
        several = (tuple(chunks[start:end]) for start, end in cuts)
        return (next(singles) if single else next(several) for single in is_single.tolist())

    def _chunks(self, names: _Numbers, counts: _Numbers, lengths: _Numbers) -> list[ChunkPart]:
        """Return the chunks of files, those of each behind one another: their fingerprints stand first, then their
        digests.
        """
        nth = _nth(counts)
        fingerprints = np.repeat(names, counts) + FINGERPRINT_LEN * nth
        digests = np.repeat(names + FINGERPRINT_LEN * counts, counts) + DIGEST_LEN * nth
        texts = _cut(self._block, fingerprints, FINGERPRINT_LEN), _cut(self._block, digests, DIGEST_LEN)
        return list(made_of(ChunkPart, (*texts, lengths.tolist())))

    def _read_heads(self) -> tuple[list[Head], _Numbers]:
        """Return what stands first of each, and where it ends: 0 where nothing plain does."""
        block, known, head, is_plain = self._block, b"", _NO_HEAD, False
        heads, behind = [], []
        for begin in self._begins:
            at = begin + FIXED.size
            if not (known and block.startswith(known, at)):
                try:
                    head, end = read_head(block, at)
                except DedupError:
                    head, end = _NO_HEAD, at
                known, is_plain = block[at:end], end > at and not any(head[0][3:])
            heads.append(head)
            behind.append(at + len(known) if is_plain else 0)
        return heads, np.array(behind, dtype=np.int64)

    def _read_numbers(self, behind: _Numbers) -> None:
        """Read on from there: the length of the path, the times and the size."""
        numbers = self._numbers
        self._paths = numbers.end(numbers.at(behind))
        self._stamps = self._paths + self._checked(numbers.values(behind, self._paths), MAX_TEXT)
        ends = numbers.end(numbers.at(self._stamps)[:, None] + _STAMPS)
        starts = np.column_stack([self._stamps, ends[:, :-1]])
        mtime_s, mtime_ns, behind_s, atime_ns, self._sizes = numbers.values(starts, ends).T
        seconds = _unzigzag(self._checked(mtime_s, _SECONDS))
        self._mtimes = seconds * _NS + self._checked(mtime_ns, _NS - 1)
        seconds = seconds + _unzigzag(self._checked(behind_s, _SECONDS))
        self._atimes = seconds * _NS + self._checked(atime_ns, _NS - 1)
        self._digests = ends[:, -1]

    def _read_chunks(self, at: _Numbers) -> None:
        """Read the lengths of the chunks from there on, and hold all against the sizes and the ends."""
        numbers, is_single = self._numbers, self._flags == SINGLE
        first = numbers.at(at)
        begins = numbers.end(first)
        counts = numbers.values(at, begins)
        is_known = (self._flags == STRAIGHT) & (counts >= 0) & (counts <= (self._ends - begins) // (1 + _CHUNK_LEN))
        self._need(is_single | is_known)
        self._counts = counts = np.where(is_known, counts, 0)
        which = np.repeat(first + 1, counts) + _nth(counts)
        lengths = numbers.values(numbers.end(which - 1), numbers.end(which))
        is_wrong = (lengths <= 0) | (lengths > MAX_STORED_LEN)
        self._lengths = np.where(is_wrong, 0, lengths)
        self._need(_sums(is_wrong, counts) == 0)
        self._need(np.where(is_single, self._sizes, _sums(self._lengths, counts)) == self._sizes)
        self._need(~is_single | (self._sizes > 0) & (self._sizes <= MAX_STORED_LEN))
        self._names = np.where(is_single, at, numbers.end(first + counts))
        self._need(self._names + np.where(is_single, FINGERPRINT_LEN, counts * _CHUNK_LEN) == self._ends)

    def _checked(self, numbers: _Numbers, most: int) -> _Numbers:
        """Return *numbers*, with 0 for one that is not in 0 .. *most*: that recipe is not sound."""
        is_right = (numbers >= 0) & (numbers <= most)
        self._need(is_right)
        return np.where(is_right, numbers, 0)

    def _need(self, is_so: _Flags) -> None:
        self.is_sound &= is_so


def _cut(block: bytes, places: _Numbers, length: int) -> list[bytes]:
    return [block[at : at + length] for at in places.tolist()]


def _nth(counts: _Numbers) -> _Numbers:
    """Return 0, 1, 2 ... for as many as each has."""
    upto = np.cumsum(counts)
    return np.arange(upto[-1] if len(upto) else 0) - np.repeat(upto - counts, counts)


def _sums(values: NDArray[np.int64 | np.bool_], counts: _Numbers) -> _Numbers:
    """Return the sum of what each has of *values*."""
    upto = np.append(0, np.cumsum(values))[np.cumsum(counts)]
    return np.diff(upto, prepend=0)


def _unzigzag(numbers: _Numbers) -> _Numbers:
    """See dedup.varint."""
    return numbers >> 1 ^ -(numbers & 1)
