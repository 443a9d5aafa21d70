"""The one entry to what a file is made of: parsers by the first bytes, then text; any doubt: generic.

Used by ingest and estimates. Time is bounded by each parser's own limits, memory by 64 MiB for parser and regions; a
file's name is asked only where its content leaves a question open. Nothing a file contains is ever executed.

Numbers in a file that no parser knows stay generic on purpose: the codecs find width and phase in any block, and cuts
by content still find what moved.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from dedup.formats import gguf, hdf5, media, npy, onnx, safetensors, tar, tflite, torch_legacy, torch_zip, zips
from dedup.formats.covering import GENERIC, MEDIA, TEXT
from dedup.formats.parquet import MAGIC as PARQUET
from dedup.formats.parquet import segment_parquet
from dedup.formats.reading import Doubt, Reader
from dedup.formats.text import SAMPLE_BYTES, is_text, is_text_throughout
from dedup.values import RandomSource, Region, Span

HEAD_BYTES = SAMPLE_BYTES
"""What plain_kind wants to see of a file."""
# A shorter file is a chunk or two whatever it holds; its kind is enough.
SMALLEST_BYTES = 16 << 10
# What content makes a parser raise: its own word, and what Python's own parsing refuses. OSError is the source's.
REFUSALS = (Doubt, ValueError, LookupError, ArithmeticError, struct.error, RecursionError)

_Parser = Callable[[Reader], list[Region] | None]
_ARCHIVES = 1
"""How deep archives are looked into: their members, not the members of those."""


@dataclass(frozen=True, slots=True)
class _Head:
    """What parsers are chosen by."""

    data: bytes
    size: int
    name: bytes


def segment(source: RandomSource, *, name: bytes = b"") -> list[Region] | None:
    """Return the regions of *source*: ascending, touching, covering it; None where nothing is known of it (generic).

    *name* is the file's, with or without folders. Raises only what *source* raises.
    """
    reader = Reader(source)
    regions = _segmented(reader, name, _ARCHIVES)
    return None if all(region.kind == GENERIC for region in regions) else regions


def plain_kind(head: bytes) -> str:
    """Return "media", "text" or "generic" for a file that begins with *head*; a few microseconds."""
    if media.is_media(head):
        return MEDIA
    return TEXT if is_text(head) else GENERIC


def _segmented(reader: Reader, name: bytes, depth: int) -> list[Region]:
    """Return regions that cover *reader*, one generic region at worst; none for an empty file."""
    if not reader.size:
        return []
    whole = Span(0, reader.size)
    head = _Head(reader.near(0, min(reader.size, HEAD_BYTES)), reader.size, name)
    parser = _parser_of(head, depth) if reader.size >= SMALLEST_BYTES else None
    if parser is not None:
        try:
            regions = parser(reader)
        except REFUSALS:
            regions = None
        if regions:
            return regions
    return [Region(whole, _kind_of(reader, head))]


def _kind_of(reader: Reader, head: _Head) -> str:
    kind = plain_kind(head.data)
    if kind == TEXT and head.size > len(head.data):
        return TEXT if is_text_throughout(reader) else GENERIC
    return kind


def _parser_of(head: _Head, depth: int) -> _Parser | None:
    """Return the parser of what *head* looks like; None for no structure that is known."""
    data = head.data
    if data.startswith(zips.MAGIC):
        return partial(segment_zip, depth=depth)
    for magic, parser in _BY_MAGIC:
        if data.startswith(magic):
            return parser
    if data[4:8] == tflite.IDENTIFIER:
        return tflite.segment_tflite
    if safetensors.looks_like(data, head.size):
        return safetensors.segment_safetensors
    if onnx.looks_like(data):
        return onnx.segment_onnx
    if depth and tar.looks_like(data):
        return partial(tar.segment_tar, inner=partial(_segmented, name=b"", depth=depth - 1))
    return onnx.segment_onnx if head.name.endswith(onnx.SUFFIX) else None


def segment_zip(reader: Reader, *, depth: int) -> list[Region]:
    """Return the members of a zip: a torch file's storages, an npz's arrays, any other's as _segmented sees them."""
    members = zips.members_of(reader)
    if torch_zip.is_torch(members):
        return torch_zip.segment_torch_zip(reader, members)
    return zips.segment_members(reader, members, partial(_member, depth=depth))


def _member(reader: Reader, member: zips.Member, *, depth: int) -> list[Region]:
    if not member.is_plain:
        return [Region(Span(0, reader.size), MEDIA)]
    if member.name.endswith(".npy"):
        try:
            return npy.segment_npy(reader)
        except REFUSALS:
            return [Region(Span(0, reader.size), GENERIC)]
    return _segmented(reader, b"", max(0, depth - 1))


def _segment_parquet(reader: Reader) -> list[Region] | None:
    return segment_parquet(reader)


_BY_MAGIC: tuple[tuple[bytes, _Parser], ...] = (
    (PARQUET, _segment_parquet),
    (npy.MAGIC, npy.segment_npy),
    (gguf.MAGIC, gguf.segment_gguf),
    (hdf5.MAGIC, hdf5.segment_hdf5),
    (torch_legacy.MAGIC, torch_legacy.segment_torch_legacy),
)
FIRST_BYTES = frozenset({onnx.FIRST_BYTE, zips.MAGIC[0], *(magic[0] for magic, _ in _BY_MAGIC)})
"""Of a file with parts, if that byte is always the same. Without: tflite, safetensors, tar, and what is named .onnx."""
