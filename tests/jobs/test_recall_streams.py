"""recall holds little of what it brings back: items are taken as they come, and few bytes are kept of what waits."""

import os

import pytest

from tests.jobs.lab import Lab
from tests.jobs.outbound import Counted, content, items, learn, rows, send_away
from tiering.catalog import tickets as ticket_rows
from tiering.jobs import recall as recall_module
from tiering.jobs import recall_waiting
from tiering.jobs.migrate import migrate
from tiering.jobs.recall import recall
from tiering.jobs.release import release
from tiering.jobs.reports import Skip


def test_items_are_taken_as_they_are_brought_back(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall_module, "LOOK_UP_ITEMS", 2)
    send_away(lab, "a", "b", "c", "d", "e")
    given = Counted(items(lab))
    taken_at_commit: list[int] = []

    def step(name: str) -> None:
        if name == "recall.committed":
            taken_at_commit.append(given.taken)

    assert recall(lab.with_steps(step), given, reason="asked").files_done == 5
    assert taken_at_commit == [2, 4, 5]


def test_very_many_archived_files_are_put_on_several_tickets(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall_waiting, "TICKET_FILES", 2)
    monkeypatch.setattr(recall_waiting, "SKIPS_LISTED", 3)
    for number in range(5):
        lab.write(f"cold/{number}", content(str(number)))
    os.link(lab.root / "cold/0", lab.root / "cold/z")
    learn(lab)
    assert migrate(lab.context, items(lab, tier="archive")).files_skipped == ()
    assert release(lab.context, items(lab), wait_parked=True).files_skipped == ()
    report = recall(lab.context, items(lab), reason="asked")
    assert (len(report.tickets), report.exit_code) == (3, 4)
    assert [skip.kind for skip in report.files_skipped] == [Skip.WAITING] * 3
    assert report.skipped_by_kind == {Skip.WAITING: 5}
    assert recall(lab.context, items(lab), reason="asked").tickets == report.tickets, (
        "asking again gives the same tickets"
    )
    with lab.catalog.read() as tx:
        wanted = [file.file_id for number in report.tickets for file in ticket_rows.files_of(tx, number)]
    assert sorted(wanted) == sorted(row.file_id for row in rows(lab).values())
