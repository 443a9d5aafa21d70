"""docs/pages.md is enough to restore wrapped pages: the program in it makes the same bytes."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from dedup.formats.parquet import WRAP
from dedup.snappy_variants import BY_LETTER
from dedup.wrappers import unwrap
from tests.dedup.parquets import page, page_v2, snappy
from tests.dedup.snappies import golden_samples, text

DOCUMENT = Path(__file__).parents[2] / "docs" / "pages.md"


@pytest.fixture(scope="module")
def program() -> dict[str, object]:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102  our own document
    return names


@pytest.mark.parametrize("letter", BY_LETTER)
def test_the_documented_encoder_writes_the_same_bytes(letter: str, program: dict[str, object]) -> None:
    encode = cast(Callable[[bytes, str], bytes], program["snappy"])
    for sample in [*golden_samples()[:3], b"", b"a", bytes(400), text(70_000)]:
        assert encode(sample, letter) == snappy(sample, letter)


def test_the_documented_program_restores_a_run(program: dict[str, object]) -> None:
    samples = [*golden_samples()[:2], b"", text(9000)]
    run = b"".join(page(len(plain), snappy(plain, letter)) for plain, letter in zip(samples, "adbf", strict=True))
    run += page_v2(text(5000), b"levels", letter="e") + page_v2(text(50), letter="")
    plain = unwrap(WRAP, run)

    assert plain is not None
    assert cast(Callable[[bytes], bytes], program["rewrap"])(plain) == run


def test_every_variant_is_described() -> None:
    described = re.findall(r"^\| `(\w)` \|.*?\| (\d+) \| (the step|1) \|", DOCUMENT.read_text(), flags=re.MULTILINE)
    expected = [(v.letter, str(v.most_bits), "the step" if v.skip else "1") for v in BY_LETTER.values()]
    assert described == expected
