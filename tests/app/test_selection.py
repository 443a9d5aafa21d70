"""Which files of its targets a command acts on."""

import os

from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn, rows
from tiering.app.selection import stored_already, to_migrate
from tiering.app.targets import find_targets
from tiering.catalog import files
from tiering.jobs.migrate import migrate
from tiering.jobs.release import release
from tiering.jobs.reports import Skip
from tiering.report.quote import quote


def test_what_is_stored_is_offered_to_a_colder_tier_and_what_is_at_hand_to_a_warmer_one(lab: Lab) -> None:
    lab.write("on standard", b"a" * 5000)
    os.link(lab.write("linked", b"b" * 5000), lab.root / "other name")
    lab.write("on archive", b"d" * 5000)
    lab.write("new", b"c" * 5000)
    learn(lab)
    migrate(lab.context, items(lab, "standard", [b"on standard", b"linked", b"other name"]))
    migrate(lab.context, items(lab, "archive", [b"on archive"]))

    targets = find_targets(lab.context, [str(lab.root)])
    to_archive, none = to_migrate(lab.context, targets, "archive")
    to_standard, skipped = to_migrate(lab.context, targets, "standard")
    price = quote(lab.context, to_archive, "archive")

    assert [item.name for item in to_archive] == [b"linked", b"new", b"on archive", b"on standard"]
    assert (price.files, price.moved_files, price.size_bytes) == (1, 2, 5000)
    assert none == []
    assert [item.name for item in to_standard] == [b"linked", b"new", b"on archive", b"on standard"]
    assert skipped == []
    release(lab.context, items(lab, "archive", [b"on archive"]), wait_parked=True)
    to_standard, skipped = to_migrate(lab.context, targets, "standard")
    assert [item.name for item in to_standard] == [b"linked", b"new", b"on standard"]
    assert [(os.path.basename(skip.path), skip.kind) for skip in skipped] == [("on archive", Skip.REFUSED)]
    assert "bring it back first" in skipped[0].reason


def test_a_pin_holds_a_stored_copy_where_it_is(lab: Lab) -> None:
    lab.write("a", b"a" * 5000)
    learn(lab)
    migrate(lab.context, items(lab, "standard"))
    row = rows(lab)[b"a"]
    with lab.catalog.write() as tx:
        files.set_pinned(tx, [row.file_id], pinned=True)

    wanted, skipped = to_migrate(lab.context, find_targets(lab.context, [str(lab.root)]), "archive")
    assert wanted == []
    assert "it is pinned" in skipped[0].reason


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
