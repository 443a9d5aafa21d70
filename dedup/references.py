"""Which tensor of another file a tensor is coded against: the same tensor one checkpoint later, in the base model, or
the 32-bit master weights that it is the cast of.

Used by migrate. A Shelf knows the models that were stored lately; a FileReferences answers for one file while it is
cut, and becomes a model on the shelf afterwards. Nothing here decides whether coding against a reference pays:
dedup.codecs.encode_against() does, on the bytes. What is offered is never newer than wanted: within a series of
checkpoints the newest is kept whole and the older ones are coded against the next newer, so that what is read most
needs nothing else.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

import numpy as np

from dedup.fingerprint import Buffer, digest
from dedup.formats.series import is_kept_whole, series_key, step_of
from dedup.ingest import Piece
from dedup.values import MAX_BASE_DEPTH, ChunkPart, Dependants, Digest, Fingerprint, Region

SMALLEST_BYTES = 16 << 10
"""A shorter piece is not worth a block, and a base, of its own."""
DEPTH_OF_DELTAS = MAX_BASE_DEPTH - 1
"""Deltas leave one link for a cast upon them."""
MODELS_KEPT = 64
COMPARED_MODELS = 6
COMPARED_TENSORS = 3
SAMPLE_BYTES = 16 << 10
CAST_ELEMENTS = 64
# A model counts as related if it has at least this part of a file's tensor bytes under the same names.
RELATED_SHARE = 4

ReadAt = Callable[[int, int], bytes | None]
"""Returns *length* bytes from *offset* on, or None if they cannot be had (any more)."""

_DELTA_DTYPES = {"bf16": np.uint16, "f16": np.uint16, "f32": np.uint32, "f64": np.uint64}
_BYTES_OF = {"bf16": 2, "f16": 2, "f32": 4}


class Candidate(NamedTuple):
    """A stored chunk to code another one against."""

    digest: Digest
    fingerprint: Fingerprint
    element: str
    depth: int
    """Links from it to a chunk that needs no base; 0 for one that needs none itself."""
    read: Callable[[], bytes | None]
    """Gives its raw bytes, verified; None if they cannot be had any more."""


class TensorKey(NamedTuple):
    """What pairs two tensors."""

    name: str
    element: str
    length: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class StoredPiece:
    """One chunk of a stored tensor."""

    chunk: ChunkPart
    depth: int


@dataclass(slots=True)
class StoredTensor:
    """A tensor and the chunks it was cut into."""

    offset: int
    """In its file."""
    element: str
    pieces: dict[int, StoredPiece] = field(default_factory=dict)
    """By their first byte, counted from the tensor's."""


@dataclass(slots=True)
class Model:
    """A stored file with named tensors whose bytes can still be read."""

    path: bytes
    read_at: ReadAt
    tensors: dict[TensorKey, StoredTensor] = field(default_factory=dict)
    casts: dict[tuple[str, int, bytes], TensorKey] = field(default_factory=dict)
    """(element, number of elements, first elements cast to it) -> the 32-bit tensor that casts to them."""

    def enter(self, region: Region, start: int, piece: StoredPiece, head: Buffer) -> None:
        """Note the chunk that begins at *start* of the tensor *region*; *head* is how its bytes begin."""
        key = key_of(region)
        tensor = self.tensors.get(key)
        if tensor is None:
            tensor = self.tensors[key] = StoredTensor(region.span.start, region.element)
        elif tensor.offset != region.span.start:
            return  # a second tensor of the same name, kind and length: the first one stands for both
        tensor.pieces[start] = piece
        if region.element == "f32" and start == 0:
            _note_casts(self, key, bytes(head[: 4 * CAST_ELEMENTS]))

    def candidate(self, tensor: StoredTensor, start: int) -> Candidate | None:
        """Return the chunk of *tensor* that begins at *start*."""
        piece = tensor.pieces.get(start)
        if piece is None:
            return None
        chunk = piece.chunk

        def read() -> bytes | None:
            data = self.read_at(tensor.offset + start, chunk.length)
            return data if data is not None and digest(data) == chunk.digest else None

        return Candidate(chunk.digest, chunk.fingerprint, tensor.element, piece.depth, read)


