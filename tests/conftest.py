"""Fixtures of every test: an environment in which nothing of the user's account can leak in or be harmed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

FOREIGN_PREFIXES = ("FROSTLINE_", "AWS_", "XDG_")


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
