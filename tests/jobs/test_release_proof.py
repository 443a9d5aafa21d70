"""P1: what was stored without a lease is read again before it is released, even where a lease can be had by then."""

import pytest

from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn, states
from tiering.catalog.tables import recipes
from tiering.catalog.values import FileState
from tiering.jobs.migrate import migrate
from tiering.jobs.release import release


@pytest.fixture
def stored(lab: Lab) -> Lab:
    """One migrated file."""
    lab.write("a", b"weights " * 4096)
    learn(lab)
    migrate(lab.context, items(lab))
    return lab


def note(lab: Lab, **columns: object) -> None:
    """Set columns of the recipe, as if another migrate had written them."""
    with lab.catalog.write() as tx:
        tx.conn.execute(recipes.update().values(**columns))


def test_migrate_notes_that_it_read_under_a_lease(stored: Lab) -> None:
    with stored.catalog.read() as tx:
        assert tx.conn.execute(recipes.select()).one().read_under_lease is True


def test_p1_bytes_stored_without_a_lease_are_compared_before_release(stored: Lab) -> None:
    note(stored, read_under_lease=False, digest=bytes(32))  # a mapping was written to, and no stamp moved
    report = release(stored.context, items(stored), wait_parked=True)
    assert [skip.path for skip in report.files_skipped] == [str(stored.root / "a")]
    assert "without a lease" in report.files_skipped[0].reason
    assert set(states(stored).values()) == {FileState.DUAL}


def test_p1_equal_bytes_stored_without_a_lease_may_go(stored: Lab) -> None:
    note(stored, read_under_lease=False)
    assert release(stored.context, items(stored), wait_parked=True).files_skipped == ()
    assert set(states(stored).values()) == {FileState.OFFLINE}