class Shelf:
    """The models stored lately, newest last. Thread-safe; memory is bounded by MODELS_KEPT."""

    def __init__(self) -> None:
        """Know none."""
        self._models: OrderedDict[bytes, Model] = OrderedDict()
        self._depths: dict[Digest, int] = {}
        self._dependants: dict[Digest, Dependants] = {}
        self._lock = Lock()

    def put(self, model: Model) -> None:
        """Offer *model* from now on."""
        with self._lock:
            self._models.pop(model.path, None)
            self._models[model.path] = model
            for tensor in model.tensors.values():
                self._depths.update((piece.chunk.digest, piece.depth) for piece in tensor.pieces.values())
            while len(self._models) > MODELS_KEPT:
                _, old = self._models.popitem(last=False)
                for tensor in old.tensors.values():
                    for piece in tensor.pieces.values():
                        self._depths.pop(piece.chunk.digest, None)

    def knows(self, path: bytes) -> bool:
        """Return whether the model of that path is on the shelf."""
        with self._lock:
            return path in self._models

    def note_dependants(self, dependants: Mapping[Digest, Dependants]) -> None:
        """Note what stands upon chunks that are stored: it comes along when a chunk gets a base."""
        with self._lock:
            self._dependants.update(dependants)

    def dependants_of(self, chunk: Digest) -> Dependants | None:
        """Return what stands upon a chunk; None for an unknown one."""
        with self._lock:
            return self._dependants.get(chunk)

    def depth_of(self, chunk: Digest) -> int:
        """Return the depth of a chunk that was stored before; of an unknown one the greatest, so that nothing is
        built upon it.
        """
        with self._lock:
            return self._depths.get(chunk, MAX_BASE_DEPTH)

    def for_file(self, path: bytes, regions: Sequence[Region], read_at: ReadAt) -> "FileReferences":
        """Return what a file of these *regions* may be coded against; *read_at* reads the file itself."""
        with self._lock:
            models = list(self._models.values())
        named = {key_of(region): region for region in regions if region.kind == "tensor" and region.name}
        nearest = None if is_kept_whole(path) else _nearest(path, named, models, read_at)
        casts = _casts(named, models, read_at)
        return FileReferences(self, Model(path, read_at), nearest, casts)


