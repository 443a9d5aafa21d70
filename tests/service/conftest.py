"""Fixtures of the service tests."""

import pytest


@pytest.fixture
def smallest() -> dict[str, object]:
    """The least that is a configuration."""
    return {"tiers": {"standard": {"store": "file:///cold"}}}
