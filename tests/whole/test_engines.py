"""The same walk on S3 (moto, SeaweedFS) and on PostgreSQL; and through an archive class by ticket."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores.servers import S3Server, moto_server, seaweed_server, slow_restores
from tests.whole.site import OK, SKIPPED, WAITING, Site
from tests.whole.tree import differences, noise, odd_tree, snapshot, text, write

AS_ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def moto() -> Iterator[S3Server]:
    """moto on loopback, for this module."""
    with moto_server() as server:
        yield server


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """SeaweedFS on loopback, for this module."""
    with seaweed_server(tmp_path_factory.mktemp("weed")) as server:
        yield server


def s3_site(folder: Path, server: S3Server, bucket: str, *options: str) -> Site:
    """An initialised site, with an empty root, on a bucket of its own."""
    made = Site(folder / "site", store_url=f"s3://{server.bucket(bucket)}/some/prefix")
    made.init_options = ("--endpoint-url", server.endpoint, *options)
    return made


def out_and_back(site: Site) -> None:
    """Send everything away, lose the catalog, rebuild, bring everything back; the books balance at every stop."""
    before = snapshot(site.root)
    site.json("migrate", str(site.root), "--to", "standard", "--release", "--yes", expect=(OK, SKIPPED))
    seen = site.audit()
    assert seen["offline_bytes"] > 0
    if "sqlite" in site.config.read_text():
        shutil.rmtree(site.state)
        site.run("rebuild", "--yes")
        assert site.audit()["offline_bytes"] == seen["offline_bytes"]
    site.json("recall", str(site.root))
    assert differences(before, snapshot(site.root)) == []
    site.audit()


def test_the_walk_on_moto(tmp_path: Path, moto: S3Server, aws_credentials: tuple[str, str]) -> None:
    site = s3_site(tmp_path, moto, "walk")
    odd_tree(site.root, as_root=AS_ROOT)
    site.init()
    out_and_back(site)


@pytest.mark.s3
def test_the_walk_on_seaweedfs(tmp_path: Path, seaweed: S3Server, aws_credentials: tuple[str, str]) -> None:
    site = s3_site(tmp_path, seaweed, "walk")
    odd_tree(site.root, as_root=AS_ROOT)
    site.init()
    out_and_back(site)


@pytest.mark.postgres
def test_init_takes_the_catalog_from_the_environment_and_keeps_its_password_out_of_the_file(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path / "site")
    write(os.fsencode(site.root) + b"/a.txt", text(1, 50_000))
    monkeypatch.setenv("FROSTLINE_CATALOG_URL", postgres_url.replace("@", ":secret@", 1))
    places = ("--root", str(site.root), "--store", site.store_url, "--state", str(site.state))
    assert "secret" not in site.run("init", *places).stdout
    assert f'url = "{postgres_url}"' in site.config.read_text()
    assert not (site.state / "catalog.db").exists()
    monkeypatch.delenv("FROSTLINE_CATALOG_URL")  # this server asks for no password
    site.json("migrate", str(site.root), "--to", "standard", "--yes")
    site.audit()
    assert "another catalog" in site.run("init", "--catalog", "postgresql://x@y/z", expect=2).stderr
    given = ("init", *places, "--catalog", "postgresql://x:secret@y/z")
    assert "never stands in the file" in Site(tmp_path / "two").run(*given, expect=2).stderr


@pytest.mark.postgres
def test_the_walk_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    site = Site(tmp_path / "site")
    odd_tree(site.root, as_root=AS_ROOT)
    site.state.mkdir()
    site.config.write_text(
        f'[catalog]\nurl = "{postgres_url}"\nstate_dir = "{site.state}"\n'
        f'[[roots]]\nname = "root"\npath = "{site.root}"\n'
        f'[tiers.standard]\nstore = "{site.store_url}"\n'
        '[release]\npark_s = 0\n[recall]\nreserve_fraction = 0\n[gc]\ngrace = "0s"\n'
    )
    site.run("init")
    out_and_back(site)
    site.run("gc", "--yes")
    site.audit()


def test_an_archived_file_comes_back_by_ticket(
    tmp_path: Path, moto: S3Server, aws_credentials: tuple[str, str]
) -> None:
    site = s3_site(tmp_path, moto, "archive", "--archive", "GLACIER")
    for i in range(3):
        write(os.fsencode(site.root) + b"/%d.bin" % i, noise(i, 300_000) + text(i, 50_000))
    before = snapshot(site.root)
    with slow_restores(5):
        site.init()
        site.json("migrate", str(site.root), "--to", "archive", "--release", "--yes")
        site.audit()
        asked = site.json("recall", str(site.root), expect=WAITING)
        assert asked["tickets"] != []
        for _ in range(12):
            site.json("cycle", "--yes", expect=(OK, SKIPPED, WAITING))
            if differences(before, snapshot(site.root)) == []:
                break
    assert differences(before, snapshot(site.root)) == []
    site.audit()


def test_wrong_credentials_get_a_sentence(tmp_path: Path, seaweed: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    site = s3_site(tmp_path, seaweed, "denied")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    args = ["--root", str(site.root), "--store", site.store_url, "--state", str(site.state), *site.init_options]
    said = site.run("init", *args, expect=1).stderr
    assert "s3://" in said
    assert not site.config.exists()
