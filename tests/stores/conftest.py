"""Fixtures of the store tests: the S3 servers, started once per test process."""

from collections.abc import Iterator

import pytest

from tests.stores.servers import S3Server, moto_server, seaweed_server


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Server]:
    """moto, shared: every test makes its own bucket."""
    with moto_server() as server:
        yield server


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """SeaweedFS, shared."""
    with seaweed_server(tmp_path_factory.mktemp("weed")) as server:
        yield server


@pytest.fixture
def bucket_name(request: pytest.FixtureRequest) -> str:
    """A bucket name nobody else uses."""
    return f"t{abs(hash(request.node.nodeid)):x}"
