"""Which stored tensor another is coded against: the next newer checkpoint, the nearest sibling, the master weights."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from dedup.fingerprint import digest, fingerprint
from dedup.ingest import Piece
from dedup.references import DEPTH_OF_DELTAS, MODELS_KEPT, Candidate, Shelf, in_order
from dedup.values import MAX_BASE_DEPTH, ChunkPart, Region, Span

PIECE_ELEMENTS = 1 << 14
WIDTHS = {"bf16": 2, "f16": 2, "f32": 4}


class Stored:
    """A file of tensors that goes over the shelf as migrate would send it."""

    def __init__(self, path: bytes, tensors: Sequence[tuple[str, str, bytes]]) -> None:
        self.path = path
        self.data = b"".join(data for _, _, data in tensors)
        self.regions: list[Region] = []
        at = 0
        for name, element, data in tensors:
            self.regions.append(Region(Span(at, len(data)), "tensor", element, name))
            at += len(data)
        self.is_there = True
        self.found: dict[tuple[str, int], Candidate | None] = {}

    def read_at(self, offset: int, length: int) -> bytes | None:
        return self.data[offset : offset + length] if self.is_there else None

    def store(self, shelf: Shelf, *, known: bool = False) -> "Stored":
        """Ask for each piece, then stand on the shelf."""
        references = shelf.for_file(self.path, self.regions, self.read_at)
        for region in self.regions:
            step = PIECE_ELEMENTS * WIDTHS[region.element]
            for start in range(0, region.span.length, step):
                piece = self.piece(region, start, step)
                base = None if known else references.of(piece)
                self.found[region.name, start] = base
                references.seen(piece, is_new=not known, base=base)
        shelf.put(references.model)
        return self

    def piece(self, region: Region, start: int, step: int) -> Piece:
        at = region.span.start + start
        data = self.data[at : min(at + step, region.span.end)]
        return Piece(ChunkPart(fingerprint(data), digest(data), len(data)), data, region, start, self.path)


def weights(seed: int, count: int = 40_000) -> npt.NDArray[np.float32]:
    """Normally distributed, as weights are."""
    return np.random.default_rng(seed).normal(0, 0.02, count).astype(np.float32)


def bf16(values: npt.NDArray[np.float32]) -> bytes:
    """Rounded to nearest, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).tobytes()


def model(path: bytes, values: npt.NDArray[np.float32]) -> Stored:
    """A bf16 model of one tensor."""
    return Stored(path, [("w", "bf16", bf16(values))])


def test_an_older_checkpoint_is_coded_against_the_next_newer_one() -> None:
    shelf, base = Shelf(), weights(1)
    for step in (30, 20, 10):
        model(b"run/model_%05d.safetensors" % step, base * step).store(shelf)
    again = model(b"run/model_00015.safetensors", base * 15).store(shelf)
    found = again.found["w", 0]
    assert found is not None
    data = found.read()
    assert data == bf16(base * 20)[: PIECE_ELEMENTS * 2]
    assert (found.digest, found.depth) == (digest(data), 1)


def test_the_newest_of_a_series_and_the_best_are_kept_whole() -> None:
    shelf, base = Shelf(), weights(1)
    model(b"run/model_00010.safetensors", base).store(shelf)
    assert set(model(b"run/model_00020.safetensors", base * 2).store(shelf).found.values()) == {None}
    assert set(model(b"run/best.safetensors", base * 3).store(shelf).found.values()) == {None}


def test_chains_are_bounded_and_leave_a_link_for_a_cast() -> None:
    shelf, base = Shelf(), weights(1)
    depths = []
    for step in range(40, 0, -2):
        found = model(b"run/model_%05d.safetensors" % step, base * step).store(shelf).found["w", 0]
        depths.append(None if found is None else found.depth)
    turn = [None, *range(DEPTH_OF_DELTAS)]
    assert depths == (turn * 4)[: len(depths)]
    assert DEPTH_OF_DELTAS == MAX_BASE_DEPTH - 1


def test_of_several_relatives_the_one_that_differs_least_is_taken() -> None:
    shelf, base = Shelf(), weights(1)
    near = base + weights(2) * 1e-3
    model(b"a/model.safetensors", weights(3)).store(shelf)
    model(b"b/model.safetensors", near).store(shelf)
    model(b"c/model.safetensors", weights(4)).store(shelf)
    found = model(b"d/model.safetensors", base).store(shelf).found["w", 0]
    assert found is not None
    assert found.read() == bf16(near)[: PIECE_ELEMENTS * 2]


def test_tensors_of_other_names_or_shapes_are_no_relatives() -> None:
    shelf, base = Shelf(), weights(1)
    Stored(b"a/m.safetensors", [("v", "bf16", bf16(base))]).store(shelf)
    model(b"b/m.safetensors", weights(1, 40_001)).store(shelf)
    assert set(model(b"c/m.safetensors", base).store(shelf).found.values()) == {None}


@pytest.mark.parametrize("name", ["w", "module.w"])
def test_a_cast_finds_its_master_weights_whatever_they_are_called(name: str) -> None:
    shelf, base = Shelf(), weights(1)
    Stored(b"run/ckpt_00010.pt", [("other", "f32", weights(2).tobytes()), (name, "f32", base.tobytes())]).store(shelf)
    exported = model(b"run/model_00010.safetensors", base).store(shelf)
    for start in (0, PIECE_ELEMENTS * 2):
        found = exported.found["w", start]
        assert found is not None
        assert found.element == "f32"
        assert found.read() == base.tobytes()[start * 2 : start * 2 + PIECE_ELEMENTS * 4]


def test_a_reference_that_is_gone_or_changed_gives_no_bytes() -> None:
    shelf, base = Shelf(), weights(1)
    newer = model(b"run/model_00020.safetensors", base * 2).store(shelf)
    found = model(b"run/model_00010.safetensors", base).store(shelf).found["w", 0]
    assert found is not None
    newer.data = bytes(len(newer.data))
    assert found.read() is None
    newer.is_there = False
    assert found.read() is None


def test_nothing_is_built_upon_a_chunk_whose_depth_is_not_known() -> None:
    shelf, base = Shelf(), weights(1)
    model(b"run/model_00020.safetensors", base * 2).store(shelf, known=True)
    assert set(model(b"run/model_00010.safetensors", base).store(shelf).found.values()) == {None}


def test_the_shelf_forgets_what_was_stored_long_ago() -> None:
    shelf = Shelf()
    for number in range(MODELS_KEPT + 1):
        model(b"%d/m.safetensors" % number, weights(number, 9000)).store(shelf)
    assert not shelf.knows(b"0/m.safetensors")
    assert shelf.knows(b"1/m.safetensors")


def test_what_others_are_coded_against_goes_first() -> None:
    paths = [
        (b"ft/tuned.safetensors", 50),
        (b"run/model_00010.safetensors", 10),
        (b"run/model_00020.safetensors", 20),
        (b"ft/base.safetensors", 40),
        (b"run/ckpt_00010.pt", 11),
        (b"run/ckpt_00020.pt", 21),
    ]
    assert in_order(paths) == [
        b"run/ckpt_00020.pt",
        b"run/ckpt_00010.pt",
        b"ft/base.safetensors",
        b"ft/tuned.safetensors",
        b"run/model_00020.safetensors",
        b"run/model_00010.safetensors",
    ]
