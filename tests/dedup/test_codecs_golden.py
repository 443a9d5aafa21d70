"""Golden payloads of every codec but raw and zstd, as the first version wrote them. Nothing here makes them anew."""

from pathlib import Path

import pytest

from dedup.codecs import decode, is_known, needs_base
from dedup.codecs.elements import SORTED
from tests.dedup import codecs_reference

GOLDEN = Path(__file__).with_name("golden") / "codecs"
CODECS = {
    **{f"planes-1_{element}": f"planes-1:{element}" for element in (*SORTED, "i64")},
    "planes-1_f32_was_bf16": "planes-1:f32",
    "planes-1_f32_was_f16": "planes-1:f32",
    "planes-1": "planes-1",
    "sections-1": "sections-1",
    **{f"delta-1_{element}": f"delta-1:{element}" for element in SORTED},
    "context-1_f32": "context-1:f32",
    "context-1_bf16": "context-1:bf16",
    "cast-1_bf16": "cast-1:bf16",
    "cast-1_f16": "cast-1:f16",
}


def golden(name: str, part: str) -> bytes:
    path = GOLDEN / f"{name}.{part}"
    return path.read_bytes() if path.exists() else b""


@pytest.mark.parametrize(("name", "codec"), CODECS.items())
def test_stored_payloads_stay_readable(name: str, codec: str) -> None:
    payload, raw, base = (golden(name, part) for part in ("payload", "raw", "base"))

    assert raw
    assert is_known(codec)
    assert needs_base(codec) is bool(base)
    assert decode(codec, payload, len(raw), base or None) == raw
    assert codecs_reference.decode(codec, payload, len(raw), base) == raw


def test_every_golden_file_is_read() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(CODECS)
