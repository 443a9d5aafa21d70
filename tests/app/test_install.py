"""init prepares everything or nothing, may run twice, and never writes over another's tree or store."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tiering.app.configure import (
    InitRequest,
    check_config_place,
    config_text,
    extend,
    new_config,
    write_config,
)
from tiering.app.dropin import drop_in, write_drop_in
from tiering.app.install import install
from tiering.app.open import open_context
from tiering.clock import FakeClock
from tiering.config import Config, load_config, parse_config
from tiering.errors import ConfigError, NotOwner, RootMissing, UsageError
from tiering.hot import names

MARKER = os.fsdecode(names.ROOT_MARKER)


def request(base: Path, *roots: Path) -> InitRequest:
    """What an operator asks for."""
    return InitRequest(
        roots=tuple(str(root) for root in roots), store=f"file://{base}/store", state_dir=str(base / "state")
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory to be taken under care."""
    path = tmp_path / "data"
    path.mkdir()
    return path


def configured(base: Path, *roots: Path) -> Config:
    """The configuration of request()."""
    return new_config(request(base, *roots))


def test_after_init_the_installation_opens(tmp_path: Path, root: Path) -> None:
    config = configured(tmp_path, root)
    done = install(config, clock=FakeClock())
    assert (root / MARKER).is_file()
    with open_context(config, clock=FakeClock()) as context:
        assert context.catalog_id == done.catalog_id
        assert context.store_id == done.store_id
        assert [known.path for known in context.roots] == [os.fsencode(root)]
        assert context.metadata.name == "standard"


def test_init_twice_changes_nothing(tmp_path: Path, root: Path) -> None:
    config = configured(tmp_path, root)
    first = install(config, clock=FakeClock())
    marker = (root / MARKER).read_bytes()
    second = install(config, clock=FakeClock(), named_roots=["data"])
    assert (second.catalog_id, second.store_id) == (first.catalog_id, first.store_id)
    assert (root / MARKER).read_bytes() == marker


def test_a_second_catalog_is_refused_and_leaves_no_trace(tmp_path: Path, root: Path) -> None:
    install(configured(tmp_path, root), clock=FakeClock())
    other = tmp_path / "other"
    other.mkdir()
    theirs = new_config(replace(request(tmp_path, other), state_dir=str(tmp_path / "other-state")))
    with pytest.raises(NotOwner, match="another catalog"):
        install(theirs, clock=FakeClock())
    assert not (tmp_path / "other-state").exists()
    assert list(other.iterdir()) == []


def test_a_missing_root_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no directory"):
        install(configured(tmp_path, tmp_path / "nowhere"), clock=FakeClock())
    assert list(tmp_path.iterdir()) == []


def test_p5_an_unmounted_root_is_not_marked_by_a_plain_init(tmp_path: Path, root: Path) -> None:
    config = configured(tmp_path, root)
    install(config, clock=FakeClock())
    root.rename(tmp_path / "unmounted")
    root.mkdir()
    with pytest.raises(RootMissing):
        install(config, clock=FakeClock())
    assert list(root.iterdir()) == []
    install(config, clock=FakeClock(), named_roots=["data"])
    assert (root / MARKER).is_file()


def test_a_root_with_anothers_marker_is_refused_even_when_named(tmp_path: Path, root: Path) -> None:
    config = configured(tmp_path, root)
    install(config, clock=FakeClock())
    (root / MARKER).unlink()
    (root / MARKER).write_text("frostline root 0000\n")
    with pytest.raises(RootMissing, match="another root"):
        install(config, clock=FakeClock(), named_roots=["data"])


def test_a_root_that_another_installation_marked_is_told(tmp_path: Path, root: Path) -> None:
    assert install(configured(tmp_path, root), clock=FakeClock()).marked_before == ()
    again = install(configured(tmp_path, root), clock=FakeClock())
    assert again.marked_before == ()
    theirs = configured(tmp_path / "other", root)
    assert install(theirs, clock=FakeClock()).marked_before == (str(root),)


def test_a_read_only_root_is_not_touched(tmp_path: Path, root: Path) -> None:
    config = new_config(replace(request(tmp_path, root), read_only=True))
    install(config, clock=FakeClock())
    assert list(root.iterdir()) == []
    with open_context(config, clock=FakeClock()) as context:
        assert context.roots[0].marker == ""


