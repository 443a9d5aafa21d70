"""tools/restore.py: a store alone gives everything back, verified, by the format document and nothing of ours."""

import io
import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from dedup.chunkers import resolve_chunker
from dedup.codecs import encode
from dedup.fingerprint import digest
from dedup.ingest import ingest
from dedup.layout import FOOTER_LEN
from dedup.pack import PackWriter
from dedup.recipe import encode_recipe, new_recipe_id, recipe_key
from dedup.segment import encode_segment, segment_hash
from dedup.values import FileMeta, Fingerprint, Recipe
from tests.dedup.memory import BytesSource, Shelf, nothing
from tests.structure.sources import PROJECT

SCRIPT = PROJECT / "tools" / "restore.py"
CHUNKER = "gear-1:64-256-1k"


@dataclass
class HandMadeStore:
    """A store as dedup alone writes it: packs, recipe packs and, if asked for, segments."""

    folder: Path
    shelf: Shelf = field(default_factory=Shelf)
    recipes: list[Recipe] = field(default_factory=list)
    places: list[dict[str, object]] = field(default_factory=list)

    def add(self, path: bytes, data: bytes, **changes: object) -> Recipe:
        """Take one file in; *changes* are fields of its recipe or, as meta, of its metadata."""
        holes = changes.pop("holes", ())
        source = BytesSource(data, holes)  # type: ignore[arg-type]
        result = ingest(
            source,
            chunker=resolve_chunker(CHUNKER),
            effort="fast",
            index=self.shelf,
            sink=self.shelf,
            before_read=nothing,
        )
        recipe = Recipe(
            recipe_id=new_recipe_id(len(self.recipes).to_bytes(16, "big")),
            root="data",
            path=path,
            links=(),
            size=len(data),
            digest=result.digest,
            chunker=CHUNKER,
            meta=FileMeta(0o100640, os.getuid(), os.getgid(), 1_600_000_000_123_456_789, 1_600_000_001_000_000_000),
            parts=result.parts,
        )
        self.recipes.append(replace(recipe, **changes))  # type: ignore[arg-type]
        return self.recipes[-1]

    def write(self) -> None:
        """Write two data packs and one recipe pack."""
        chunks = list(self.shelf.chunks.items())
        for number, part in enumerate((chunks[::2], chunks[1::2])):
            out = io.BytesIO()
            writer = PackWriter(out, kind="data")
            for (fingerprint, chunk_digest), (raw_len, coded) in part:
                writer.add(fingerprint, chunk_digest, raw_len, coded.codec, coded.payload)
            writer.finish()
            self.put(f"packs/0{number}/{number}-x", out.getvalue())
        out = io.BytesIO()
        writer = PackWriter(out, kind="recipes")
        for recipe in self.recipes:
            data = encode_recipe(recipe)
            coded = encode(data, effort="fast")
            key = Fingerprint(recipe_key(recipe.recipe_id))
            entry = writer.add(key, digest(data), len(data), coded.codec, coded.payload)
            self.places.append(
                {
                    "record": "recipe",
                    "recipe": recipe.recipe_id,
                    "pack": "recipes/00/r-x",
                    "size": recipe.size,
                    "offset": entry.offset,
                    "stored_len": entry.stored_len,
                    "raw_len": entry.raw_len,
                    "recipe_digest": entry.digest.hex(),
                    "codec": entry.codec,
                }
            )
        writer.finish()
        self.put("recipes/00/r-x", out.getvalue())

    def put(self, key: str, data: bytes) -> None:
        place = self.folder / key
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)

    def segments(self, *batches: list[dict[str, object]]) -> None:
        """Write a chain of segments of those records."""
        previous = ""
        for number, batch in enumerate(batches, start=1):
            data = encode_segment(number, previous, [json.dumps(record) for record in batch])
            previous = segment_hash(data)
            self.put(f"segments/{number:012d}-{previous[:16]}", data)


def file_record(stored: Recipe, **changes: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "record": "file",
        "root": "data",
        "path": os.fsdecode(stored.path),
        "state": "offline",
        "recipe": stored.recipe_id,
        "leader": None,
    }
    return plain | changes


@pytest.fixture
def store(tmp_path: Path) -> HandMadeStore:
    return HandMadeStore(tmp_path / "store")


def run(store: HandMadeStore, *options: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    out = store.folder.parent / "out"
    command = [sys.executable, "-W", "error", "-I", str(SCRIPT), str(store.folder), str(out), *options]
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
    meta = replace(recipe.meta, xattrs=((b"user.note", b"a\0b"),))
    store.recipes[0] = replace(recipe, meta=meta)
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
    kept, moved, gone, missing, linked = (store.add(name, name * 100) for name in (b"k", b"m", b"g", b"s", b"l"))
    store.write()
    store.segments(
        [*store.places, *(file_record(recipe) for recipe in (kept, moved, gone, missing, linked))],
        [
            file_record(moved, path="new/place"),
            {"record": "file_gone", "root": "data", "path": "m"},
            file_record(gone, recipe=None, state="regular"),
            file_record(missing, state="missing"),
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
    store.segments([*store.places, file_record(recipe, state="missing")])

    run(store, expect=1)
    assert restored(store) == {}
    run(store, "--missing")
    assert restored(store) == {b"s": b"content"}


def test_a_broken_chain_is_said_and_recipes_still_give_everything(store: HandMadeStore) -> None:
    first, second = store.add(b"1", b"one"), store.add(b"2", b"two")
    store.write()
    store.segments(store.places, [file_record(first)], [file_record(second)])
    next((store.folder / "segments").glob("*2-*")).unlink()

    done = run(store, expect=1)
    assert "the chain breaks after 1 of 3" in done.stderr
    run(store, "--from-recipes")
    assert restored(store) == {b"1": b"one", b"2": b"two"}


def test_a_segment_of_a_catalog_that_came_back_does_not_mislead(store: HandMadeStore) -> None:
    """Two segments of one number: the chain that goes on is the one that counts."""
    recipe = store.add(b"a", b"content")
    store.write()
    store.segments(store.places, [file_record(recipe, path="wrong")])
    store.segments(store.places, [file_record(recipe)], [file_record(recipe)])

    run(store)

    assert restored(store) == {b"a": b"content"}


def test_packs_with_damaged_trailers_are_scanned(store: HandMadeStore) -> None:
    store.add(b"a", noise(3, 5000))
    store.write()
    for key in ("packs/00/0-x", "packs/01/1-x", "recipes/00/r-x"):
        data = (store.folder / key).read_bytes()
        store.put(key, data[: -FOOTER_LEN - 20])

    assert "scanning" in run(store).stderr
    assert restored(store) == {b"a": noise(3, 5000)}


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
    source = SCRIPT.read_text(encoding="utf-8")

    assert not [name for name in ("dedup", "tiering", "policies", "numpy") if f"import {name}" in source]
    assert not [name for name in ("dedup", "tiering", "policies") if f"from {name}" in source]
