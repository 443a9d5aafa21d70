"""Which files of its targets a command acts on."""

import os

from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn
from tiering.app.selection import stored_already, to_migrate
from tiering.app.targets import find_targets
from tiering.catalog import files
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


def test_what_is_stored_where_it_was_to_be_is_counted_and_not_looked_at_one_by_one(lab: Lab) -> None:
    (lab.root / "sub").mkdir()
    for name in ("a", "b", "sub/c", "pinned"):
        lab.write(name, name.encode() * 5000)
    os.link(lab.root / "a", lab.root / "other name")
    learn(lab)
    migrate(lab.context, items(lab, "standard"))
    root_id = lab.context.roots[0].root_id
    with lab.context.catalog.write() as tx:
        row = files.get(tx, root_id, b"", b"pinned")
        assert row is not None
        files.set_pinned(tx, [row.file_id], True)
    lab.write("new", b"c" * 5000)
    learn(lab)

    whole = find_targets(lab.context, [str(lab.root)])
    below = find_targets(lab.context, [str(lab.root / "sub")])
    alone = find_targets(lab.context, [str(lab.root / "b"), str(lab.root / "new")])
    wanted, skipped = to_migrate(lab.context, whole, "standard", with_stored=False)

    assert [item.name for item in wanted] == [b"new"]
    assert [os.path.basename(skip.path) for skip in skipped] == ["pinned"]
    assert [stored_already(lab.context, targets, "standard") for targets in (whole, below, alone)] == [3, 1, 1]
    assert stored_already(lab.context, whole, "archive") == 0
    assert to_migrate(lab.context, below, "standard", with_stored=False) == ([], [])
    assert [item.name for item in to_migrate(lab.context, alone, "standard", with_stored=False)[0]] == [b"new"]
