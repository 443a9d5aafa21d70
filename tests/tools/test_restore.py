"""tools/restore.py: a store alone gives everything back, verified, by the format document and nothing of ours."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dedup import wrappers
from dedup.fingerprint import digest
from dedup.layout import FOOTER_LEN
from dedup.snappy_variants import BY_LETTER
from dedup.values import WrappedPart
from tests.dedup.parquets import page, snappy
from tests.dedup.samples import part
from tests.dedup.snappies import text
from tests.tools.handmade import RECIPE_PACK, HandMadeStore, Stored, file_record
from tests.tools.script import SCRIPT, TOOLS


@pytest.fixture
def store(tmp_path: Path) -> HandMadeStore:
    return HandMadeStore(tmp_path / "store")


def run(store: HandMadeStore, *options: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    out = store.folder.parent / "out"
    command = [sys.executable, "-W", "error", "-E", "-s", str(SCRIPT), str(store.folder), str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True, errors="surrogateescape", check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def restored(store: HandMadeStore) -> dict[bytes, bytes]:
    base = os.fsencode(store.folder.parent / "out" / "data")
    found = {}
    for folder, _, names in os.walk(base):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                found[os.path.relpath(os.path.join(folder, name), base)] = file.read()
    return found


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def test_a_store_without_segments_gives_every_file_back(store: HandMadeStore) -> None:
    contents = {b"a.bin": noise(1, 5000), b"d/e/text": b"words " * 800, b"empty": b"", b"odd\xff\n": b"x"}
    for path, data in contents.items():
        store.add(path, data)
    store.write()

    run(store)

    assert restored(store) == contents


def test_metadata_holes_and_links_come_back(store: HandMadeStore) -> None:
    data = noise(2, 3000) + bytes(4_000_000) + b"end"
    recipe = store.add(b"sparse", data, holes=[(3000, 4_003_000)], links=(b"sub/second name",))
    meta = recipe.meta._replace(xattrs=((b"user.note", b"a\0b"),))
    store.recipes[0] = recipe._replace(meta=meta)
    store.write()

    run(store)

    place = store.folder.parent / "out" / "data" / "sparse"
    status = place.stat()
    assert place.read_bytes() == data
    assert status.st_blocks * 512 < 1_000_000
    assert (status.st_mode & 0o7777, status.st_mtime_ns) == (0o640, meta.mtime_ns)
    assert os.getxattr(place, "user.note") == b"a\0b"
    assert place.samefile(place.parent / "sub" / "second name")


def test_the_newest_version_of_a_path_wins_without_segments(store: HandMadeStore) -> None:
    store.add(b"a", b"second", stored_ns=20)
    store.add(b"a", b"first", stored_ns=10)
    store.write()

    run(store)

    assert restored(store) == {b"a": b"second"}


def test_segments_say_what_stands_where_now(store: HandMadeStore) -> None:
    kept, moved, gone, missing, linked, told = (
        store.add(name, name * 100) for name in (b"k", b"m", b"g", b"s", b"l", b"t")
    )
    store.write()
    store.segments(
        [store.stored(kept, missing), *(file_record(recipe) for recipe in (moved, gone, linked))],
        [
            {"record": "recipes", "pack": RECIPE_PACK, "ids": [told.recipe_id]},
            file_record(moved, path="new/place"),
            {"record": "file_gone", "root": "data", "path": "m"},
            file_record(gone, recipe=None, state="regular"),
            {"record": "file_changed", "root": "data", "path": "s", "state": "missing"},
            {"record": "file_changed", "root": "data", "path": "k", "state": "offline"},
            file_record(linked, path="other name", leader="l"),
        ],
    )

    run(store)

    expected = {b"k": b"k" * 100, b"new/place": b"m" * 100, b"l": b"l" * 100, b"other name": b"l" * 100}
    assert restored(store) == expected
    base = store.folder.parent / "out" / "data"
    assert (base / "l").samefile(base / "other name")


def test_a_missing_file_is_restored_on_request(store: HandMadeStore) -> None:
    recipe = store.add(b"s", b"content")
    store.write()
    store.segments([file_record(recipe, state="missing")])

    run(store, expect=1)
    assert restored(store) == {}
    run(store, "--missing")
    assert restored(store) == {b"s": b"content"}


def test_a_broken_chain_is_said_and_recipes_still_give_everything(store: HandMadeStore) -> None:
    first, second = store.add(b"1", b"one"), store.add(b"2", b"two")
    store.write()
    store.segments([store.stored(first)], [], [file_record(second)])
    next((store.folder / "segments").glob("*2-*")).unlink()

    done = run(store)
    assert "the chain breaks after 1 of 3" in done.stderr
    assert restored(store) == {b"1": b"one"}
    run(store, "--from-recipes", expect=1)  # the first is there already
    assert restored(store) == {b"1": b"one", b"2": b"two"}


def test_a_segment_of_a_catalog_that_came_back_does_not_mislead(store: HandMadeStore) -> None:
    """Two segments of one number: the chain that goes on is the one that counts."""
    recipe = store.add(b"a", b"content")
    store.write()
    store.segments([file_record(recipe)], [file_record(recipe, path="wrong")])
    store.segments([file_record(recipe)], [file_record(recipe), store.stored(recipe)], [store.stored(recipe)])

    run(store)

    assert restored(store) == {b"a": b"content"}


def test_packs_with_damaged_trailers_are_scanned(store: HandMadeStore) -> None:
    contents = {b"a": noise(3, 5000), b"d": noise(6, 400)}
    store.add(b"a", contents[b"a"])
    add_derived(store, b"d", contents[b"d"], noise(3, 5000)[700:1400])
    store.write()
    for key in ("packs/00/0-x", "packs/01/1-x", RECIPE_PACK):
        data = (store.folder / key).read_bytes()
        store.put(key, data[: -FOOTER_LEN - 20])

    assert "scanning" in run(store).stderr
    assert restored(store) == contents


def test_recipes_are_told_apart_by_their_number_where_others_are_lost(store: HandMadeStore) -> None:
    """The first block of recipes is lost with its header; records say which of the others are current."""
    recipes = [store.add(b"%d" % number, b"content %d" % number) for number in range(6)]
    store.write()
    store.segments([store.stored(*recipes[:5])])
    data = bytearray((store.folder / RECIPE_PACK).read_bytes()[:-FOOTER_LEN])
    data[16 + 20] ^= 1
    store.put(RECIPE_PACK, bytes(data))

    run(store)

    assert restored(store) == {b"3": b"content 3", b"4": b"content 4"}


def add_derived(store: HandMadeStore, path: bytes, data: bytes, base: bytes) -> None:
    """Take a file of one chunk in that claims to need *base*; it is stored raw, so that only the reference counts."""
    store.blocks.insert(0, Stored("raw", data, [data], digest(base)))
    store.add_parts(path, data, [part(data)])


def test_bases_are_followed_but_not_in_circles(store: HandMadeStore) -> None:
    links = [b"link %d" % number for number in range(7)]
    store.add(b"0", links[0])
    for number in range(1, 7):
        add_derived(store, b"%d" % number, links[number], links[number - 1])
    add_derived(store, b"one of two", b"hen", b"egg")
    add_derived(store, b"other of two", b"egg", b"hen")
    store.write()

    done = run(store, expect=1)

    assert "too long a chain" in done.stderr
    assert restored(store) == {b"%d" % number: links[number] for number in range(7)}


def test_pages_are_compressed_again(store: HandMadeStore) -> None:
    """Six pages, one by each encoder, between bytes that are no pages."""
    run_of_pages = b"".join(page(9000, snappy(text(9000), letter)) for letter in BY_LETTER)
    plain = wrappers.unwrap("snappy-page:1", run_of_pages)
    assert plain is not None
    data = b"PAR1" + run_of_pages + b"footer"
    wrapped = WrappedPart("snappy-page:1", len(run_of_pages), tuple(store.chunks(plain)))
    store.add_parts(b"table.parquet", data, [*store.chunks(b"PAR1"), wrapped, *store.chunks(b"footer")])
    store.write()

    run(store)

    assert restored(store) == {b"table.parquet": data}


def test_damage_is_named_and_leaves_no_half_file(store: HandMadeStore) -> None:
    store.add(b"a", noise(4, 5000))
    store.add(b"b", noise(5, 100))
    store.write()
    data = bytearray((store.folder / "packs/00/0-x").read_bytes())
    data[data.index(noise(4, 5000)[:40]) + 5] ^= 1
    store.put("packs/00/0-x", bytes(data))

    done = run(store, expect=1)

    assert "fails its digest" in done.stderr
    assert restored(store) == {b"b": noise(5, 100)}


def test_a_path_that_leads_out_is_refused(store: HandMadeStore) -> None:
    store.add(b"../../escaped", b"x")
    store.write()

    assert "impossible path" in run(store, expect=1).stderr
    assert not (store.folder.parent / "escaped").exists()


def test_folders_deeper_than_a_path_may_be_long(store: HandMadeStore) -> None:
    deep = b"/".join([b"d" * 250] * 20)  # 5,019 bytes; PATH_MAX is 4,096
    store.add(deep + b"/first", b"deep", links=(b"second",))
    store.add(b"near", b"near")
    store.write()

    assert "2 files restored, 0 not" in run(store).stdout

    base = store.folder.parent / "out" / "data"
    assert (base / "second").read_bytes() == b"deep"
    assert (base / "second").stat().st_nlink == 2
    shutil.rmtree(base)  # pytest itself would not


def test_listing_selects_and_restores_nothing(store: HandMadeStore) -> None:
    store.add(b"runs/a/x", b"1" * 11)
    store.add(b"other", b"2")
    store.write()

    shown = run(store, "--list", "--path", "runs/*").stdout

    assert shown.split() == ["11", "data/runs/a/x"]
    assert not (store.folder.parent / "out").exists()


def test_nothing_that_exists_is_overwritten(store: HandMadeStore) -> None:
    store.add(b"a", b"stored")
    store.write()
    mine = store.folder.parent / "out" / "data" / "a"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")

    assert "already" in run(store, expect=1).stderr
    assert mine.read_bytes() == b"mine"


def test_the_script_imports_nothing_of_ours() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in TOOLS.glob("restore*.py"))

    assert not [name for name in ("dedup", "tiering", "policies") if f"import {name}" in source]
    assert not [name for name in ("dedup", "tiering", "policies") if f"from {name}" in source]
    assert len(list(TOOLS.glob("restore*.py"))) == 3
