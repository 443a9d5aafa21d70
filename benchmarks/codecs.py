"""What the codecs make of real tensors, and how fast: ratios and MB/s of one core, without packs, catalog or store.

    python benchmarks/codecs.py [--corpus DIR] [--effort balanced] [--only bf16,series] [--json]

The corpus is that of docs (train/ and real/ of make_corpus.py). Speeds are CPU time of this process over original
bytes; compressing includes decoding again and comparing. Each group runs twice and counts the second time, so that
compiling is left out. Readers of files are minimal: benchmarks/reduction.py goes through the product.
"""

import argparse
import json
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dedup.chunkers import SMALL, resolve_chunker
from dedup.codecs import Coded, decode, encode, encode_against
from dedup.fingerprint import digest

ELEMENTS = {"BF16": "bf16", "F32": "f32", "F16": "f16"}
PIECE_WORDS = 1 << 20
WIDTHS = {"bf16": 2, "f16": 2, "f32": 4}
BLOCK = 1 << 20
ENTRY_BYTES = 48  # of catalog-free metadata for each block: digest, lengths, place
DEEPEST = 4  # bases that may hang on one another
SMALLEST = 8 << 10  # below, tensors of a file share a block

Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a tensor."""

    key: Key
    element: str
    data: bytes


@dataclass(slots=True)
class Totals:
    """Of one group."""

    raw: int = 0
    stored: int = 0
    encode_s: float = 0.0
    decode_s: float = 0.0
    codecs: dict[str, int] = field(default_factory=dict)
    seen: set[bytes] = field(default_factory=set)

    def add(self, piece: Piece, effort: str, bases: list[Piece]) -> None:
        """Code *piece*, decode it again, count both; exact duplicates cost a digest."""
        started = time.process_time()
        self.raw += len(piece.data)
        name = digest(piece.data)
        if name in self.seen:
            self.stored += 20
            self.encode_s += time.process_time() - started
            return
        self.seen.add(name)
        coded, base = _best(piece, effort, bases)
        self.encode_s += time.process_time() - started
        started = time.process_time()
        if decode(coded.codec, coded.payload, len(piece.data), base) != piece.data:
            raise SystemExit(f"{coded.codec} does not give back {piece.key}")
        self.decode_s += time.process_time() - started
        self.stored += len(coded.payload) + ENTRY_BYTES
        self.codecs[coded.codec] = self.codecs.get(coded.codec, 0) + len(piece.data)


def _best(piece: Piece, effort: str, bases: list[Piece]) -> tuple[Coded, bytes | None]:
    for base in bases:
        coded = encode_against(piece.data, base.data, element=piece.element, base_element=base.element, effort=effort)
        if coded is not None:
            return coded, base.data
    kind = "tensor" if piece.element else "generic"
    return encode(piece.data, kind=kind, element=piece.element, effort=effort), None


def pieces_of(name: str, element: str, data: bytes) -> Iterator[Piece]:
    """Cut a tensor as the product does: by elements, so that pieces of bf16 and f32 copies correspond."""
    step = WIDTHS[element] * PIECE_WORDS
    for number, start in enumerate(range(0, len(data), step)):
        yield Piece((name, number), element, data[start : start + step])


def together(tensors: Iterator[tuple[str, str, bytes]]) -> Iterator[Piece]:
    """Yield pieces of large tensors, and the small ones of each element as one."""
    small: dict[str, list[bytes]] = {}
    for name, element, data in tensors:
        if len(data) < SMALLEST:
            small.setdefault(element, []).append(data)
        else:
            yield from pieces_of(name, element, data)
    for element, parts in small.items():
        yield from pieces_of(f"small {element}", element, b"".join(parts))


def safetensors(path: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield (name, element, bytes) of each tensor."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    for name, tensor in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            start, end = tensor["data_offsets"]
            yield name, ELEMENTS[tensor["dtype"]], data[8 + length + start : 8 + length + end]


def torch_zip(path: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield (number, "f32", bytes) of each storage of a checkpoint whose tensors are all f32."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            folder, _, number = entry.filename.rpartition("/")
            if folder.endswith("/data"):
                yield number, "f32", archive.read(entry)


def bf16_alone(corpus: Path, total: Totals, effort: str) -> None:
    """One bf16 model."""
    for piece in together(safetensors(corpus / "train/ft/base.safetensors")):
        total.add(piece, effort, [])


def family(corpus: Path, total: Totals, effort: str) -> None:
    """A base, three fine-tunes, two merged LoRAs."""
    base = {piece.key: piece for piece in together(safetensors(corpus / "train/ft/base.safetensors"))}
    for piece in base.values():
        total.add(piece, effort, [])
    for path in sorted((corpus / "train/ft").glob("[fl]*.safetensors")):
        for piece in together(safetensors(path)):
            total.add(piece, effort, [base[piece.key]])


def lora(corpus: Path, total: Totals, effort: str) -> None:
    """A merged LoRA beside its base."""
    base = {piece.key: piece for piece in together(safetensors(corpus / "train/ft/base.safetensors"))}
    total.seen.update(digest(piece.data) for piece in base.values())
    for piece in together(safetensors(corpus / "train/ft/lora_docs.safetensors")):
        total.add(piece, effort, [base[piece.key]])


def series(corpus: Path, total: Totals, effort: str) -> None:
    """Twelve bf16 checkpoints, newest first, each against the one before while chains are short, else a near one of
    little depth.
    """
    frames: list[tuple[int, dict[Key, Piece]]] = []
    for path in sorted((corpus / "train").glob("model_*.safetensors"), reverse=True):
        frame = {piece.key: piece for piece in together(safetensors(path))}
        usable = [frames[-1]] if frames and frames[-1][0] < DEEPEST else [one for one in frames if one[0] <= 1][-1:]
        for piece in frame.values():
            total.add(piece, effort, [bases[piece.key] for _, bases in usable])
        frames.append((usable[0][0] + 1 if usable else 0, frame))


def adam(corpus: Path, total: Totals, effort: str) -> None:
    """The last five checkpoints with optimizer state, newest first; m beside the v of its file."""
    last: dict[Key, Piece] = {}
    for path in sorted((corpus / "train").glob("ckpt_*.pt"), reverse=True)[:5]:
        frame = {piece.key: piece for piece in together(torch_zip(path))}
        for piece in frame.values():
            total.add(piece, effort, [found for found in (last.get(piece.key), _moment(piece, frame)) if found])
        last = frame


def _moment(piece: Piece, frame: dict[Key, Piece]) -> Piece | None:
    """Return the storage after *piece*, which is its v where it is an m: both are as long."""
    name, number = piece.key
    after = frame.get((str(int(name) + 1), number)) if name.isdigit() else None
    return after if after is not None and len(after.data) == len(piece.data) else None


def exports(corpus: Path, total: Totals, effort: str) -> None:
    """A bf16 export beside the f32 checkpoint it was rounded from; the checkpoint is not counted."""
    wide: dict[int, list[Piece]] = {}
    for piece in together(torch_zip(corpus / "train/ckpt_00480.pt")):
        wide.setdefault(len(piece.data), []).append(piece)
    for piece in together(safetensors(corpus / "train/model_00480.safetensors")):
        total.add(piece, effort, wide.get(2 * len(piece.data), []))


def packaged(corpus: Path, total: Totals, effort: str) -> None:
    """Models of packages in several versions, as bytes: chunks by content, new ones in blocks of 1 MiB."""
    chunker = resolve_chunker(SMALL)
    seen: set[bytes] = set()
    for path in sorted(path for path in (corpus / "real").rglob("*") if path.is_file()):
        data, block, start = path.read_bytes(), bytearray(), 0
        for end in chunker.cuts(memoryview(data), final=True):
            chunk = data[start:end]
            name, start = digest(chunk), end
            total.stored += 20
            if name in seen:
                total.raw += len(chunk)
                continue
            seen.add(name)
            block += chunk
            if len(block) >= BLOCK:
                total.add(Piece(("", 0), "", bytes(block)), effort, [])
                block.clear()
        if block:
            total.add(Piece(("", 0), "", bytes(block)), effort, [])


GROUPS: dict[str, Callable[[Path, Totals, str], None]] = {
    "bf16": bf16_alone,
    "family": family,
    "lora": lora,
    "series": series,
    "adam": adam,
    "exports": exports,
    "packaged": packaged,
}


def main() -> None:
    """Measure, print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path("corpus"))
    parser.add_argument("--effort", default="balanced")
    parser.add_argument("--only", default=",".join(GROUPS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--once", action="store_true", help="do not warm up: speeds include compiling")
    args = parser.parse_args()
    rows = []
    for name in args.only.split(","):
        total = Totals()
        for _ in range(1 if args.once else 2):
            total = Totals()
            GROUPS[name](args.corpus, total, args.effort)
        rows.append(
            {
                "group": name,
                "bytes": total.raw,
                "ratio": round(total.stored / total.raw, 4),
                "encode_mb_s": round(total.raw / total.encode_s / 1e6),
                "decode_mb_s": round(total.raw / max(total.decode_s, 1e-9) / 1e6),
                "codecs": {codec: round(size / total.raw, 3) for codec, size in sorted(total.codecs.items())},
            }
        )
        if not args.json:
            row = rows[-1]
            print(
                f"{name:9} {row['bytes']:>12,} {row['ratio']:.4f} {row['encode_mb_s']:>6} / {row['decode_mb_s']:<6}",
                row["codecs"],
            )
    if args.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