def test_a_root_added_to_the_file_is_found_at_its_end(tmp_path: Path, root: Path) -> None:
    path = str(tmp_path / "f.toml")
    write_config(path, config_text(configured(tmp_path, root)))
    more = tmp_path / "more data"
    text, config = extend(load_config(path), request(tmp_path, root, more))
    assert [known.path for known in config.roots] == [str(root), str(more)]
    assert config.roots[1].name == "more-data"
    assert parse_config(text, path="f").config == config


def test_an_unknown_root_in_the_file_is_refused_until_init(tmp_path: Path, root: Path) -> None:
    config = configured(tmp_path, root)
    install(config, clock=FakeClock())
    more = tmp_path / "more"
    more.mkdir()
    grown = configured(tmp_path, root, more)
    with pytest.raises(ConfigError, match="not known to the catalog"), open_context(grown, clock=FakeClock()):
        pass
    install(grown, clock=FakeClock())
    with open_context(grown, clock=FakeClock()) as context:
        assert len(context.roots) == 2


def test_roots_of_one_name_get_names_of_their_own(tmp_path: Path) -> None:
    config = configured(tmp_path, tmp_path / "a" / "data", tmp_path / "b" / "data", tmp_path / "b" / "...")
    assert [root.name for root in config.roots] == ["data", "data-2", "root"]


def test_a_root_whose_path_is_not_text_is_refused_with_a_way_out(tmp_path: Path) -> None:
    odd = os.fsdecode(b"/data/\xff")
    with pytest.raises(UsageError, match="not UTF-8") as caught:
        new_config(replace(request(tmp_path), roots=(odd,)))
    assert "bind mount" in caught.value.hint


def test_the_drop_in_opens_the_paths_and_no_more(tmp_path: Path) -> None:
    config = Config.model_validate(
        {
            "catalog": {"state_dir": "/var/lib/frostline"},
            "roots": [
                {"name": "a", "path": "/data/a b%c"},
                {"name": "h", "path": "/home/u"},
                {"name": "r", "path": "/ro", "read_only": True},
            ],
            "tiers": {"standard": {"store": "file:///srv/cold"}, "s3": {"store": "s3://bucket/p"}},
        }
    )
    text = drop_in(config, "/etc/frostline/frostline.toml")
    assert [line for line in text.splitlines() if line.startswith("ReadWritePaths")] == [
        'ReadWritePaths="/var/lib/frostline"',
        'ReadWritePaths="/data/a b%%c"',
        'ReadWritePaths="/home/u"',
        'ReadWritePaths="/srv/cold"',
    ]
    assert "ProtectHome=read-only" in text
    assert "PrivateTmp" not in text
    written = write_drop_in(str(tmp_path), text)
    assert Path(written).read_text() == text


def test_a_written_configuration_keeps_its_mode_and_leaves_no_debris(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "f.toml"
    check_config_place(str(path))
    write_config(str(path), "act = false\n")
    assert path.stat().st_mode & 0o777 == 0o640 & ~_umask()
    path.chmod(0o600)
    write_config(str(path), "act = true\n")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [child.name for child in path.parent.iterdir()] == ["f.toml"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_the_service_may_still_read_a_configuration_that_root_completes(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    write_config(str(path), "act = false\n")
    os.chown(path, 0, 4321)
    write_config(str(path), "act = true\n")
    assert (path.stat().st_uid, path.stat().st_gid) == (0, 4321)


def test_a_configuration_behind_a_link_is_written_where_it_stands(tmp_path: Path) -> None:
    path, link = tmp_path / "real" / "f.toml", tmp_path / "f.toml"
    check_config_place(str(path))
    write_config(str(path), "act = false\n")
    link.symlink_to(path)
    write_config(str(link), "act = true\n")
    assert link.is_symlink()
    assert path.read_text() == "act = true\n"


def test_a_configuration_that_cannot_be_written_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "f.toml"):
        with pytest.raises(ConfigError, match="cannot be written") as caught:
            check_config_place(str(path))
        assert "nothing was created" in caught.value.now


def test_a_state_folder_that_cannot_be_made_gets_a_sentence(tmp_path: Path, root: Path) -> None:
    (tmp_path / "file").write_text("")
    config = new_config(replace(request(tmp_path, root), state_dir=str(tmp_path / "file" / "state")))
    with pytest.raises(ConfigError, match="state folder"):
        install(config, clock=FakeClock())
    assert list(root.iterdir()) == []


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
