"""P1: what was stored without a lease is read again before it is released, even where a lease can be had by then."""

import pytest

from tests.jobs.debris import put
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


def pack_of(lab: Lab, prefix: str) -> str:
    """Return the key of the only object there."""
    (found,) = lab.context.tiers["standard"].store.list(prefix)
    return found.key


@pytest.mark.parametrize("prefix", ["packs/", "recipes/"])
def test_p1_nothing_is_released_whose_pack_was_deleted_behind_our_back(stored: Lab, prefix: str) -> None:
    key = pack_of(stored, prefix)
    stored.context.tiers["standard"].store.delete(key)
    report = release(stored.context, items(stored), wait_parked=True)
    assert [f"{key}, which it needs, is not in" in skip.reason for skip in report.files_skipped] == [True]
    assert set(states(stored).values()) == {FileState.DUAL}
    assert (stored.root / "a").read_bytes() == b"weights " * 4096


def test_p1_nothing_is_released_whose_pack_has_another_size(stored: Lab) -> None:
    key = pack_of(stored, "packs/")
    store = stored.context.tiers["standard"].store
    half = store.get(key)[:-1]
    store.delete(key)
    put(stored, key, half)
    report = release(stored.context, items(stored), wait_parked=True)
    assert [f"has {len(half)} bytes" in skip.reason for skip in report.files_skipped] == [True]
    assert not (stored.root / "a").is_symlink()


def test_p1_a_duplicate_of_what_an_old_store_lost_is_not_released(stored: Lab) -> None:
    lost = pack_of(stored, "packs/")
    stored.context.tiers["standard"].store.delete(lost)
    stored.write("b", b"weights " * 4096)
    learn(stored)
    migrate(stored.context, items(stored, paths=[b"b"]))
    report = release(stored.context, items(stored), wait_parked=True)
    assert len(report.files_skipped) == 2
    assert set(states(stored).values()) == {FileState.DUAL}


def test_one_lost_pack_holds_up_no_other_file(stored: Lab) -> None:
    stored.context.tiers["standard"].store.delete(pack_of(stored, "packs/"))
    stored.write("b", b"others " * 4096)
    learn(stored)
    migrate(stored.context, items(stored, paths=[b"b"]))
    report = release(stored.context, items(stored), wait_parked=True)
    assert [skip.path for skip in report.files_skipped] == [str(stored.root / "a")]
    assert (stored.root / "b").is_symlink()
