"""Budgets are never exceeded; what must move comes first; who waits is told why."""

from hypothesis import given
from hypothesis import strategies as st

from policies.budget import BYTES, DAY, MONTH, REQUESTS, USD, Allowance, Need, ration

RESOURCES = (USD, BYTES, REQUESTS)
NEEDS = st.lists(
    st.builds(
        Need, st.integers(0, 100), st.dictionaries(st.sampled_from(RESOURCES), st.integers(0, 50)), st.booleans()
    ),
    max_size=20,
)
ALLOWANCES = st.lists(
    st.builds(
        Allowance, st.sampled_from(RESOURCES), st.sampled_from((DAY, MONTH)), st.integers(0, 200), st.integers(0, 100)
    ),
    max_size=6,
    unique_by=lambda one: one.name,
)


@given(needs=NEEDS, allowances=ALLOWANCES)
def test_no_budget_is_ever_exceeded_and_everybody_is_answered(needs: list[Need], allowances: list[Allowance]) -> None:
    found = ration(needs, allowances)

    assert found.taken | set(found.put_off) == set(range(len(needs)))
    assert not found.taken & set(found.put_off)
    for allowance in allowances:
        used = sum(needs[i].takes.get(allowance.resource, 0) for i in found.taken)
        assert used <= allowance.left
    assert bool(found.short) == any(needs[i].must for i in found.put_off)


def test_the_least_valuable_is_put_off() -> None:
    needs = [Need(1, {BYTES: 10}), Need(9, {BYTES: 10}), Need(5, {BYTES: 10})]
    found = ration(needs, [Allowance(BYTES, DAY, 30, 10)])

    assert found.taken == {1, 2}
    assert found.put_off[0].name == "bytes_per_day"


def test_what_must_go_goes_first_and_a_budget_too_small_for_it_is_said() -> None:
    needs = [Need(100, {USD: 6}), Need(0, {USD: 6}, must=True)]

    assert ration(needs, [Allowance(USD, MONTH, 10, 0)]).taken == {1}
    short = ration(needs, [Allowance(USD, MONTH, 5, 0)]).short
    assert [one.name for one in short] == ["usd_per_month"]


def test_without_budgets_everybody_goes() -> None:
    assert ration([Need(0, {BYTES: 2**60})], []).taken == {0}
