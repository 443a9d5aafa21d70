"""Where a store cannot tell two writers apart, one process writes at a time, for as long as it runs."""

from dataclasses import replace

import pytest

from tests.jobs.lab import Lab
from tiering.app.acting import LEASE_S, acting, renew, writer_leases
from tiering.catalog import leases
from tiering.errors import CatalogBusy
from tiering.jobs.context import Context


@pytest.fixture
def weak(lab: Lab) -> Context:
    """A context whose stores have no conditional create."""
    tiers = {
        name: replace(tier, capabilities=replace(tier.capabilities, conditional_put=False))
        for name, tier in lab.context.tiers.items()
    }
    return replace(lab.context, tiers=tiers)


def test_good_stores_need_no_lease(lab: Lab) -> None:
    assert writer_leases(lab.context) == []


def test_a_second_writer_is_refused_while_the_first_works(weak: Context) -> None:
    other = replace(weak, owner="elsewhere:1:boot:1")
    with acting(weak), pytest.raises(CatalogBusy), acting(other):
        pass
    with acting(other):
        pass


def test_a_process_that_runs_for_days_keeps_its_lease(lab: Lab, weak: Context) -> None:
    with acting(weak):
        for _ in range(3):
            lab.clock.advance(LEASE_S - 60)
            renew(weak)
        with weak.catalog.read() as tx:
            held = [leases.holder(tx, name) for name in writer_leases(weak)]
        assert all(holder is not None and holder[0] == weak.owner for holder in held)
