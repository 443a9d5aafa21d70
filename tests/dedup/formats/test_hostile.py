"""Files that lie: nothing is executed, nothing hangs, nothing is allocated beyond the bound, nothing is raised."""

import io
import json
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.formats.covering import MOST_REGIONS
from dedup.formats.pickles import MOST_STEPS, Machine
from dedup.formats.reading import Doubt
from dedup.formats.segmentation import plain_kind, segment
from dedup.formats.storages import storages_of
from dedup.formats.torch_zip import LONGEST_PICKLE
from tests.dedup.formats.making import (
    Held,
    checked,
    gguf_file,
    noise,
    onnx_file,
    safetensors_file,
    safetensors_of,
    tar_file,
    tensors,
    tflite_file,
    torch_file,
    zip_file,
)

BOUND = 64 << 20
WEIGHT = noise(20_000)
GOLDEN = Path(__file__).parent / "golden"
MAKERS: dict[str, Callable[[], bytes]] = {
    "safetensors": lambda: safetensors_file({"w": ("F32", WEIGHT), "b": ("F32", WEIGHT[:8000])}),
    "torch": lambda: torch_file({"w": ("FloatStorage", WEIGHT)}),
    "checkpoint": (GOLDEN / "checkpoint.pt").read_bytes,
    "legacy": (GOLDEN / "legacy.pth").read_bytes,
    "hdf5": (GOLDEN / "weights.h5").read_bytes,
    "tar": lambda: tar_file([("a.jpg", b"\xff\xd8\xff" + WEIGHT), ("b.json", b"{}")]),
    "gguf": lambda: gguf_file({"w": (0, WEIGHT)}, counts={"w": 5000}),
    "onnx": lambda: onnx_file({"w": (1, WEIGHT)}),
    "tflite": lambda: tflite_file(WEIGHT),
    "zip": lambda: zip_file([("a.npy", WEIGHT), ("b", WEIGHT)]),
}


class Trap:
    """Would write a mark if it were ever built."""

    sprung = False

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return spring, ()


def spring() -> None:
    """Be seen."""
    Trap.sprung = True


def allocated(data: bytes) -> int:
    """Return the most memory that segmenting *data* held at once, without *data*."""
    source = Held(data)
    segment(source)
    tracemalloc.start()
    try:
        segment(source)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(MAKERS)),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=9)), max_size=4),
    st.integers(0, 2000),
)
def test_damage_never_makes_more_than_doubt(kind: str, damage: list[tuple[int, bytes]], cut: int) -> None:
    data = bytearray(MAKERS[kind]())
    for place, patch in damage:
        # Structure stands at both ends: half the hits go there.
        at = place % len(data) if place % 2 else (place // 2 % 1000 - 500) % len(data)
        data[at : at + len(patch)] = patch[: len(data) - at]
    checked(bytes(data[: len(data) - cut]), b"model.onnx")


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([b"", b"GGUF", b"PK\x03\x04", b"\x93NUMPY\x01\0", b"PAR1", b"\x80\x02", b"\x08\x08\x12"]),
       st.binary(max_size=400), st.integers(0, 30_000))  # fmt: skip
def test_any_bytes_are_covered_or_generic(magic: bytes, tail: bytes, zeros: int) -> None:
    data = magic + tail + bytes(zeros)

    checked(data)
    assert plain_kind(data[:4096]) in {"text", "media", "generic"}


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, 1 << 40, 19_999, 0])
def test_a_header_that_lies_about_its_length_is_doubted(length: int) -> None:
    assert checked(struct.pack("<Q", length) + b'{"w":' + bytes(30_000)) is None


@pytest.mark.parametrize(
    "offsets", [[0, 40_000], [-8, 8], [8_000, 0], [0, 1 << 70], [0.0, 8.0], ["0", "8"], [True, 8], [0], None]
)
def test_tensors_outside_the_file_are_doubted(offsets: object) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": offsets}}).encode()

    assert checked(safetensors_of(header, WEIGHT)) is None


def test_tensors_that_overlap_are_doubted() -> None:
    entry = {"dtype": "F32", "shape": [2500], "data_offsets": [0, 10_000]}
    header = json.dumps({"a": entry, "b": entry | {"data_offsets": [9_996, 20_000]}}).encode()

    assert checked(safetensors_of(header, WEIGHT)) is None


@pytest.mark.parametrize(
    "header",
    [b"[" * 200_000, b'{"a":' * 100_000, b"[" + b"{}," * 300_000 + b"{}]", b'{"a":' + b"9" * 50_000 + b"}",
     b"[" + b"1e9," * 900_000 + b"1]", b'{"a":NaN}', b"\xff" * 50],
    ids=["deep list", "deep object", "many objects", "long number", "many numbers", "nan", "no text"],
)  # fmt: skip
def test_headers_that_swell_are_doubted_within_the_bound(header: bytes) -> None:
    data = safetensors_of(b"{" + header[1:], bytes(20_000))

    assert checked(data) is None
    assert allocated(data) < BOUND


