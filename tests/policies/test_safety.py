"""P1 in its pure part: one missing proof is enough to keep the hot bytes."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.safety import NETWORK, PARANOID, STRICT, Lease, ReleaseFacts, release_verdict
from tests.policies.facts import days

PROVEN = ReleaseFacts(
    copy_is_current=True,
    packs_are_proven=True,
    was_compared=True,
    segment_is_durable=True,
    catalog_is_committed=True,
    identity_is_unchanged=True,
    lease=Lease.GRANTED,
    stored_ns_ago=days(2),
)
NEEDED = [
    "copy_is_current", "packs_are_proven", "was_compared", "segment_is_durable", "catalog_is_committed",
    "identity_is_unchanged", "all_names_are_known", "can_exchange",
]  # fmt: skip


def test_p1_a_proven_copy_of_an_unchanged_file_may_be_released() -> None:
    verdict = release_verdict(PROVEN)

    assert verdict.ok
    assert "lease" in verdict.reasons[0]


@pytest.mark.parametrize("needed", NEEDED)
def test_p1_each_missing_proof_alone_forbids_release(needed: str) -> None:
    missing: dict[str, Any] = {needed: False}
    verdict = release_verdict(replace(PROVEN, **missing))

    assert not verdict.ok
    assert len(verdict.reasons) == 1


def test_p1_a_pinned_or_opened_file_is_kept() -> None:
    assert not release_verdict(replace(PROVEN, is_pinned=True)).ok
    assert not release_verdict(replace(PROVEN, lease=Lease.REFUSED)).ok
    assert not release_verdict(replace(PROVEN, lease=Lease.REFUSED), NETWORK).ok


def test_p1_without_a_lease_release_needs_the_roots_consent_rest_and_a_second_reading() -> None:
    blind = replace(PROVEN, lease=Lease.UNAVAILABLE, unchanged_ns=days(8), digest_was_read_twice=True)

    assert not release_verdict(blind, STRICT).ok
    assert release_verdict(blind, NETWORK).ok
    assert not release_verdict(replace(blind, unchanged_ns=days(6)), NETWORK).ok
    assert not release_verdict(replace(blind, digest_was_read_twice=False), NETWORK).ok


def test_a_copy_may_be_made_to_wait() -> None:
    assert release_verdict(PROVEN, PARANOID).ok
    assert not release_verdict(replace(PROVEN, stored_ns_ago=days(0.5)), PARANOID).ok


def test_all_objections_are_listed_not_the_first() -> None:
    verdict = release_verdict(replace(PROVEN, was_compared=False, is_pinned=True, lease=Lease.REFUSED))

    assert len(verdict.reasons) == 3


FLAGS = [field.name for field in fields(ReleaseFacts) if field.type is bool or field.type == "bool"]


@given(st.fixed_dictionaries({name: st.booleans() for name in FLAGS}), st.sampled_from(Lease))
def test_p1_nothing_is_released_unless_everything_is_proven(flags: dict[str, bool], lease: Lease) -> None:
    verdict = release_verdict(replace(PROVEN, lease=lease, unchanged_ns=days(30), **flags), NETWORK)

    everything = all(flags[name] for name in NEEDED) and not flags["is_pinned"]
    held = lease is Lease.GRANTED or (lease is Lease.UNAVAILABLE and flags["digest_was_read_twice"])
    assert verdict.ok == (everything and held)
    assert verdict.reasons
