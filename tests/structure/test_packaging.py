"""What is installed on a user's machine, and that it collides with nobody else's."""

import importlib.metadata

import pytest
from setuptools import find_packages

from tests.structure.sources import PROJECT, TOP_LEVEL_NAMES, pyproject


@pytest.mark.parametrize("name", TOP_LEVEL_NAMES)
def test_no_other_distribution_owns_the_name(name: str) -> None:
    owners = importlib.metadata.packages_distributions().get(name, [])

    assert set(owners) <= {"frostline"}


def test_only_the_three_packages_and_the_daemon_are_installed() -> None:
    settings = pyproject()["tool"]["setuptools"]
    finder = settings["packages"]["find"]
    packages = find_packages(str(PROJECT), include=finder["include"])

    assert finder["namespaces"] is False
    assert {package.partition(".")[0] for package in packages} == {"tiering", "dedup", "policies"}
    assert settings["py-modules"] == ["daemon"]


def test_every_folder_with_modules_is_a_package() -> None:
    """A folder without __init__.py is silently left out of the wheel."""
    folders = {path.parent for name in ("tiering", "dedup", "policies") for path in (PROJECT / name).rglob("*.py")}
    forgotten = sorted(str(folder.relative_to(PROJECT)) for folder in folders if not (folder / "__init__.py").is_file())

    assert forgotten == []


def test_every_package_ships_its_types() -> None:
    for name in ("tiering", "dedup", "policies"):
        assert (PROJECT / name / "py.typed").is_file()


def test_the_lock_pins_everything_the_project_asks_for() -> None:
    lines = (PROJECT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    project = pyproject()["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]

    assert all("==" in pin and "/" not in pin for pin in pins)
    assert {_name(requirement) for requirement in asked} <= {_name(pin) for pin in pins}


def _name(requirement: str) -> str:
    end = next((i for i, char in enumerate(requirement) if char in "[<>=~!; "), len(requirement))
    return requirement[:end].lower().replace("_", "-")
