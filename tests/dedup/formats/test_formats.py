"""Real files of every format are taken apart where their parts begin; the same part is the same bytes anywhere."""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dedup.formats.reading import Reader
from dedup.formats.segmentation import plain_kind
from dedup.formats.zips import members_of
from tests.dedup.formats.making import (
    Held,
    checked,
    gguf_file,
    noise,
    onnx_file,
    safetensors_file,
    tar_file,
    tensors,
    tflite_file,
    torch_file,
    zip_file,
)

GOLDEN = Path(__file__).parent / "golden"
WEIGHT, BIAS = noise(40_000, 1), noise(8_000, 2)


def test_safetensors_are_found_by_name_and_type() -> None:
    data = safetensors_file({"h.0.weight": ("BF16", WEIGHT), "h.0.bias": ("F32", BIAS)})

    assert tensors(data) == {"h.0.weight": ("bf16", WEIGHT), "h.0.bias": ("f32", BIAS)}


def test_the_same_tensor_is_the_same_bytes_in_every_format_and_place() -> None:
    plain = safetensors_file({"w": ("F32", WEIGHT), "b": ("F32", BIAS)})
    longer = safetensors_file({"b": ("F32", BIAS), "w": ("F32", WEIGHT)}, pad=77)
    torch = torch_file({"w": ("FloatStorage", WEIGHT), "b": ("FloatStorage", BIAS)})
    inside = tar_file([("model/readme", b"x" * 3000), ("model/model.safetensors", plain)])
    packed = gguf_file({"w": (0, WEIGHT), "b": (0, BIAS)}, counts={"w": 10_000, "b": 2_000})

    for data in (plain, longer, torch, inside, packed, onnx_file({"w": (1, WEIGHT), "b": (1, BIAS)})):
        assert tensors(data) == {"w": ("f32", WEIGHT), "b": ("f32", BIAS)}


def test_a_torch_file_is_read_by_its_directory_and_pickle() -> None:
    found = tensors((GOLDEN / "checkpoint.pt").read_bytes())

    assert {name: (element, len(raw)) for name, (element, raw) in found.items()} == {
        "model.h": ("f32", 10_240),
        "model.half": ("bf16", 6_000),
        "optimizer.state.0.exp_avg": ("f32", 10_240),
        "optimizer.state.0.exp_avg_sq": ("f32", 10_240),
        "fp8": ("f8e4m3", 5_000),
    }
    assert found["model.h"][1][:8] == np.array([0, 1], dtype="<f4").tobytes()


def test_a_torch_file_from_before_the_zip_is_read_too() -> None:
    found = tensors((GOLDEN / "legacy.pth").read_bytes())

    assert set(found) == {"model.h", "model.half", "optimizer.state.0.exp_avg", "optimizer.state.0.exp_avg_sq"}
    assert found["model.h"][1][:8] == np.array([0, 1], dtype="<f4").tobytes()


def test_a_pickled_module_is_named_as_its_state_would_be() -> None:
    assert set(tensors((GOLDEN / "module.pt").read_bytes())) == {"0.weight"}


def test_storages_of_a_pickle_nobody_understands_are_still_tensors() -> None:
    data = zip_file([("m/data.pkl", b"\xff not a pickle"), ("m/data/0", WEIGHT)], aligned=64)

    assert tensors(data) == {"data.0": ("", WEIGHT)}


def test_a_zip_may_have_a_program_before_it() -> None:
    data = b"#!/bin/sh\n" * 100 + zip_file([("a", WEIGHT)])

    assert [member.span.length for member in members_of(Reader(Held(data)))] == [len(WEIGHT)]


def test_npy_and_npz_are_arrays() -> None:
    array = np.arange(9_000, dtype="<f8")
    single, many = io.BytesIO(), io.BytesIO()
    np.save(single, array)
    np.savez(many, year=array, day=array.astype("<i2"), text=np.array(["a" * 9_000]))

    assert arrays(single.getvalue()) == [("f64", array.tobytes())]
    assert arrays(many.getvalue()) == [("f64", array.tobytes()), ("i16", array.astype("<i2").tobytes())]


def arrays(data: bytes) -> list[tuple[str, bytes]]:
    """Return element and bytes of the tensors without a name: data, not weights."""
    return [
        (region.element, data[region.span.start : region.span.end])
        for region in checked(data) or ()
        if region.kind == "tensor" and not region.name
    ]


def test_what_is_deflated_stays_as_it_is() -> None:
    held = io.BytesIO()
    np.savez_compressed(held, year=np.frombuffer(noise(50_000), dtype="u1"))
    regions = checked(held.getvalue())

    assert regions is not None
    assert max(regions, key=lambda region: region.span.length).kind == "media"


