"""release holds few of its files at a time: items are taken as they go, parked files freed while others are parked."""

from pathlib import Path
from typing import BinaryIO

import pytest

from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import Counted, books_balance, hidden, items, states, store, under_way
from tiering.catalog.values import FileState
from tiering.jobs import release as release_module
from tiering.jobs.release import finish_parked, release


def test_items_are_taken_as_they_are_released(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_module, "BATCH_FILES", 2)
    store(lab, "a", "b", "c", "d", "e")
    given = Counted(items(lab))
    taken_at_claim: list[int] = []

    def step(name: str) -> None:
        if name == "release.intent":
            taken_at_claim.append(given.taken)

    assert release(lab.with_steps(step), given, wait_parked=True).files_done == 5
    assert taken_at_claim == [2, 4, 5]


def test_parked_files_are_freed_while_others_are_parked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_module, "BATCH_FILES", 3)
    monkeypatch.setattr(release_module, "BATCH_ROWS", 2)
    with open_lab(tmp_path / "lab", release={"park_s": 60, "min_size": 0}) as lab:
        store(lab, *(f"{number:02d}" for number in range(11)))
        parked: list[int] = []

        def step(name: str) -> None:
            if name == "release.parked":
                parked.append(len(under_way(lab)))
                lab.clock.advance(40)  # a batch is due when the one after the next was parked

        report = release(lab.with_steps(step), items(lab), wait_parked=True)
        assert (report.files_done, report.files_skipped) == (11, ())
        assert parked == [3, 6, 6, 5], "one batch is freed for each that is parked"
        assert set(states(lab).values()) == {FileState.OFFLINE}
        assert (hidden(lab), under_way(lab)) == ([], [])
        books_balance(lab)


def test_what_stays_parked_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_module, "BATCH_FILES", 2)
    monkeypatch.setattr(release_module, "BATCH_ROWS", 2)
    with open_lab(tmp_path / "lab", release={"park_s": 0, "min_size": 0}) as lab:
        store(lab, *"abcdef")
        held: list[BinaryIO] = []

        def step(name: str) -> None:
            if name == "release.parked" and not held:
                held.append((lab.root / hidden(lab)[0]).open("rb"))  # a reader keeps its second lease away

        report = release(lab.with_steps(step), items(lab), wait_parked=True)
        assert (report.files_done, report.skipped_count) == (5, 1)
        held[0].close()
        finish_parked(lab.context)
        assert (hidden(lab), under_way(lab)) == ([], [])


def test_a_pass_finishes_what_is_due_and_leaves_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_module, "BATCH_ROWS", 2)
    with open_lab(tmp_path / "lab", release={"park_s": 60, "min_size": 0}) as lab:
        store(lab, *"abcde")
        release(lab.context, items(lab)[::2], wait_parked=False)
        lab.clock.advance(61)
        release(lab.context, items(lab)[1::2], wait_parked=False)
        assert finish_parked(lab.context).files_done == 3
        assert len(under_way(lab)) == 2
        lab.clock.advance(61)
        assert finish_parked(lab.context).files_done == 2
        assert under_way(lab) == []
