"""Models on their way out: coded against the next checkpoint, a sibling, their master weights; readable for ever."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from sqlalchemy import text

from dedup.codecs import is_known
from dedup.codecs.words import in_words
from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import items, learn, rows, states, stored_bytes
from tiering.catalog import sums
from tiering.catalog.values import FileState
from tiering.jobs.audit import audit
from tiering.jobs.coding import coding_of
from tiering.jobs.gc import collect
from tiering.jobs.migrate import migrate

COUNT = 600_000
Floats = npt.NDArray[np.float32]


def weights(seed: int, count: int = COUNT, scale: float = 0.02) -> Floats:
    """Normally distributed."""
    return np.random.default_rng(seed).normal(0, scale, count).astype(np.float32)


def bf16(values: Floats) -> bytes:
    """Rounded to nearest, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).tobytes()


def safetensors(**tensors: tuple[str, bytes]) -> bytes:
    """A file of (dtype, bytes), in order."""
    header, at = {}, 0
    for name, (dtype, data) in tensors.items():
        width = 4 if dtype == "F32" else 2
        header[name] = {"dtype": dtype, "shape": [len(data) // width], "data_offsets": [at, at + len(data)]}
        at += len(data)
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + b"".join(data for _, data in tensors.values())


def step(number: int, *, drift: float = 1e-4) -> bytes:
    """A checkpoint of a run whose weights move a little with every step."""
    values = weights(1)
    for seed in range(2, number + 2):
        values = values + weights(seed, scale=drift)
    return safetensors(w=("BF16", bf16(values)))


def codecs(lab: Lab) -> Counter[str]:
    """Codec -> blocks of live data packs."""
    query = "SELECT codecs.name, count(*) FROM blocks JOIN codecs USING (codec_no) JOIN packs USING (pack_no)"
    with lab.catalog.read() as tx:
        found = tx.conn.execute(text(f"{query} WHERE packs.state = 'live' AND kind = 'data' GROUP BY 1"))
        return Counter(dict(tuple(row) for row in found))


def pack_bytes(lab: Lab) -> int:
    """Bytes of live data packs."""
    with lab.catalog.read() as tx:
        return int(tx.conn.execute(text("SELECT sum(size) FROM packs WHERE state='live' AND kind='data'")).scalar_one())


def store_all(lab: Lab) -> None:
    """Learn what is new and store it; the books must balance."""
    learn(lab)
    report = migrate(lab.context, items(lab))
    assert report.files_skipped == ()
    assert set(states(lab).values()) == {FileState.DUAL}
    with lab.catalog.read() as tx:
        assert sums.differences(tx) == {}


def test_a_series_is_coded_against_its_newest_and_reads_back(lab: Lab) -> None:
    steps = {f"run/model_{number:05}.safetensors": step(number) for number in range(1, 5)}
    for name, data in steps.items():
        lab.write(name, data)
    store_all(lab)
    found = codecs(lab)
    assert found["delta-1:bf16"] >= 3
    assert pack_bytes(lab) < 0.5 * sum(map(len, steps.values()))
    for name, data in steps.items():
        assert stored_bytes(lab, os.fsencode(name)) == data
    assert audit(lab.context).ok
    older = coding_of(lab.context, rows(lab)[b"run/model_00001.safetensors"].recipe_no or 0)
    assert (older[0].codec, older[0].leans_on > 0) == ("delta-1:bf16", True)
    assert "difference" in older[0].why
    assert sum(item.raw_bytes for item in older) == len(step(1))


@pytest.mark.parametrize(
    "name", ["raw", "zstd:3", "planes-1", "planes-1:f32", "sections-1", "delta-1:f16", "cast-1:bf16"]
)
def test_every_codec_is_said_in_words(name: str) -> None:
    assert is_known(name)
    assert in_words(name) != name


def test_a_cast_of_stored_master_weights_costs_nearly_nothing(lab: Lab) -> None:
    values = weights(1)
    lab.write("run/ckpt_00001.pt.safetensors", safetensors(master=("F32", values.tobytes())))
    store_all(lab)
    before = pack_bytes(lab)
    lab.write("run/export.safetensors", safetensors(w=("BF16", bf16(values))))
    store_all(lab)
    assert pack_bytes(lab) - before < 2_000
    assert codecs(lab)["cast-1:bf16"] >= 1
    assert stored_bytes(lab, b"run/export.safetensors") == safetensors(w=("BF16", bf16(values)))


def test_a_checkpoint_that_comes_later_lets_the_one_before_be_coded_against_it(lab: Lab) -> None:
    sizes = []
    for number in range(1, 5):
        lab.write(f"run/model_{number:05}.safetensors", step(number))
        store_all(lab)
        for _ in range(3):  # what is not needed is doomed, waits out its grace, and goes
            collect(lab.context)
            lab.clock.advance(1)
        sizes.append(pack_bytes(lab))
    alone = sizes[0]
    assert sizes[-1] < 4 * alone * 0.75, sizes
    for number in range(1, 5):
        assert stored_bytes(lab, b"run/model_%05d.safetensors" % number) == step(number)
    assert audit(lab.context).ok


def test_what_is_not_on_the_hot_tier_any_more_is_no_reference(lab: Lab) -> None:
    path = lab.write("run/model_00002.safetensors", step(2))
    store_all(lab)
    path.write_bytes(step(2) + b"!")  # changed since: its bytes are not those that were stored
    lab.write("run/model_00001.safetensors", step(1))
    learn(lab)
    migrate(lab.context, items(lab, paths=[b"run/model_00001.safetensors"]))
    assert codecs(lab)["delta-1:bf16"] == 0
    assert stored_bytes(lab, b"run/model_00001.safetensors") == step(1)


@pytest.mark.parametrize("name", ["best.safetensors", "final/model.safetensors"])
def test_the_best_and_the_final_one_need_nothing_else(lab: Lab, name: str) -> None:
    lab.write("run/model_00001.safetensors", step(1))
    store_all(lab)
    lab.write(f"run/{name}", step(2))
    store_all(lab)
    assert codecs(lab)["delta-1:bf16"] == 0


def test_a_prescribed_codec_is_what_a_file_gets(tmp_path: Path) -> None:
    with open_lab(tmp_path / "lab", chunking={"codecs": {"*.safetensors": "zstd:2", "raw/": "raw"}}) as lab:
        lab.write("run/model_00001.safetensors", step(1))
        lab.write("run/model_00002.safetensors", step(2))
        lab.write("raw/text.txt", b"the same words again and again " * 9_000)
        store_all(lab)
        assert set(codecs(lab)) == {"zstd:2", "raw"}
        for number in (1, 2):
            assert stored_bytes(lab, b"run/model_%05d.safetensors" % number) == step(number)
