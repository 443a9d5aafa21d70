"""Fixtures of the tests that run against the cloud: its price book, its clock, and installations on it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import policies
from policies.prices import PriceBook, parse_book
from tests.cloud.fresh import fresh_site
from tests.cloud.installation import BUCKET, Site
from tests.cloud.lake import TO_COLD, Lake, open_lake


@pytest.fixture(scope="session")
def shipped_book() -> PriceBook:
    """The book that ships."""
    folder = Path(policies.__file__).parent / "data"
    return parse_book(json.loads((folder / "aws-us-east-1.json").read_text()))


@pytest.fixture
def site(tmp_path: Path, shipped_book: PriceBook, aws_credentials: Any) -> Iterator[Site]:
    """An empty cloud with a bucket, and a folder for an installation on it."""
    with fresh_site(tmp_path / "lab", shipped_book) as made:
        yield made


@pytest.fixture
def locked_site(tmp_path: Path, shipped_book: PriceBook, aws_credentials: Any) -> Iterator[Site]:
    """The same with a bucket that keeps each new version for 40 days (governance)."""
    with fresh_site(tmp_path / "lab", shipped_book, ObjectLockEnabledForBucket=True) as made:
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 40}}
        wanted = {"ObjectLockEnabled": "Enabled", "Rule": rule}
        made.server.client().put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration=wanted)
        yield made


@pytest.fixture
def bucket_rules() -> Sequence[Mapping[str, Any]]:
    """The rules of a bucket under care; tests override it by parametrizing."""
    return [TO_COLD]


@pytest.fixture
def bucket_settings() -> Mapping[str, Any]:
    """More of its table."""
    return {}


@pytest.fixture
def lake(
    tmp_path: Path,
    shipped_book: PriceBook,
    aws_credentials: Any,
    bucket_rules: Sequence[Mapping[str, Any]],
    bucket_settings: Mapping[str, Any],
) -> Iterator[Lake]:
    """A bucket of somebody else's, and an installation that cares for it."""
    with open_lake(tmp_path / "lab", shipped_book, bucket_rules, bucket_settings) as made:
        yield made
