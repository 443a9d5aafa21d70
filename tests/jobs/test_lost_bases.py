"""A base whose pack is lost or damaged: what needs it fails with a sentence, and audit, scrub and rebuild say so."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn, rows
from tests.jobs.rebuilding import lose_catalog, rebuilt
from tests.jobs.test_references import codecs
from tests.whole import models
from tiering.errors import FrostlineError, IntegrityError, ObjectMissing
from tiering.jobs.audit import audit
from tiering.jobs.gc import collect
from tiering.jobs.migrate import migrate
from tiering.jobs.recall import recall
from tiering.jobs.release import release
from tiering.jobs.repack import repack
from tiering.jobs.reports import JobReport, Skipped
from tiering.jobs.restore import cat, restore
from tiering.jobs.scrub import scrub
from tiering.stores.memory import Held, shelf

NAMES = [f"run/model_{number:05}.safetensors" for number in range(1, 4)]


@pytest.fixture
def series(lab: Lab) -> dict[str, bytes]:
    """Store three checkpoints, each the base of the one before it, and another file; let their hot bytes go."""
    content = {name: models.checkpoint(1, number) for number, name in enumerate(NAMES)}
    for name, data in content.items():
        lab.write(name, data)
    learn(lab)
    assert migrate(lab.context, items(lab)).files_skipped == ()
    assert codecs(lab)["delta-1:bf16"] >= 2
    content["alone"] = os.urandom(40_000)
    lab.write("alone", content["alone"])
    learn(lab)
    migrate(lab.context, items(lab))
    release(lab.context, items(lab), wait_parked=True)
    assert all((lab.root / name).is_symlink() for name in content)
    return content


def objects(lab: Lab) -> dict[str, Held]:
    """The standard store, by key, to be damaged."""
    return shelf(lab.context.tiers["standard"].store.url.removeprefix("memory://")).held


def base_packs(lab: Lab) -> list[tuple[str, int, int]]:
    """(key, offset, stored length) of the blocks that others are coded against and that need nothing themselves."""
    query = (
        "SELECT DISTINCT packs.key, b.offset, b.stored_len FROM blocks d JOIN chunks c ON c.chunk_no = d.base_no "
        "JOIN blocks b ON b.block_no = c.block_no JOIN packs ON packs.pack_no = b.pack_no WHERE b.base_no IS NULL"
    )
    with lab.catalog.read() as tx:
        return [(row[0], row[1], row[2]) for row in tx.conn.execute(text(query))]


def lose(lab: Lab) -> None:
    """The base's object is gone."""
    for key, *_ in base_packs(lab):
        objects(lab).pop(key, None)


def damage(lab: Lab) -> None:
    """A bit of the base's block is wrong."""
    for key, offset, stored_len in base_packs(lab):
        change(lab, key, offset + stored_len // 2)


def change(lab: Lab, key: str, at: int) -> None:
    """Flip one bit of an object."""
    held = objects(lab)[key]
    body = bytearray(held.body)
    body[at] ^= 1
    objects(lab)[key] = Held(bytes(body), held.storage_class, held.checksum, held.etag, held.modified_ns)


def content_of(lab: Lab, name: str) -> bytes:
    """What `cat` shows."""
    taken = io.BytesIO()
    cat(lab.context, str(lab.root / name), taken)
    return taken.getvalue()


@pytest.mark.parametrize(
    ("fault", "kind", "word"), [(lose, ObjectMissing, "packs/"), (damage, IntegrityError, "offset")]
)
def test_p7_what_needs_the_base_fails_with_a_sentence_and_the_rest_comes_back(
    lab: Lab, series: dict[str, bytes], tmp_path: Path, fault: Callable[[Lab], None], kind: type, word: str
) -> None:
    fault(lab)
    for name in NAMES:
        with pytest.raises(kind, match=word):
            content_of(lab, name)
    assert content_of(lab, "alone") == series["alone"]

    out = tmp_path / "out"
    found = told(lambda: restore(lab.context, [str(lab.root)], str(out)))
    assert found is None or sorted(Path(skipped.path).name for skipped in found) == [Path(name).name for name in NAMES]
    assert [path.name for path in out.rglob("*") if path.is_file()] == ["alone"]
    told(lambda: recall(lab.context, items(lab), reason="wanted"))
    assert all((lab.root / name).is_symlink() for name in NAMES)
    assert (lab.root / "alone").read_bytes() == series["alone"]
    assert {path.name for path in (lab.root / "run").iterdir()} == {Path(name).name for name in NAMES}


def told(job: Callable[[], JobReport]) -> tuple[Skipped, ...] | None:
    """What a job skipped; None where it ended, when all the rest was done, with the damage that it found."""
    try:
        return job().files_skipped
    except IntegrityError:
        return None


@pytest.mark.parametrize("fault", [lose, damage])
def test_scrub_names_the_base_and_every_file_that_leans_on_it(
    lab: Lab, series: dict[str, bytes], fault: Callable[[Lab], None]
) -> None:
    fault(lab)
    found = scrub(lab.context)
    (key, *_), *_ = base_packs(lab)
    (of_base,) = [fault for fault in found.faults if fault.pack == key]
    assert sorted(of_base.files) == sorted(NAMES)


def test_audit_says_that_a_base_is_gone(lab: Lab, series: dict[str, bytes]) -> None:
    lose(lab)
    report = audit(lab.context)
    assert not report.ok
    (key, *_), *_ = base_packs(lab)
    assert any(key in sentence for sentence in report.discrepancies)


def test_repack_and_gc_leave_what_they_cannot_prove(lab: Lab, series: dict[str, bytes]) -> None:
    damage(lab)
    before = dict(objects(lab))
    collect(lab.context)
    repack(lab.context)
    assert {key for key in before if key.startswith("packs/")} <= objects(lab).keys()


@pytest.mark.parametrize("is_base", [True, False])
def test_p3_a_damaged_trailer_costs_nothing_in_a_rebuild(lab: Lab, series: dict[str, bytes], is_base: bool) -> None:
    keys = {key for key, *_ in base_packs(lab)}
    packs = {key for key in objects(lab) if key.startswith("packs/")}
    for key in keys if is_base else packs - keys:
        change(lab, key, len(objects(lab)[key].body) - 60)  # in the trailer or the footer
    with lose_catalog(lab) as (empty, catalog):
        rebuilt(empty, catalog)
        for name, data in series.items():
            assert content_of(empty, name) == data


def test_p3_a_rebuild_without_the_base_says_which_files_lack_it(lab: Lab, series: dict[str, bytes]) -> None:
    lose(lab)
    with lose_catalog(lab) as (empty, catalog):
        report = rebuilt(empty, catalog)
        for name in NAMES:
            assert any(name in problem for problem in report.problems), report.problems
            with pytest.raises(FrostlineError):
                content_of(empty, name)
        assert content_of(empty, "alone") == series["alone"]
        assert rows(empty)[b"alone"].recipe_no is not None
