"""P8: bad input gets a sentence and the documented exit code; never a traceback, nothing half done."""

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tests.whole.site import Site
from tests.whole.tree import text, write


@pytest.fixture
def small(tmp_path: Path) -> Site:
    """An initialised site with three files."""
    made = Site(tmp_path / "site")
    for i in range(3):
        write(os.fsencode(made.root) + b"/%d.txt" % i, text(i, 50_000))
    made.init()
    return made


def says(site: Site, *args: str, code: int) -> str:
    """Run, expect *code*, return what was said on stderr."""
    return site.run(*args, expect=code).stderr


def test_missing_config_names_the_file_and_the_command_that_makes_one(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    said = says(site, "status", code=2)
    assert str(site.config) in said
    assert "init" in said


def test_malformed_config_names_the_line(small: Site) -> None:
    small.config.write_text(small.config.read_text() + "\n[[[nonsense")
    assert str(small.config) in says(small, "status", code=2)


def test_an_unknown_key_is_refused_by_name(small: Site) -> None:
    small.config.write_text("colour = 'blue'\n" + small.config.read_text())
    assert "colour" in says(small, "status", code=2)


def test_an_unsupported_database_is_refused(small: Site) -> None:
    small.set("url", '"mysql://localhost/frostline"')
    assert "mysql" in says(small, "status", code=2)


def test_a_newer_schema_is_refused_and_left_alone(small: Site) -> None:
    database = next(small.state.rglob("*.db"))
    with closing(sqlite3.connect(database)) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = 'ffff_from_the_future'")
    said = says(small, "status", code=2)
    assert "newer" in said


def test_a_root_inside_the_store_is_refused(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    inside = site.store_dir / "data"
    inside.mkdir(parents=True)
    said = says(site, "init", "--root", str(inside), "--store", site.store_url, "--state", str(site.state), code=2)
    assert str(inside) in said
    assert not site.config.exists()


def test_a_store_inside_a_root_is_refused(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    store = f"file://{site.root}/store"
    said = says(site, "init", "--root", str(site.root), "--store", store, "--state", str(site.state), code=2)
    assert "inside" in said


def test_overlapping_roots_are_refused(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    nested = site.root / "nested"
    nested.mkdir()
    args = ["--root", str(site.root), "--root", str(nested), "--store", site.store_url, "--state", str(site.state)]
    said = says(site, "init", *args, code=2)
    assert str(nested) in said


def test_a_tier_keeps_its_name_once_something_is_stored_in_it(small: Site) -> None:
    written = small.config.read_text()
    renamed = written.replace("[tiers.standard]", "[tiers.cold]")
    small.config.write_text(renamed)
    small.run("status")  # nothing is stored yet: any name will do
    small.config.write_text(written)
    small.json("migrate", str(small.root), "--to", "standard", "--release", "--yes")
    small.config.write_text(renamed)
    for command in (("status",), ("doctor",), ("explain", f"{small.root}/0.txt"), ("recall", str(small.root))):
        said = says(small, *command, code=2)
        assert '"standard"' in said
        assert "put [tiers.standard] back" in said
    small.config.write_text(written)
    small.json("recall", str(small.root))
    small.audit()


def test_a_tier_with_packs_is_not_given_an_empty_store(small: Site) -> None:
    small.json("migrate", str(small.root), "--to", "standard", "--release", "--yes")
    moved = small.base / "moved"
    small.set("store", f'"file://{moved}"')
    assert "is empty" in says(small, "init", code=2)
    shutil.rmtree(moved, ignore_errors=True)
    shutil.copytree(small.store_dir, moved)
    small.run("init")
    small.json("recall", str(small.root))
    small.audit()


def test_doctor_names_a_hint_that_keeps_every_plan_from_being_made(small: Site) -> None:
    hints = small.state / "hints.d"
    hints.mkdir()
    (hints / "odd.toml").write_text("x = [")
    (found,) = [it for it in small.json("doctor", expect=1)["findings"] if "odd.toml" in it["what"]]
    assert "no plan can be made" in found["what"]


def test_doctor_names_a_root_that_left_the_configuration_with_files_in_the_store(small: Site) -> None:
    other = small.base / "other"
    other.mkdir()
    small.run("init", "--root", str(other))
    small.json("migrate", str(small.root), "--to", "standard", "--release", "--yes")
    written = small.config.read_text()
    first = written.index("[[roots]]")
    small.config.write_text(written[:first] + written[written.index("\n[", first) + 1 :])
    (found,) = [it for it in small.json("doctor", expect=1)["findings"] if it["weight"] == "bad"]
    assert "3 files of it" in found["what"]
    small.config.write_text(written)
    small.json("doctor")


def test_a_root_that_was_left_is_called_so_and_can_be_taken_up_again(small: Site) -> None:
    small.run("scan")
    small.run("leave", "--yes")
    assert "was left" in says(small, "status", code=2)
    small.run("init", "--root", str(small.root))
    small.run("scan")


def test_a_catalog_is_one_file_from_wherever_it_is_asked(small: Site) -> None:
    small.set("url", '"sqlite:///catalog.db"')
    assert "absolute path" in says(small, "status", code=2)


def test_a_root_keeps_its_name(small: Site) -> None:
    written = small.config.read_text()
    small.config.write_text(written.replace('name = "root"', 'name = "other"', 1))
    for command in (("status",), ("init", "--root", str(small.root))):
        said = says(small, *command, code=2)
        assert "is known to the catalog as root" in said
        assert 'write name = "root"' in said
    small.config.write_text(written)
    small.run("scan")


def test_names_and_times_that_mean_nothing_are_refused(small: Site) -> None:
    cases = {
        ("scan", "--root", "nope"): "the roots are: root",
        ("ls", "--state", "frozen"): "choose among: regular",
        ("audit", "--since", "2d"): "write 2026-01-31",
        ("audit", "--since", "2026-03-01", "--until", "2026-02-01"): "no time lies between",
        ("cat", str(small.root)): "is a folder; cat is about one file",
        ("recall", str(small.root), "--range", "0+5"): "is a folder",
        ("recall", str(small.root), "--by", "tomorrow"): "neither a duration nor a time",
        ("prices", "show", "own.json"): "./own.json",
    }
    small.run("scan")
    cases |= {("simulate", "--hot", "floppy"): "--hot", ("tune",): "days are the least"}
    for words, wanted in cases.items():
        assert wanted in says(small, *words, code=2)


def test_an_audit_claims_nothing_of_what_it_did_not_look_at(small: Site) -> None:
    page = small.base / "audit.html"
    small.run("scan")
    said = small.run("audit", "--no-store", "--html", str(page)).stdout
    assert "ok: ledger, catalog and disk agree" in said
    assert "note: the stores were not listed" in said
    head = small.json("ledger", "verify")["head"]
    for wanted in ("ledger, catalog and disk agree", "the stores were not listed", "bytes as of", head):
        assert wanted in page.read_text()
    assert "ok: ledger, catalog, store and disk agree" in small.run("audit").stdout
    assert small.json("audit", "--no-disk")["notes"] == ["the trees were not looked at: --no-disk"]


def test_copies_are_not_put_into_the_store_or_the_state(small: Site) -> None:
    small.json("migrate", str(small.root), "--to", "standard", "--yes")
    link = small.base / "link"
    link.symlink_to(small.store_dir)
    for folder in (small.store_dir / "x", link / "deep" / "x", small.state, small.config):
        assert "nothing was copied" in says(small, "restore", str(small.root), "--to", str(folder), code=2)
    assert not (small.store_dir / "x").exists()
    for number in range(30):
        (small.store_dir / f"somebody-{number}").write_text("")
    assert len(small.json("audit")["notes"]) == 30
    said = small.run("audit").stdout
    assert said.count("is not frostline's") == 20
    assert "and 10 more" in said


def test_a_plan_takes_no_device_away_and_follows_a_link(small: Site) -> None:
    pipe, link, plan = small.base / "pipe", small.base / "link", small.base / "today.plan"
    os.mkfifo(pipe)
    assert "it is no file" in says(small, "plan", "--save", str(pipe), code=2)
    assert stat.S_ISFIFO(os.lstat(pipe).st_mode)
    link.symlink_to(plan)
    small.run("plan", "--save", str(link))
    assert link.is_symlink()
    small.run("apply", str(plan))


def test_an_unreachable_store_is_try_again(small: Site) -> None:
    hidden = small.base / "elsewhere"
    os.rename(small.store_dir, hidden)
    said = says(small, "migrate", str(small.root), "--to", "standard", "--yes", code=75)
    assert "store" in said
    os.rename(hidden, small.store_dir)
    small.json("migrate", str(small.root), "--to", "standard", "--yes")
    small.audit()


def test_an_unreachable_s3_endpoint_is_try_again(tmp_path: Path, aws_credentials: tuple[str, str]) -> None:
    site = Site(tmp_path / "site", store_url="s3://bucket/prefix")
    args = ["--root", str(site.root), "--store", site.store_url, "--state", str(site.state)]
    said = says(site, "init", *args, "--endpoint-url", "http://127.0.0.1:9", code=75)
    assert "127.0.0.1:9" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_an_unreadable_file_is_skipped_and_listed(small: Site) -> None:
    os.chmod(small.root / "0.txt", 0)
    done = small.json("migrate", str(small.root), "--to", "standard", "--yes", expect=3)
    assert [row["path"] for row in done["files_skipped"]] == [str(small.root / "0.txt")]


def test_a_second_catalog_on_the_same_store_is_refused(small: Site, tmp_path: Path) -> None:
    other = Site(tmp_path / "other", store_url=small.store_url)
    args = ["--root", str(other.root), "--store", other.store_url, "--state", str(other.state)]
    said = says(other, "init", *args, code=1)
    assert "another catalog" in said
    small.json("migrate", str(small.root), "--to", "standard", "--yes")


def test_an_unknown_path_and_an_unknown_tier_get_a_sentence(small: Site) -> None:
    assert "/nowhere" in says(small, "recall", "/nowhere", code=2)
    assert "glacier-2" in says(small, "migrate", str(small.root), "--to", "glacier-2", "--yes", code=2)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a link of another user: one of our own is a copy")
def test_a_forged_placeholder_gives_nothing_away(small: Site) -> None:
    small.json("migrate", str(small.root), "--to", "standard", "--release", "--yes")
    target = os.readlink(small.root / "0.txt")
    forged = small.root / "mine.txt"
    os.symlink(target, forged)
    os.lchown(forged, 4321, 4321)
    small.run("scan", expect=(0, 3))
    small.run("recall", str(forged), expect=(1, 2, 3))
    assert stat.S_ISLNK(os.lstat(forged).st_mode)


def test_a_root_that_is_not_mounted_dooms_nothing(small: Site) -> None:
    small.json("migrate", str(small.root), "--to", "standard", "--release", "--yes")
    away = small.base / "unmounted"
    os.rename(small.root, away)
    small.root.mkdir()
    assert "marker" in small.run("scan", expect=(1, 2, 3)).stderr
    small.run("cycle", "--yes", expect=(0, 1, 2, 3))
    small.run("gc", "--yes", expect=(0, 1, 2, 3))
    small.root.rmdir()
    os.rename(away, small.root)
    small.run("scan")
    small.json("recall", str(small.root))
    small.audit()