class FileReferences:
    """Answers for one file while it is cut; one thread at a time."""

    def __init__(
        self, shelf: Shelf, model: Model, nearest: Model | None, casts: Mapping[int, tuple[Model, StoredTensor]]
    ) -> None:
        """Keep what Shelf.for_file() chose; *casts* is by the region's first byte."""
        self.model = model
        """What the file is as a model, when all of it has been seen."""
        self._shelf = shelf
        self._nearest = nearest
        self._casts = casts

    def of(self, piece: Piece) -> Candidate | None:
        """Return what *piece*, a new one, may be coded against."""
        region = piece.region
        if not region.name or piece.chunk.length < SMALLEST_BYTES:
            return None
        if region.span.start in self._casts:
            model, tensor = self._casts[region.span.start]
            # Pieces are cut by elements: the n-th of the cast is the cast of the n-th, which is twice as long.
            found = model.candidate(tensor, piece.start * _BYTES_OF[tensor.element] // _BYTES_OF[region.element])
            if found is not None and found.depth < MAX_BASE_DEPTH:
                return found
        if self._nearest is None:
            return None
        tensor_there = self._nearest.tensors.get(key_of(region))
        found = None if tensor_there is None else self._nearest.candidate(tensor_there, piece.start)
        return found if found is not None and found.depth < DEPTH_OF_DELTAS else None

    def again(self, piece: Piece) -> Candidate | None:
        """Return what *piece*, stored without a base, may be coded against now, with all that stands upon it.

        Nothing that has the bytes of one of those: a run that went back to earlier weights would close the chain.
        """
        chunk = piece.chunk.digest
        found = self.of(piece) if self._shelf.depth_of(chunk) == 0 else None
        above = self._shelf.dependants_of(chunk)
        if found is None or above is None or found.digest in above.digests:
            return None
        return found if found.depth + 1 + above.height <= DEPTH_OF_DELTAS else None

    def seen(self, piece: Piece, *, is_new: bool, base: Candidate | None) -> None:
        """Note every piece of the file; *base* is what it is to be coded against, should that pay."""
        region = piece.region
        if not region.name:
            return
        depth = 0 if is_new and base is None else self._shelf.depth_of(piece.chunk.digest)
        if is_new and base is not None:
            depth = base.depth + 1
        self.model.enter(region, piece.start, StoredPiece(piece.chunk, depth), piece.data)


def key_of(region: Region) -> TensorKey:
    """Return what pairs *region* with tensors of other files."""
    return TensorKey(region.name, region.element, region.span.length)


def in_order(paths: Iterable[tuple[bytes, int]]) -> list[bytes]:
    """Return the paths of (path, mtime_ns) in the order in which models are best stored.

    32-bit checkpoints before what may be cast from them; then what has no step, oldest first, since a base is older
    than its fine-tunes; then each series, newest first.
    """
    return [path for path, _ in sorted(paths, key=lambda item: _rank(*item))]


def _rank(path: bytes, mtime_ns: int) -> tuple[object, ...]:
    step = step_of(path)
    is_export = not path.lower().endswith((b".pt", b".pth", b".ckpt", b".bin"))
    if step is None:
        return (is_export, 0, b"", mtime_ns, path)
    return (is_export, 1, series_key(path), -step, path)


def _nearest(path: bytes, named: Mapping[TensorKey, Region], models: Sequence[Model], read_at: ReadAt) -> Model | None:
    """Return the model to code against: of the same series the next newer one, else the one that differs least."""
    floats = {key: region for key, region in named.items() if key.element in _DELTA_DTYPES}
    total = sum(key.length for key in floats)
    if not total:
        return None
    step, series = step_of(path), series_key(path)
    related = []
    for model in models:
        shared = sum(key.length for key in floats if key in model.tensors)
        if model.path != path and shared * RELATED_SHARE >= total:
            related.append(model)
    if step is not None:
        in_series = [model for model in related if series_key(model.path) == series]
        newer = [model for model in in_series if (step_of(model.path) or 0) > step]
        if newer:
            return min(newer, key=lambda model: step_of(model.path) or 0)
        if in_series:
            return None  # the newest: kept whole
    related = related[-COMPARED_MODELS:]
    if len(related) < 2:
        return related[0] if related else None
    return min(related, key=lambda model: _distance(floats, model, read_at))


def _distance(floats: Mapping[TensorKey, Region], model: Model, read_at: ReadAt) -> float:
    """Return the mean bits by which samples of the largest shared tensors differ; infinite if none can be read."""
    shared = sorted((key for key in floats if key in model.tensors), key=lambda key: -key.length)
    bits = []
    for key in shared[:COMPARED_TENSORS]:
        length = min(SAMPLE_BYTES, key.length) & ~7
        at = (key.length - length) // 2 & ~7
        ours, theirs = (
            read_at(floats[key].span.start + at, length),
            model.read_at(model.tensors[key].offset + at, length),
        )
        if ours is None or theirs is None or len(ours) != length or len(theirs) != length or not length:
            continue
        dtype = _DELTA_DTYPES[key.element]
        difference = np.frombuffer(ours, dtype) - np.frombuffer(theirs, dtype)
        size = np.minimum(difference, np.zeros_like(difference) - difference)  # modulo 2^n: the shorter way round
        bits.append(float(np.log2(size.astype(np.float64) + 1).mean()))
    return sum(bits) / len(bits) if bits else float("inf")


def _casts(
    named: Mapping[TensorKey, Region], models: Sequence[Model], read_at: ReadAt
) -> dict[int, tuple[Model, StoredTensor]]:
    found: dict[int, tuple[Model, StoredTensor]] = {}
    with_casts = [model for model in reversed(models) if model.casts]
    if not with_casts:
        return found
    for key, region in named.items():
        width = _BYTES_OF.get(key.element, 0)
        if width != 2 or key.length < SMALLEST_BYTES:
            continue
        head = read_at(region.span.start, width * CAST_ELEMENTS)
        if head is None:
            continue
        sign = (key.element, key.length // width, head)
        for model in with_casts:
            if sign in model.casts:
                found[region.span.start] = (model, model.tensors[model.casts[sign]])
                break
    return found


def _note_casts(model: Model, key: TensorKey, head: bytes) -> None:
    """Enter a 32-bit tensor under its first elements as bf16 and as f16, rounded to nearest, ties to even."""
    if len(head) < 4 * CAST_ELEMENTS:
        return
    bits = np.frombuffer(head, np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    with np.errstate(over="ignore", invalid="ignore"):
        half = np.frombuffer(head, np.float32).astype(np.float16)
    count = key.length // 4
    model.casts["bf16", count, rounded.astype(np.uint16).tobytes()] = key
    model.casts["f16", count, half.tobytes()] = key
