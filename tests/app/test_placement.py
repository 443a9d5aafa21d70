"""P8: roots, stores and state that would eat each other are refused with both names, before anything is made."""

from pathlib import Path

import pytest

from tiering.app.placement import check_placement
from tiering.config import Config
from tiering.errors import ConfigError


def config(*roots: Path, store: Path, state: Path) -> Config:
    """A configuration with these places."""
    return Config.model_validate(
        {
            "catalog": {"state_dir": str(state)},
            "roots": [{"name": f"r{number}", "path": str(path)} for number, path in enumerate(roots)],
            "tiers": {"standard": {"store": f"file://{store}"}},
        }
    )


def test_separate_places_are_fine(tmp_path: Path) -> None:
    check_placement(config(tmp_path / "a", tmp_path / "ab", store=tmp_path / "store", state=tmp_path / "state"))


@pytest.mark.parametrize(
    ("roots", "store", "state", "said"),
    [
        (["data", "data/inner"], "store", "state", "root r1"),
        (["data", "data"], "store", "state", "is the same folder as"),
        (["data"], "data/store", "state", "store of tier standard"),
        (["store/data"], "store", "state", "lies inside the store"),
        (["data"], "store", "data/state", "state folder"),
        (["state/data"], "store", "state", "lies inside the state folder"),
        (["data"], "store", "store/state", "lies inside the store"),
    ],
)
def test_overlaps_are_refused_by_name(tmp_path: Path, roots: list[str], store: str, state: str, said: str) -> None:
    places = [tmp_path / root for root in roots]
    with pytest.raises(ConfigError, match=said):
        check_placement(config(*places, store=tmp_path / store, state=tmp_path / state))


def test_an_overlap_through_a_symlink_is_seen(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "data")
    with pytest.raises(ConfigError, match="lies inside"):
        check_placement(config(tmp_path / "data", store=tmp_path / "alias" / "store", state=tmp_path / "state"))


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="not a directory"):
        check_placement(config(tmp_path / "file", store=tmp_path / "store", state=tmp_path / "state"))
