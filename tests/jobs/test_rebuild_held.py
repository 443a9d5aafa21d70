"""rebuild keeps what no file holds any more: recipes that it found in the store alone."""

from dataclasses import replace

import pytest

from tests.jobs.debris import put
from tests.jobs.lab import Lab
from tests.jobs.outbound import books_balance, content, send_away, store
from tests.jobs.rebuilding import lose_catalog, rebuilt
from tiering.catalog import versions
from tiering.jobs import findings, rebuild_objects
from tiering.jobs.audit import audit
from tiering.jobs.restore import restore


def _forget_segments(lab: Lab) -> None:
    home = lab.context.metadata.store
    for info in list(home.list("segments/")):
        home.delete(info.key)


def test_recipes_without_files_are_kept_page_after_page(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild_objects, "PAGE", 2)
    paths = ["a", "b/c", "b/d", "e", "f/g"]
    send_away(lab, *paths)
    _forget_segments(lab)
    for path in paths:
        (lab.root / path).unlink()
    with lose_catalog(lab) as (again, catalog):
        report = rebuilt(again, catalog)
        assert (report.recipes_salvaged, report.recipes_held, report.problems) == (5, 5, [])
        with catalog.read() as tx:
            kept = versions.every(tx)
        assert sorted((row.dir + row.name).decode() for row in kept) == sorted(paths)
        assert {row.reason for row in kept} == {"recovered"}
        out = lab.base / "out"
        for path in paths:
            restore(again.context, [str(lab.root / path)], str(out))
            assert (out / path.rpartition("/")[2]).read_bytes() == content(path)
        books_balance(again)
        assert audit(again.context).discrepancies == ()
    with lose_catalog(lab, f"sqlite:///{lab.base}/state/third.db") as (third, catalog):
        assert rebuilt(third, catalog).recipes_held == 0, "segments say of each that it is held"
        with catalog.read() as tx:
            assert len(versions.every(tx)) == 5


def test_recipes_of_a_root_that_is_not_configured_are_counted(lab: Lab) -> None:
    store(lab, "a", "b/c")
    _forget_segments(lab)
    config = lab.context.config
    other = config.roots[0].model_copy(update={"name": "other"})
    lab.context = replace(lab.context, config=config.model_copy(update={"roots": [other]}))
    with lose_catalog(lab) as (again, catalog):
        report = rebuilt(again, catalog)
        assert report.problems == ["2 recipes are of root root, which is not configured"]
        assert (report.recipes_held, report.exit_code) == (0, 20)


def test_of_very_many_problems_all_are_counted_and_the_first_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "LISTED", 2)
    store(lab, "a")
    for number in range(5):
        put(lab, f"packs/00/{number:064x}-{number:08x}", b"no pack at all")
    with lose_catalog(lab) as (again, catalog):
        report = rebuilt(again, catalog)
        assert (len(report.problems), report.problem_count, report.exit_code) == (2, 5, 20)
        assert all("trailer is damaged" in problem for problem in report.problems)
        books_balance(again)