def test_gguf_quantised_blocks_have_no_element() -> None:
    data = gguf_file({"q": (2, noise(18 * 400)), "n": (1, noise(8_000))}, counts={"q": 32 * 400, "n": 4_000})

    assert {name: element for name, (element, _) in tensors(data).items()} == {"q": "", "n": "f16"}


def test_hdf5_datasets_in_one_piece_are_named_by_their_path() -> None:
    found = tensors((GOLDEN / "weights.h5").read_bytes())

    assert {name: (element, len(raw)) for name, (element, raw) in found.items()} == {
        "model_weights/dense_0/kernel:0": ("f32", 8_000),
        "half": ("f16", 5_000),
        "index": ("", 4_800),  # big-endian
    }
    assert found["model_weights/dense_0/kernel:0"][1] == np.ones(2_000, dtype="<f4").tobytes()


def test_onnx_is_known_by_its_fields() -> None:
    data = onnx_file({"w": (10, WEIGHT), "tiny": (1, b"abcd"), "b": (1, BIAS)})

    assert tensors(data) == {"w": ("f16", WEIGHT), "b": ("f32", BIAS)}


def test_tflite_buffers_take_their_tensors_type_and_name() -> None:
    assert tensors(tflite_file(WEIGHT, b"conv")) == {"conv": ("f32", WEIGHT)}


@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_members_of_a_tar_are_the_same_in_another_shard(layout: int) -> None:
    pictures = [(f"{number:06d}.jpg", b"\xff\xd8\xff" + noise(9_000 + number, number)) for number in range(20)]
    label = json.dumps({"label": 3}).encode()
    items = [item for name, data in pictures for item in ((name, data), (name + ".json", label))]
    long_name = [("d" * 180 + "/" + "x" * 90, pictures[3][1])]
    shard, other = tar_file(items, layout), tar_file(long_name * (layout != tarfile.USTAR_FORMAT) + items[10:], layout)

    assert set(media(shard)) == {data for _, data in pictures}
    assert set(media(other)) >= {data for _, data in pictures[5:]}
    assert {region.kind for region in checked(shard) or ()} == {"media", "text"}


def media(data: bytes) -> list[bytes]:
    """Return the regions of *data* that are compressed already."""
    return [data[r.span.start : r.span.end] for r in checked(data) or () if r.kind == "media"]


def test_a_tar_cut_off_keeps_the_members_before() -> None:
    pictures = [(f"{number}.png", b"\x89PNG\r\n\x1a\n" + noise(9_000, number)) for number in range(5)]

    assert media(tar_file(pictures)[:40_000]) == [data for _, data in pictures[:4]]


def test_text_is_text_throughout() -> None:
    table = b"id,name\n" + b"".join(b"%d,\xc3\xa4\xe2\x82\xac%d\n" % (n, n * n) for n in range(9_000))

    assert [region.kind for region in checked(table) or ()] == ["text"]
    assert checked(table[:40_000] + noise(60_000) + table[40_000:]) is None


def test_what_no_parser_knows_is_generic() -> None:
    numbers = np.random.default_rng(5).normal(size=200_000).astype("<f4").tobytes()

    assert checked(b"HEADER!" + numbers) is None
    assert checked(noise(500_000)) is None


@pytest.mark.parametrize(
    "data",
    [b"\xff\xd8\xff\xe0" + bytes(30), b"\x89PNG\r\n\x1a\n" + bytes(30), gzip.compress(b"text", mtime=0),
     b"RIFFxxxxWEBPVP8 ",
     b"\x00\x00\x00\x18ftypmp42" + bytes(30), b"\x28\xb5\x2f\xfd" + bytes(30), b"ID3\x04\x00\x00\x00\x00\x10\x00"],
)  # fmt: skip
def test_what_is_compressed_already_is_known_by_its_first_bytes(data: bytes) -> None:
    assert plain_kind(data) == "media"


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"", "generic"), (b"plain text\n", "text"), ("größer".encode()[:-2], "text"), (b"a\0b", "generic"),
     ("größer".encode("latin-1"), "generic"), (b"\xff\xfb\xff\xff", "generic"), (b"ID3 is no tag", "text"),
     ("wide".encode("utf-16"), "generic")],
)  # fmt: skip
def test_plain_kinds(data: bytes, kind: str) -> None:
    assert plain_kind(data) == kind


def test_a_deflated_zip_is_one_region_per_member() -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"{number}.txt", noise(20_000, number).hex())

    assert len(media(held.getvalue())) == 3
