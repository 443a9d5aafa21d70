"""What is recalled is proven as it is read: no file is shown of which a byte is wrong, or that was not all read."""

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dedup.values import Recipe
from tests.jobs.lab import Lab
from tests.jobs.outbound import items, send_away
from tests.jobs.test_restore_run import hidden
from tiering.catalog import recipes
from tiering.errors import IntegrityError, StoreUnavailable
from tiering.jobs.assembly import Assembly
from tiering.jobs.context import Context
from tiering.jobs.hidden_files import WHOLE_BYTES
from tiering.jobs.recall import recall
from tiering.jobs.restore import restore
from tiering.jobs.stored_recipes import read_recipes
from tiering.stores.memory import MemoryStore
from tiering.stores.wrapper import Wrapper

SIZES = [5000, WHOLE_BYTES // 2, WHOLE_BYTES + 2_000_000]
"""One chunk; many that are handed over together; many that are written as they come."""


def bring_back(ctx: Context, lab: Lab) -> None:
    recall(ctx, items(lab), reason="asked")


def copy_out(ctx: Context, lab: Lab) -> None:
    restore(ctx, [str(lab.root)], str(lab.base / "out"))


def damage(lab: Lab) -> int:
    """Change a byte of one pack, in the midst of what it stores; return how many packs there are."""
    store = lab.context.tiers["standard"].store
    while isinstance(store, Wrapper):
        store = store.inner
    assert isinstance(store, MemoryStore)
    keys = [info.key for info in store.list("packs/")]
    held = store.shelf.held[keys[-1]]
    at = len(held.body) // 2
    body = held.body[:at] + bytes([held.body[at] ^ 1]) + held.body[at + 1 :]
    store.shelf.held[keys[-1]] = replace(held, body=body)
    return len(keys)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("command", [bring_back, copy_out])
def test_p7_a_wrong_byte_is_found_however_a_file_is_written(
    lab: Lab, size: int, command: Callable[[Context, Lab], None]
) -> None:
    lab.write("a", random.Random(1).randbytes(size))
    send_away(lab)
    damage(lab)
    with pytest.raises(IntegrityError, match="chunk hashes to"):
        command(lab.context, lab)
    assert (lab.root / "a").is_symlink()
    assert [path for path in (lab.base / "out").rglob("*") if path.is_file()] == []
    assert hidden(lab.root) == [".frostline-root"]
    assert hidden(lab.base / "out") == []


@pytest.fixture
def begun(lab: Lab, tmp_path: Path) -> Iterator[Assembly]:
    """A file of which nothing was read yet."""
    lab.write("a", b"content")
    send_away(lab)
    folder = tmp_path / "folder"
    folder.mkdir()
    dir_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    assembly = Assembly(dir_fd, b"hidden", recipe_of(lab), "/shown")
    yield assembly
    assembly.discard()
    assert os.listdir(folder) == []
    os.close(dir_fd)


def recipe_of(lab: Lab) -> Recipe:
    with lab.catalog.read() as tx:
        (row,) = recipes.by_numbers(tx, {1}).values()
    found = read_recipes(lab.context, [row])[row.recipe_no]
    assert isinstance(found, Recipe)
    return found


def test_p7_what_nobody_said_was_read_and_proven_is_not_whole(begun: Assembly, tmp_path: Path) -> None:
    begun.write([(0, b"content")])
    with pytest.raises(IntegrityError, match="/shown: not all of it was brought"):
        begun.check()
    begun.finish()
    begun.check()
    assert (tmp_path / "folder/hidden").read_bytes() == b"content"


def test_what_went_wrong_first_is_what_is_raised(begun: Assembly) -> None:
    begun.write([(0, b"con")])
    begun.fail(StoreUnavailable("gone"))
    begun.fail(StoreUnavailable("gone again"))
    begun.finish()
    with pytest.raises(StoreUnavailable, match=r"gone$"):
        begun.check()
