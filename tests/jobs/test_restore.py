"""restore and cat take stored content out and change nothing."""

import io
import os
from pathlib import Path

import pytest

from tests.jobs.lab import Lab
from tests.jobs.outbound import CONTENT, content, items, learn, rows, send_away, store
from tiering.catalog import commit, files
from tiering.catalog.values import ScannedFile
from tiering.clock import NS_PER_DAY, NS_PER_S
from tiering.errors import UsageError
from tiering.jobs.migrate import migrate
from tiering.jobs.restore import cat, restore


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _seen(lab: Lab) -> list[object]:
    return [(path, row) for path, row in rows(lab).items()]


def test_a_folder_is_restored_and_nothing_changes(lab: Lab, tmp_path: Path) -> None:
    send_away(lab, "runs/1/a.pt", "runs/1/b.pt", "other/c")
    before = _seen(lab)
    out = tmp_path / "out"
    report = restore(lab.context, [str(lab.root / "runs")], str(out))
    assert report.files_done == 2
    assert report.files_skipped == ()
    assert _tree(out) == {f"runs/1/{name}": content(f"runs/1/{name}") for name in ("a.pt", "b.pt")}
    assert _seen(lab) == before
    assert (lab.root / "runs/1/a.pt").is_symlink()


def test_one_file_and_a_whole_root(lab: Lab, tmp_path: Path) -> None:
    send_away(lab, "runs/1/a.pt", "c")
    out = tmp_path / "out"
    restore(lab.context, [str(lab.root / "runs/1/a.pt")], str(out))
    restore(lab.context, [str(lab.root)], str(out))
    assert _tree(out) == {
        "a.pt": content("runs/1/a.pt"),
        "root/runs/1/a.pt": content("runs/1/a.pt"),
        "root/c": content("c"),
    }


def test_what_is_still_on_the_disk_as_well_is_restored_too(lab: Lab, tmp_path: Path) -> None:
    store(lab, "a")
    lab.write("never-stored", b"x")
    learn(lab)
    report = restore(lab.context, [str(lab.root)], str(tmp_path / "out"))
    assert _tree(tmp_path / "out") == {"root/a": content("a")}
    assert "1 files have no stored copy" in report.notes[0]
    assert report.files_skipped == ()


def test_metadata_is_put_back(lab: Lab, tmp_path: Path) -> None:
    place = lab.write("a", CONTENT)
    place.chmod(0o640)
    os.utime(place, ns=(5, 1_222_222_222_222_222_222))
    send_away(lab)
    restore(lab.context, [str(place)], str(tmp_path / "out"))
    status = (tmp_path / "out/a").stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o640, 1_222_222_222_222_222_222)


def test_nothing_is_overwritten(lab: Lab, tmp_path: Path) -> None:
    send_away(lab, "a")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").write_bytes(b"mine")
    report = restore(lab.context, [str(lab.root / "a")], str(out))
    assert "not overwritten" in report.files_skipped[0].reason
    assert _tree(out) == {"a": b"mine"}
    assert os.listdir(out) == ["a"]


def test_hard_links_are_linked_again(lab: Lab, tmp_path: Path) -> None:
    lab.write("d/a", CONTENT)
    os.link(lab.root / "d/a", lab.root / "d/b")
    send_away(lab)
    out = tmp_path / "out"
    assert restore(lab.context, [str(lab.root / "d")], str(out)).files_done == 2
    assert (out / "d/a").samefile(out / "d/b")


def test_a_replaced_version_is_reached_by_its_time(lab: Lab, tmp_path: Path) -> None:
    store(lab, "a")
    first_ns = lab.clock.now_ns()
    lab.clock.advance(NS_PER_DAY // NS_PER_S)
    (lab.root / "a").write_bytes(b"second version")
    row = rows(lab)[b"a"]
    status = (lab.root / "a").stat()
    with lab.catalog.write() as tx:
        seen = ScannedFile(
            row.file_id,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_dev,
            status.st_ino,
            1,
            status.st_mode,
            status.st_uid,
            status.st_gid,
            None,
            "none",
        )
        files.update_scanned(tx, [seen], op_id="scan:2:1", keep_until_ns=tx.now_ns + 30 * NS_PER_DAY)
    assert migrate(lab.context, items(lab)).files_skipped == ()
    out = io.BytesIO()
    cat(lab.context, str(lab.root / "a"), out)
    assert out.getvalue() == b"second version"
    restore(lab.context, [str(lab.root)], str(tmp_path / "out"), at_ns=first_ns)
    assert _tree(tmp_path / "out") == {"root/a": content("a")}
    with pytest.raises(UsageError, match="as of that time"):
        cat(lab.context, str(lab.root / "a"), io.BytesIO(), at_ns=first_ns - NS_PER_DAY)


def test_a_deleted_file_is_reached_by_its_name(lab: Lab, tmp_path: Path) -> None:
    send_away(lab, "a", "b")
    (lab.root / "a").unlink()
    with lab.catalog.write() as tx:
        files.mark_missing(tx, [rows(lab)[b"a"].file_id], op_id="scan:2:1")
    restore(lab.context, [str(lab.root)], str(tmp_path / "all"))
    restore(lab.context, [str(lab.root / "a")], str(tmp_path / "one"))
    assert _tree(tmp_path / "all") == {"root/b": content("b")}
    assert _tree(tmp_path / "one") == {"a": content("a")}


def test_a_file_parted_from_its_copy_is_reached_while_the_copy_is_kept(lab: Lab) -> None:
    store(lab, "a")
    with lab.catalog.write() as tx:
        keep = tx.now_ns + NS_PER_DAY
        commit.supersede(tx, [rows(lab)[b"a"].file_id], op_id="x", keep_until_ns=keep, reason="changed")
    out = io.BytesIO()
    cat(lab.context, str(lab.root / "a"), out)
    assert out.getvalue() == content("a")


def test_cat_writes_holes_as_zeros(lab: Lab) -> None:
    place = lab.write("sparse", b"")
    with place.open("wb") as file:
        file.seek(3 << 20)
        file.write(b"data" * 5000)
        file.truncate(5 << 20)
    whole = place.read_bytes()
    send_away(lab)
    out = io.BytesIO()
    cat(lab.context, str(place), out)
    assert out.getvalue() == whole


def test_bad_paths_get_a_sentence(lab: Lab, tmp_path: Path) -> None:
    send_away(lab, "a")
    with pytest.raises(UsageError, match="not under any root"):
        restore(lab.context, [str(tmp_path / "elsewhere")], str(tmp_path / "out"))
    with pytest.raises(UsageError, match="stores nothing"):
        cat(lab.context, str(lab.root / "nothing"), io.BytesIO())
    report = restore(lab.context, [str(lab.root / "nothing")], str(tmp_path / "out"))
    assert "nothing is stored" in report.files_skipped[0].reason
