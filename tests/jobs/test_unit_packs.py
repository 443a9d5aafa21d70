"""A checkpoint's blocks stand in packs of their own, so that it can cool without its neighbours; small files still fill
packs together.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import books_balance, items, learn, stored_bytes
from tests.whole.tree import noise
from tiering.catalog import files, recipes
from tiering.catalog import packs as pack_rows
from tiering.catalog.values import PackState
from tiering.jobs.migrate import migrate

MIB = 1 << 20


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A laboratory with packs of 4 MiB."""
    with open_lab(tmp_path / "lab", chunking={"pack_bytes": "4MiB"}) as made:
        yield made


def units_by_pack(lab: Lab) -> dict[int, set[bytes]]:
    """Return pack -> folders of the files that need it."""
    found: dict[int, set[bytes]] = {}
    with lab.catalog.read() as tx:
        live = [row for row in pack_rows.in_state(tx, PackState.LIVE) if row.kind == "data"]
        for row in live:
            for number in recipes.needing(tx, row.pack_no, None):
                found.setdefault(row.pack_no, set()).update(file.dir for file in files.by_recipe(tx, number))
    return found


def test_a_checkpoint_of_several_files_has_packs_of_its_own(lab: Lab) -> None:
    content = {
        f"run/step-{1000 * step}/part-{part}.bin": noise(10 * step + part, 1_100_000)
        for step in range(4)
        for part in range(3)
    }
    for name, data in content.items():
        lab.write(name, data)
    learn(lab)
    migrate(lab.context, items(lab))
    found = units_by_pack(lab)
    assert len(found) == 4
    assert all(len(folders) == 1 for folders in found.values())
    books_balance(lab)
    for name, data in content.items():
        assert stored_bytes(lab, name.encode()) == data


def test_long_files_have_packs_of_their_own(lab: Lab) -> None:
    for number in range(4):
        lab.write(f"models/{number}/weights.bin", noise(number, 5 * MIB + 700_000))
    learn(lab)
    migrate(lab.context, items(lab))
    found = units_by_pack(lab)
    mixed = [folders for folders in found.values() if len(folders) > 1]
    assert len(found) <= 8
    assert mixed == []


def test_small_files_fill_packs_together(lab: Lab) -> None:
    for number in range(120):
        lab.write(f"docs/{number % 30}/{number}.txt", noise(number, 60_000))
    for step in range(20):
        lab.write(f"tiny/step-{step}/state.bin", noise(1000 + step, 20_000))
    learn(lab)
    migrate(lab.context, items(lab))
    assert len(units_by_pack(lab)) <= 3
