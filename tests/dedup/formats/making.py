"""Small real files of every format, made by hand, and the check that every segmentation must pass."""

import io
import json
import struct
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dedup.formats.segmentation import segment
from dedup.values import Region

ELEMENTS = {"F32": 4, "BF16": 2, "U8": 1}


@dataclass
class Held:
    """A source over bytes that counts what it is asked for."""

    data: bytes
    reads: int = 0
    read_bytes: int = 0

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        piece = self.data[offset : offset + length]
        self.reads += 1
        self.read_bytes += len(piece)
        return piece


def checked(data: bytes, name: bytes = b"") -> list[Region] | None:
    """Return the segmentation of *data*, having checked that it covers *data*."""
    regions = segment(Held(data), name=name)
    if regions is not None:
        position = 0
        for region in regions:
            assert region.span.start == position
            assert region.span.length > 0
            assert len(region.name) <= 512
            position = region.span.end
        assert position == len(data)
    return regions


def tensors(data: bytes) -> dict[str, tuple[str, bytes]]:
    """Return (element, bytes) of every tensor region, by name."""
    found = (region for region in checked(data) or () if region.kind == "tensor")
    return {region.name: (region.element, data[region.span.start : region.span.end]) for region in found}


def noise(length: int, seed: int = 0) -> bytes:
    """Return *length* bytes that do not repeat."""
    return np.random.default_rng(seed).bytes(length)


def safetensors_file(arrays: Mapping[str, tuple[str, bytes]], *, pad: int = 0) -> bytes:
    """Return a safetensors file of name -> (dtype, bytes); *pad* spaces lengthen the header."""
    header, offset = {}, 0
    for name, (dtype, raw) in arrays.items():
        shape = [len(raw) // ELEMENTS[dtype]]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(raw)]}
        offset += len(raw)
    return safetensors_of(json.dumps(header).encode() + b" " * pad, b"".join(raw for _, raw in arrays.values()))


def safetensors_of(header: bytes, body: bytes) -> bytes:
    """Return *header* and *body* as safetensors, whatever they say."""
    return struct.pack("<Q", len(header)) + header + body


def torch_pickle(storages: Mapping[str, tuple[str, int]]) -> bytes:
    """Return a pickle of a state_dict of name -> (storage class, elements), keys 0, 1, ... (protocol 2)."""
    out = bytearray(b"\x80\x02}(")
    for key, (name, (kind, count)) in enumerate(storages.items()):
        out += _text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(("
        out += _text("storage") + f"ctorch\n{kind}\n".encode() + _text(str(key)) + _text("cpu") + _number(count)
        out += b"tQ" + _number(0) + _number(count) + b"\x85" + _number(1) + b"\x85" + b"\x89"
        out += b"ccollections\nOrderedDict\n)R" + b"tR"
    return bytes(out + b"u.")


def zip_file(members: Sequence[tuple[str, bytes]], *, aligned: int = 1) -> bytes:
    """Return a zip of stored members whose bytes begin at multiples of *aligned*, as torch writes it."""
    out, directory = bytearray(), bytearray()
    for name, data in members:
        raw = name.encode()
        place = len(out)
        extra = -(place + 30 + len(raw)) % aligned
        out += struct.pack("<4s5H3L2H", b"PK\x03\x04", 0, 0, 0, 0, 0, 0, len(data), len(data), len(raw), extra)
        out += raw + b"F" * extra + data
        sizes = (0, len(data), len(data), len(raw), 0, 0, 0, 0, 0, place)
        directory += struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 0, 0, 0, 0, 0, 0, *sizes) + raw
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, len(members), len(members), len(directory), len(out), 0)
    return bytes(out + directory + end)


def torch_file(arrays: Mapping[str, tuple[str, bytes]], *, stem: str = "ckpt") -> bytes:
    """Return a torch file of name -> (storage class, bytes)."""
    widths = {"FloatStorage": 4, "BFloat16Storage": 2, "ByteStorage": 1}
    counted = {name: (kind, len(raw) // widths[kind]) for name, (kind, raw) in arrays.items()}
    members = [(f"{stem}/data.pkl", torch_pickle(counted)), (f"{stem}/byteorder", b"little")]
    members += [(f"{stem}/data/{key}", raw) for key, (_, raw) in enumerate(arrays.values())]
    return zip_file(members, aligned=64)


def tar_file(members: Sequence[tuple[str, bytes]], layout: int = tarfile.USTAR_FORMAT) -> bytes:
    """Return a tar of *members*."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=layout) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return held.getvalue()


def gguf_file(arrays: Mapping[str, tuple[int, bytes]], *, counts: Mapping[str, int]) -> bytes:
    """Return a GGUF file of name -> (ggml type, bytes) with a small tokenizer."""
    out = bytearray(struct.pack("<4sIQQ", b"GGUF", 3, len(arrays), 2))
    out += _gguf_text("general.alignment") + struct.pack("<II", 4, 32)
    tokens = [f"token{number}" for number in range(300)]
    out += _gguf_text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, len(tokens))
    out += b"".join(map(_gguf_text, tokens))
    body = bytearray()
    for name, (kind, raw) in arrays.items():
        out += _gguf_text(name) + struct.pack("<IQIQ", 1, counts[name], kind, len(body))
        body += raw + bytes(-len(raw) % 32)
    return bytes(out + bytes(-len(out) % 32) + body)


def onnx_file(arrays: Mapping[str, tuple[int, bytes]]) -> bytes:
    """Return an ONNX model of name -> (data type, bytes)."""
    graph = b"".join(
        _field(5, _varint(2 << 3) + _varint(kind) + _field(8, name.encode()) + _field(9, raw))
        for name, (kind, raw) in arrays.items()
    )
    node = _field(1, _field(1, b"input") + _field(4, b"MatMul"))
    return b"\x08\x08" + _field(2, b"pytorch") + _field(7, node + graph) + _field(8, b"\x10\x11")


def tflite_file(raw: bytes, name: bytes = b"w") -> bytes:
    """Return a TFLite model with one float tensor *name* in buffer 0."""
    # Vtables first, then tables; every offset counts from where it stands.
    out = bytearray(struct.pack("<I4s", 40, b"TFL3"))
    out += struct.pack("<7H", 14, 24, 0, 0, 4, 0, 8)  # model at 8: subgraphs at 4, buffers at 8
    out += struct.pack("<3H", 6, 8, 4)  # buffer (at 22) and subgraph: field 0 at 4
    out += struct.pack("<6H", 12, 16, 0, 4, 8, 12)  # tensor at 28: type, buffer, name
    assert len(out) == 40
    out += struct.pack("<i2I", 40 - 8, 8, 12)  # model at 40: subgraphs at 52, buffers at 60
    out += struct.pack("<2I", 1, 12)  # subgraphs at 52: one, at 68
    out += struct.pack("<2I", 1, 44)  # buffers at 60: one, at 108
    out += struct.pack("<iI", 68 - 22, 4)  # subgraph at 68: tensors at 76
    out += struct.pack("<2I", 1, 4)  # tensors at 76: one, at 84
    out += struct.pack("<i3I", 84 - 28, 0, 0, 4)  # tensor at 84: float32, buffer 0, name at 100
    out += struct.pack("<I4s", len(name), name.ljust(4, b"\0"))  # name at 100
    out += struct.pack("<iI", 108 - 22, 4)  # buffer at 108: data at 116
    return bytes(out + struct.pack("<I", len(raw)) + raw)


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _gguf_text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data