def test_a_header_of_a_billion_entries_is_never_walked() -> None:
    billion = 1_000_000_000
    for data in (
        struct.pack("<4sIQQ", b"GGUF", 3, billion, billion) + bytes(50_000),
        struct.pack("<4sIQQ", b"GGUF", 3, 1, 1) + struct.pack("<QIIQ", 0, 9, 8, billion) + bytes(50_000),
        zip_file([("a", WEIGHT)])[:-22] + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 50, 20_031, 0),
    ):
        source = Held(data)
        segment(source)
        assert source.reads < 200


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_recorded_and_never_run(protocol: int) -> None:
    Trap.sprung = False
    evil = pickle.dumps({"w": Trap(), "x": [1, 2.5, "a", b"b", {3}, frozenset({4}), 1 << 80, None]}, protocol)

    checked(zip_file([("m/data.pkl", evil), ("m/data/0", WEIGHT)], aligned=64))
    Machine(evil).run()
    assert not Trap.sprung
    pickle.loads(evil)  # noqa: S301 - the trap works
    assert Trap.sprung


SWELLING = [
    b"}", b"]", b"\x8f", b"(", b"N", b"}\x94", b"]\x94a", b")\x85\x94", b"2", b"cos\nsystem\n", b"N)R\x94", b"U\x02ab",
    b"\x8a\x08aaaaaaaa\x94", b"Nr\xff\xff\xff\xff", b"(((((((((1", b"(N2222222222t2222",
]  # fmt: skip


def recorded_bytes(data: bytes) -> int:
    """Return the most memory that recording the pickle *data* took."""
    tracemalloc.start()
    try:
        with pytest.raises(Doubt):
            Machine(data).run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.heavy
@pytest.mark.parametrize("step", SWELLING, ids=str)
def test_pickles_that_swell_stay_within_the_bound(step: bytes) -> None:
    assert recorded_bytes((b"\x80\x02]N" + step * (MOST_STEPS + 10))[:LONGEST_PICKLE]) < BOUND


def test_a_pickle_of_too_many_dictionaries_stays_within_the_bound() -> None:
    assert recorded_bytes(b"\x80\x02]N" + b"}\x94" * MOST_STEPS) < BOUND


def test_a_pickle_of_too_many_names_is_doubted() -> None:
    assert recorded_bytes(b"".join(b"cos\n%d\n" % number for number in range(20_000))) < BOUND


def test_cycles_and_shared_parts_are_walked_once() -> None:
    cycle: list[object] = []
    cycle.append({"self": cycle})
    laughs: object = ()
    for _ in range(60):
        laughs = (laughs, laughs, laughs)

    for value in (cycle, laughs):
        assert storages_of(Machine(pickle.dumps(value, 2)).run()) == {}


def test_a_deep_pickle_is_no_deep_recursion() -> None:
    deep = b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."

    assert storages_of(Machine(deep).run()) == {}


def test_a_zip_bomb_of_overlapping_members_is_doubted() -> None:
    honest = zip_file([("a", WEIGHT)])
    directory = honest[20_031:-22]
    count = 2_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory) * count, 20_031, 0)
    source = Held(honest[:20_031] + directory * count + end)

    assert segment(source) is None
    assert source.read_bytes < 10 * source.size


def test_a_zip_bomb_is_never_inflated() -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros/data.pkl", bytes(30_000_000))
    data = held.getvalue()

    assert allocated(data) < 1 << 20


def test_a_tar_that_lies_about_sizes_keeps_to_the_file() -> None:
    data = bytearray(tar_file([("a.jpg", b"\xff\xd8\xff" + WEIGHT)] * 3))
    for size in (b"77777777777\0", b"\x80" + b"\xff" * 11, b"-0000000001\0", b"00000000000\0"):
        data[124:136] = size
        data[148:156] = b" " * 8
        data[148:156] = b"%06o\0 " % sum(data[:512])
        checked(bytes(data))


@pytest.mark.heavy
def test_as_many_tensors_as_are_read_stay_within_the_bound() -> None:
    entry = '"%s%d":{"dtype":"U8","shape":[1],"data_offsets":[%d,%d]}'
    rows = [entry % ("n" * 40, number, number, number + 1) for number in range(63_000)]
    data = safetensors_of(f"{{{','.join(rows)}}}".encode(), bytes(63_000))

    assert tensors(data)
    assert allocated(data) < BOUND


@pytest.mark.heavy
def test_very_many_short_members_stay_within_the_bound() -> None:
    one = tar_file([("a", b"x" * 2100)])[: 512 + 2560]
    data = one * 110_000

    assert len(checked(data) or ()) == MOST_REGIONS
    assert allocated(data) < BOUND


def test_a_tensor_after_damage_elsewhere_is_still_named() -> None:
    data = bytearray(torch_file({"w": ("FloatStorage", WEIGHT), "v": ("FloatStorage", WEIGHT[:8000])}))
    place = data.find(WEIGHT)
    data[place] ^= 0xFF

    assert set(tensors(bytes(data))) == {"w", "v"}
