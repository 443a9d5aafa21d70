"""The forecast goes by the books: what grew by the day goes on growing."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import learn
from tiering.catalog import growth
from tiering.jobs.accrue import accrue
from tiering.report.forecast import forecast

DAY_S = 86_400
SIZE = 50_000


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with open_lab(tmp_path / "lab") as opened:
        yield opened


def grow(lab: Lab, days: int) -> None:
    for day in range(days):
        lab.write(f"f{day}", b"x" * SIZE)
        learn(lab)
        lab.clock.advance(DAY_S)
    accrue(lab.context)


def test_young_books_foretell_nothing(lab: Lab) -> None:
    grow(lab, 3)
    ahead = forecast(lab.context)

    assert (ahead.bytes_per_day, ahead.full_in_days, ahead.usd_nano_next_month) == (None, None, None)


def test_what_grew_by_the_day_fills_the_disk_on_the_day_it_says(lab: Lab) -> None:
    grow(lab, 20)
    ahead = forecast(lab.context)
    with lab.catalog.read() as tx:
        series = growth.hot_bytes(tx, days=10)

    assert [after - before for (_, before), (_, after) in pairwise(series)][:8] == [SIZE] * 8
    assert ahead.bytes_per_day == pytest.approx(SIZE, rel=0.1)
    assert ahead.hot_bytes == 20 * SIZE
    assert ahead.usd_nano_next_month is not None
