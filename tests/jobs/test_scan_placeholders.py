"""Placeholders that a scan meets: left, believed, followed, adopted, or reported and given nothing."""

import os
from pathlib import Path

import pytest

from tests.jobs.lab import Lab, open_lab
from tests.jobs.scanning import balance, rows, scan, states
from tests.jobs.stored import link, release, store
from tiering.catalog import versions
from tiering.catalog.values import FileState
from tiering.jobs.gc import collect
from tiering.jobs.reports import Skip


def test_a_placeholder_at_its_own_path_is_left_as_it_is(lab: Lab) -> None:
    lab.write("a", b"data")
    scan(lab)
    release(lab, "a", store(lab, "a"))
    before = rows(lab)
    report = scan(lab)

    assert (report.changed, report.adopted, report.problem_count) == (0, 0, 0)
    assert rows(lab) == before
    assert balance(lab, "files.offline") == 4


def test_a_placeholder_is_believed_over_the_catalog(lab: Lab) -> None:
    lab.write("a", b"data")
    scan(lab)
    recipe_id = store(lab, "a")
    (lab.root / "a").unlink()
    link(lab.root / "a", recipe_id)
    scan(lab)

    assert rows(lab)["a"].state is FileState.OFFLINE


def test_a_vanished_placeholder_is_missing_and_its_copy_retained(lab: Lab) -> None:
    lab.write("a", b"data")
    lab.write("b", b"more")
    scan(lab)
    release(lab, "a", store(lab, "a")).unlink()
    scan(lab)
    row = rows(lab)["a"]

    assert (row.state, row.missing_from) == (FileState.MISSING, "offline")
    assert balance(lab, "held.retained") == -4


def test_a_placeholder_replaced_by_a_file_is_a_new_file_and_the_old_version_is_kept(lab: Lab) -> None:
    lab.write("a", b"data")
    scan(lab)
    release(lab, "a", store(lab, "a")).unlink()
    lab.write("a", b"another file")
    scan(lab)
    row = rows(lab)["a"]

    assert (row.state, row.size, row.recipe_no) == (FileState.REGULAR, 12, None)
    with lab.catalog.read() as tx:
        assert [version.reason for version in versions.of_path(tx, row.root_id, b"", b"a")] == ["replaced"]


def test_a_renamed_placeholder_takes_its_row_along(lab: Lab) -> None:
    lab.write("a", b"data")
    scan(lab)
    release(lab, "a", store(lab, "a"))
    before = rows(lab)["a"]
    os.makedirs(lab.root / "z")
    os.rename(lab.root / "a", lab.root / "z/b")
    report = scan(lab)
    after = rows(lab)

    assert (report.moved, report.missing, report.adopted) == (1, 0, 0)
    assert set(after) == {"z/b"}
    assert after["z/b"].file_id == before.file_id
    assert after["z/b"].state is FileState.OFFLINE
    assert scan(lab).changed == 0


def test_a_copied_placeholder_is_adopted_as_one_more_holder(lab: Lab) -> None:
    lab.write("a", b"data")
    scan(lab)
    recipe_id = store(lab, "a")
    release(lab, "a", recipe_id)
    link(lab.root / "copy", recipe_id)
    report = scan(lab)
    found = rows(lab)

    assert report.adopted == 1
    assert found["copy"].state is FileState.OFFLINE
    assert found["copy"].recipe_no == found["a"].recipe_no
    assert found["copy"].size == 4
    assert balance(lab, "files.offline") == 8


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_a_forged_placeholder_gives_nothing_away(lab: Lab) -> None:
    lab.write("secret", b"data")
    scan(lab)
    recipe_id = store(lab, "secret", owner=1001)
    release(lab, "secret", recipe_id)
    link(lab.root / "mine", recipe_id, uid=1002)
    report = scan(lab)

    assert "mine" not in rows(lab)
    assert report.adopted == 0
    assert [problem.kind for problem in report.problems] == [Skip.REFUSED]
    assert "forged" in report.problems[0].reason
    assert report.exit_code == 3
    link(lab.root / "given", recipe_id, uid=1001)
    assert scan(lab).adopted == 1


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
@pytest.mark.parametrize("replaced", [False, True])
def test_p5_what_a_refused_placeholder_names_is_kept_while_it_stands(lab: Lab, replaced: bool) -> None:
    """Its tree was copied to another disk and given to another user: adopted by nobody, and yet all there is."""
    lab.write("a", b"data")
    lab.write("b", b"more")
    scan(lab)
    release(lab, "a", store(lab, "a"))
    os.rename(lab.root / "a", lab.root / "copy")
    copied = os.readlink(lab.root / "copy")
    (lab.root / "copy").unlink()
    (lab.root / "copy").symlink_to(copied)
    os.chown(lab.root / "copy", 4242, 4242, follow_symlinks=False)
    if replaced:
        lab.write("a", b"another file")
    for _ in range(4):
        assert scan(lab).problem_count == 1
        lab.clock.advance(20 * 86_400)
        report = collect(lab.context)
        assert (report.versions_ended, report.files_forgotten) == (0, 0)
    os.chown(lab.root / "copy", os.getuid(), os.getgid(), follow_symlinks=False)
    assert scan(lab).adopted == 1
    (lab.root / "copy").unlink()
    scan(lab)
    lab.clock.advance(31 * 86_400)
    assert collect(lab.context).files_forgotten == (1 if replaced else 2)


def test_a_forged_placeholder_over_a_known_file_does_not_lose_that_files_copy(lab: Lab) -> None:
    lab.write("secret", b"data")
    lab.write("own", b"mine!")
    scan(lab)
    recipe_id = store(lab, "secret", owner=1001)
    store(lab, "own", owner=1002)
    (lab.root / "own").unlink()
    link(lab.root / "own", recipe_id, uid=1002)
    scan(lab)
    row = rows(lab)["own"]

    assert (row.state, row.missing_from) == (FileState.MISSING, "dual")
    assert balance(lab, "held.retained") == -5


def test_a_placeholder_moved_over_another_file_takes_its_place_and_keeps_that_ones_copy(lab: Lab) -> None:
    lab.write("a", b"data")
    lab.write("b", b"other")
    scan(lab)
    release(lab, "a", store(lab, "a"))
    store(lab, "b")
    recipe_no = rows(lab)["a"].recipe_no
    os.replace(lab.root / "a", lab.root / "b")
    scan(lab)
    found = rows(lab)

    assert (found["b"].state, found["b"].recipe_no, found["b"].size) == (FileState.OFFLINE, recipe_no, 4)
    with lab.catalog.read() as tx:
        assert len(versions.of_path(tx, found["b"].root_id, b"", b"b")) == 1


def test_unknown_and_foreign_placeholders_are_reported_and_left(lab: Lab) -> None:
    link(lab.root / "x", "0" * 26)
    link(lab.root / "y", "0" * 26, store_id="otherone")
    report = scan(lab)

    assert rows(lab) == {}
    assert sorted(problem.reason.split()[2] for problem in report.problems) == ["belongs", "names"]


def test_roots_without_placeholders_do_not_miss_their_offline_files(tmp_path: Path) -> None:
    root = {"name": "root", "path": f"{tmp_path}/lab/root", "placeholder": "none"}
    with open_lab(tmp_path / "lab", roots=[root]) as lab:
        lab.write("a", b"data")
        lab.write("b", b"data")
        scan(lab)
        release(lab, "a", store(lab, "a")).unlink()
        report = scan(lab)

        assert report.missing == 0
        assert states(lab)["a"] == "offline"
