"""Stored files that sink to a colder tier: units whole, packs no colder than who needs them, dollars exact."""

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.moving import CHANGE, Home, MoveQuote, Standing
from policies.offers import Terms
from policies.shifts import Part, Scales, Settled, Shift, Sight, settle, split
from policies.values import Residency
from tests.policies.facts import NOW_NS, TIERS, book, fact

MIB = 1 << 20
BOOK = book()
HOMES = {name: Home(tier.price_class, store="s3") for name, tier in TIERS.items() if name != "hot"}
SCALES = Scales(
    tiers={name: tier for name, tier in TIERS.items() if name != "hot"},
    homes=HOMES,
    prices=BOOK,
    terms=Terms(),
    now_ns=NOW_NS,
    pack_bytes=64 * MIB,
)
NOBODY = 99
AMOUNTS = ("request_nano", "transition_nano", "retrieval_nano", "egress_nano", "early_delete_nano", "saved_nano_month")


def shift(path: str, recipe_no: int) -> Shift:
    facts = fact(path, size=20 * MIB, residency=Residency.OFFLINE, tier="standard", recipe_no=recipe_no)
    return Shift(facts=facts, target="archive", rule="deep", said="idle -> deep", speed="standard", min_gain=0.0)


def sight(pack_no: int, *parts: Part) -> Sight:
    """Return a pack of 64 MiB in STANDARD, there for a year, of these parts."""
    recipes = {number for part in parts for number in part.recipes}
    weights = {number: sum(part.size_bytes for part in parts if number in part.recipes) for number in recipes}
    return Sight(
        pack_no=pack_no,
        tier="standard",
        standing=Standing(HOMES["standard"], sum(part.size_bytes for part in parts), 8760),
        weights=weights,
        parts=parts,
    )


def gone(settled: Settled) -> set[str]:
    return {action.path for action in settled.actions}


def test_a_pack_that_all_may_leave_changes_class_and_its_price_falls_on_them_exactly() -> None:
    wanted = [shift("a", 1), shift("b", 2), shift("c", 3)]
    found = settle(wanted, [sight(7, *(Part(20 * MIB, NOBODY, frozenset({n})) for n in (1, 2, 3)))], SCALES)

    assert gone(found) == {"a", "b", "c"}
    assert found.packs[7].way == CHANGE
    for name in AMOUNTS:
        assert sum(getattr(action.quote, name) for action in found.actions) == getattr(found.packs[7].quote, name)


def test_what_someone_warmer_needs_stays_and_so_does_who_has_nothing_else() -> None:
    found = settle([shift("a", 1)], [sight(7, Part(20 * MIB, 1, frozenset({1})))], SCALES)

    assert found.actions == []
    assert [refusal.cause for refusal in found.refused] == ["packs-stay"]
    assert found.packs == {}


def test_what_leans_on_a_pack_goes_before_it() -> None:
    base = sight(7, Part(20 * MIB, NOBODY, frozenset({1, 2}), frozenset({(8, 1)})))
    delta = sight(8, Part(20 * MIB, NOBODY, frozenset({2})))
    both = settle([shift("a", 1), shift("b", 2)], [base, delta], SCALES)

    assert gone(both) == {"a", "b"}
    assert set(both.packs) == {7, 8}
    held = sight(7, Part(20 * MIB, NOBODY, frozenset({1}), frozenset({(9, 1)})))  # by a pack that nothing moves
    assert settle([shift("a", 1)], [held], SCALES).actions == []


@given(
    st.builds(MoveQuote, *(st.integers(0, 10**12) for _ in range(8)), st.integers(-(10**12), 10**12)),
    st.lists(st.integers(0, 10**12), min_size=1, max_size=8).filter(any),
)
def test_the_parts_of_a_quote_add_up_to_it(quote: MoveQuote, weights: list[int]) -> None:
    parts = split(quote, weights)

    assert all(sum(getattr(part, name) for part in parts) == getattr(quote, name) for name in AMOUNTS)


PARTS = st.builds(
    Part,
    st.integers(1, 20 * MIB),
    st.sampled_from([1, 2, NOBODY]),
    st.frozensets(st.integers(1, 5), min_size=1, max_size=3),
)


@settings(max_examples=60)
@given(st.lists(st.lists(PARTS, min_size=1, max_size=4), min_size=1, max_size=4), st.permutations(range(1, 6)))
def test_no_pack_gets_colder_than_who_needs_it_and_nothing_that_goes_is_at_a_loss(
    contents: list[list[Part]], order: list[int]
) -> None:
    wanted = [shift(f"file-{number}", number) for number in order]
    found = settle(wanted, [sight(n, *parts) for n, parts in enumerate(contents)], SCALES)
    going = {action.path for action in found.actions}

    assert going.isdisjoint(refusal.path for refusal in found.refused)
    assert len(found.actions) + len(found.refused) == len(wanted)
    for number, decision in found.packs.items():
        assert decision.quote.pays
        if decision.way == CHANGE:
            needs = {f"file-{recipe}" for part in contents[number] for recipe in part.recipes}
            assert needs <= going
            assert min(part.stays for part in contents[number]) > 1
    for name in ("transition_nano", "saved_nano_month"):
        told = sum(getattr(action.quote, name) for action in found.actions)
        assert told == sum(getattr(decision.quote, name) for decision in found.packs.values())
