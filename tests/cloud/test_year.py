"""A year of checkpoints at mixed temperatures: no hot file ever needs an archived object, and the dollars are those of
the best placement of packs, nearly.
"""

import pytest

from tests.cloud.installation import Site
from tests.cloud.placement import atoms_of, best_nano
from tests.cloud.test_mover import live
from tests.cloud.year import CLASSES, Year, path_of
from tests.jobs.outbound import items, rows
from tiering.catalog.values import FileState
from tiering.jobs.advance import advance
from tiering.jobs.audit import audit
from tiering.jobs.recall import recall

pytestmark = pytest.mark.s3


def all_back(year: Year) -> None:
    """Bring everything back from wherever it is, and compare it."""
    lab = year.lab
    recall(lab.context, items(lab, "standard", list(year.content)), reason="the end")
    for _ in range(3):
        year.site.run(13)
        advance(lab.context)
    for path, data in year.content.items():
        assert (lab.root / path.decode()).read_bytes() == data


def test_the_small_case_costs_what_the_best_placement_costs(site: Site) -> None:
    """Four checkpoints, nine months; the second stays warm: within 5 % of every partition and every way tried."""
    with site.lab(CLASSES, chunking={"pack_bytes": "16MiB"}) as lab:
        year = Year(site, lab, words=1_500_000)
        for month in range(9):
            if month < 4:
                year.save(month)
            elif month == 4:
                year.free([path_of(3)])
            year.cool("archive", [number for number in (month - 3,) if number in {0, 2, 3}])
            year.end_month()
        paid = year.asked_nano + year.held_nano + year.early_nano
        best, _ = best_nano(atoms_of(year.history), list(CLASSES.values()), year.book)
        assert paid <= best * 105 / 100
        assert audit(lab.context).discrepancies == ()
        assert site.differences(lab) == {}


@pytest.mark.heavy
def test_twelve_checkpoints_for_a_year(site: Site) -> None:
    """Warm for three months, then rare or in the archive, the odd ones there four months later, the fourth kept warm;
    the first is called back in between. Requests are counted and are those that the reports name.
    """
    with site.lab(CLASSES, chunking={"pack_bytes": "4MiB"}) as lab:
        year = Year(site, lab, words=600_000)
        for month in range(14):
            if month < 12:
                year.save(month)
            elif month == 12:
                year.free([path_of(11)])
            year.cool("archive", [number for number in (month - 3,) if number >= 0 and number % 2 == 0 and number != 4])
            year.cool("rare", [number for number in (month - 3,) if number >= 0 and number % 2 == 1])
            year.cool("archive", [number for number in (month - 7,) if number >= 0 and number % 2 == 1])
            if month == 8:
                call_back(year, path_of(0))
            year.end_month()
        moved = sum(report.packs_moved for report in year.moved)
        written = sum(report.rewritten.packs_written for report in year.moved)
        reads = sum(report.rewritten.reads for report in year.moved)
        print("requests for packs:", dict(year.asked))  # pytest -rP shows it
        assert year.asked["copy"] == moved > 0
        assert year.asked["get"] >= reads > 0
        assert year.asked["put"] <= 12 * 2 + written
        assert sum(year.asked[kind] for kind in ("put", "copy", "get")) <= 12 * 12
        assert {row.storage_class for row in live(lab)} == set(CLASSES.values())
        all_back(year)
        assert audit(lab.context).discrepancies == ()
        site.run(20 * 24)
        assert site.differences(lab) == {}


def call_back(year: Year, path: bytes) -> None:
    """Recall a file out of the archive and free it again: its stored copy stays where it is."""
    lab = year.lab
    assert recall(lab.context, items(lab, "archive", [path]), reason="compared").exit_code == 4
    year.site.run(13)
    advance(lab.context)
    assert rows(lab)[path].state is FileState.DUAL
    assert (lab.root / path.decode()).read_bytes() == year.content[path]
    year.free([path])
