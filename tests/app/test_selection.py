"""Which files of its targets a command acts on."""

import os

from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn, rows
from tiering.app.selection import Part, Selection, select
from tiering.app.targets import find_targets
from tiering.catalog import files
from tiering.jobs.migrate import migrate
from tiering.jobs.release import release
from tiering.jobs.reports import Skip
from tiering.report.quote import quote


def names(selected: Selection) -> dict[str, list[bytes]]:
    """Part -> names, in order; as many as the catalog added up."""
    found = {
        "store": [item.name for item in selected.to_store()],
        "move": [row.name for row in selected.to_move()],
        "done": [item.name for item in selected.stored()],
    }
    assert {part: len(there) for part, there in found.items()} == {
        part.value: selected.parts[part].files for part in (Part.STORE, Part.MOVE, Part.DONE)
    }
    return found


def test_what_is_stored_is_offered_to_a_colder_tier_and_what_is_at_hand_to_a_warmer_one(lab: Lab) -> None:
    lab.write("on standard", b"a" * 5000)
    os.link(lab.write("linked", b"b" * 5000), lab.root / "other name")
    lab.write("on archive", b"d" * 5000)
    lab.write("new", b"c" * 5000)
    learn(lab)
    migrate(lab.context, items(lab, "standard", [b"on standard", b"linked", b"other name"]))
    migrate(lab.context, items(lab, "archive", [b"on archive"]))

    targets = find_targets(lab.context, [str(lab.root)])
    to_archive = select(lab.context, targets, "archive")
    to_standard = select(lab.context, targets, "standard")
    price = quote(lab.context, "archive", to_archive.parts[Part.STORE], to_archive.to_move())

    assert names(to_archive) == {"store": [b"new"], "move": [b"linked", b"on standard"], "done": [b"on archive"]}
    assert (price.files, price.moved_files, price.size_bytes) == (1, 2, 5000)
    assert to_archive.skips().count == 0
    assert names(to_standard) == {"store": [b"new", b"on archive"], "move": [], "done": [b"linked", b"on standard"]}
    assert to_standard.skips().count == 0
    release(lab.context, items(lab, "archive", [b"on archive"]), wait_parked=True)
    to_standard = select(lab.context, targets, "standard")
    assert names(to_standard) == {"store": [b"new"], "move": [], "done": [b"linked", b"on standard"]}
    skipped = to_standard.skips().listed
    assert [(os.path.basename(skip.path), skip.kind) for skip in skipped] == [("on archive", Skip.REFUSED)]
    assert "bring it back first" in skipped[0].reason


def test_a_pin_holds_a_stored_copy_where_it_is(lab: Lab) -> None:
    lab.write("a", b"a" * 5000)
    learn(lab)
    migrate(lab.context, items(lab, "standard"))
    row = rows(lab)[b"a"]
    with lab.catalog.write() as tx:
        files.set_pinned(tx, [row.file_id], pinned=True)

    selected = select(lab.context, find_targets(lab.context, [str(lab.root)]), "archive")
    assert names(selected) == {"store": [], "move": [], "done": []}
    assert "it is pinned" in selected.skips().listed[0].reason


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
    selected = select(lab.context, whole, "standard")

    assert names(selected) == {"store": [b"new"], "move": [], "done": [b"a", b"b", b"c"]}
    assert [os.path.basename(skip.path) for skip in selected.skips().listed] == ["pinned"]
    done = [select(lab.context, targets, "standard").parts[Part.DONE].files for targets in (whole, below, alone)]
    assert done == [3, 1, 1]
    assert select(lab.context, whole, "archive").parts[Part.DONE].files == 0
    assert names(select(lab.context, below, "standard")) == {"store": [], "move": [], "done": [b"c"]}
    assert names(select(lab.context, alone, "standard")) == {"store": [b"new"], "move": [], "done": [b"b"]}
