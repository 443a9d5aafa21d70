"""Which files of its targets a command acts on."""

import os

from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn
from tiering.app.selection import to_migrate
from tiering.app.targets import find_targets
from tiering.jobs.migrate import migrate
from tiering.jobs.reports import Skip


def test_what_is_stored_on_another_tier_is_not_offered_and_not_quoted(lab: Lab) -> None:
    lab.write("on standard", b"a" * 5000)
    os.link(lab.write("linked", b"b" * 5000), lab.root / "other name")
    lab.write("new", b"c" * 5000)
    learn(lab)
    migrate(lab.context, items(lab, "standard", [b"on standard", b"linked", b"other name"]))

    targets = find_targets(lab.context, [str(lab.root)])
    to_archive, skipped = to_migrate(lab.context, targets, "archive")
    to_standard, none = to_migrate(lab.context, targets, "standard")

    assert [item.name for item in to_archive] == [b"new"]
    assert {(os.path.basename(skip.path), skip.kind) for skip in skipped} == {
        ("on standard", Skip.REFUSED),
        ("linked", Skip.REFUSED),
        ("other name", Skip.REFUSED),
    }
    assert all("is stored on standard and stays there" in skip.reason for skip in skipped)
    assert [item.name for item in to_standard] == [b"linked", b"new", b"on standard"]
    assert none == []
