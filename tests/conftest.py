"""What every test has: an environment in which nothing of the user's account can leak in or be harmed, and property
tests that try the same examples for the same code.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.internal.conjecture import providers

from tiering.hot import machine_code
from tiering.stores.memory import clear_shelves

FOREIGN_PREFIXES = ("FROSTLINE_", "AWS_", "XDG_")

# Whether a change passes must not hang on the day or on how busy the machine is: the examples follow from the test's
# own source, nothing is remembered, and no example has a time limit (a hang has one, see pyproject.toml).
settings.register_profile(
    "steady",
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# `make explore`: new examples in each run, those that failed first.
settings.register_profile(
    "explore",
    settings.get_profile("steady"),
    derandomize=False,
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
    max_examples=500,
)
settings.load_profile("steady")


@pytest.hookimpl(trylast=True)  # after Hypothesis has seen --hypothesis-profile
def pytest_configure() -> None:
    """Keep constants of our own sources out of steady examples.

    Hypothesis draws some values from the sources of whatever modules are loaded: which those are hangs on the tests
    that the same worker ran before, and a change anywhere would change the examples everywhere.
    """
    if settings.get_current_profile_name() == "steady":
        providers.is_local_module_file = lambda path: False


@pytest.fixture(autouse=True)
def shelves_end_with_their_test() -> Iterator[None]:
    """Let go of what memory stores held: a worker would keep the packs of every test that it ran, gigabytes."""
    yield
    clear_shelves()


@pytest.fixture(scope="session", autouse=True)
def isolated_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the whole session, and every process it starts, an empty home and no frostline or AWS settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(FOREIGN_PREFIXES)]:
            patch.delenv(name)
        home = tmp_path_factory.mktemp("home")
        patch.setenv("HOME", str(home))
        # botocore would ask 169.254.169.254 for credentials and hang until its time-out.
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield home


@pytest.fixture
def aws_credentials(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Set the credentials that the S3 servers of the tests accept; returns (access key id, secret)."""
    key_id, secret = "frostline-test", "frostline-test-secret"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return key_id, secret


@pytest.fixture
def without_machine_code(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where llvmlite is not there, or the C library is another: files are made one by one."""
    monkeypatch.setitem(sys.modules, "tiering.hot.native_writes", None)
    machine_code.room.cache_clear()
    yield
    machine_code.room.cache_clear()
