"""Hot capacity: the least valuable leave, the choice is near the best there is, the margin has a price."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.amounts import GIB
from policies.capacity import Item, cut
from tests.policies.exact import least_loss

ITEMS = st.lists(st.builds(Item, st.integers(1, 1000), st.integers(0, 1000)), max_size=12)


def exact(items: list[Item], need: int) -> int | None:
    """Return the least loss by trying everything."""
    found = [
        sum(item.value_nano for item in chosen)
        for size in range(len(items) + 1)
        for chosen in itertools.combinations(items, size)
        if sum(item.size_bytes for item in chosen) >= need
    ]
    return min(found, default=None)


def exact_large(items: list[Item], need: int) -> int:
    """Return the least loss by dynamic programming over bytes."""
    least = [0.0] + [float("inf")] * need
    for item in items:
        for left in range(need, 0, -1):
            least[left] = min(least[left], least[max(0, left - item.size_bytes)] + item.value_nano)
    return int(least[need])


@given(items=ITEMS, need=st.integers(1, 5000))
def test_the_cut_is_the_best_there_is_on_small_cases(items: list[Item], need: int) -> None:
    found, best = cut(items, need), exact(items, need)

    assert found.freed_bytes == sum(items[i].size_bytes for i in found.leaving)
    if best is None:
        assert found.missing_bytes == need - sum(item.size_bytes for item in items)
    else:
        assert (found.lost_nano, found.missing_bytes) == (best, 0)
        assert found.freed_bytes >= need


@pytest.mark.parametrize("seed", range(6))
def test_with_hundreds_of_items_the_cut_is_within_one_percent_of_the_best(seed: int) -> None:
    items = [Item(1 + (i * 7919 + seed * 104_729) % 97, 1 + (i * 6007 + seed * 15_485_863) % 101) for i in range(300)]
    need = sum(item.size_bytes for item in items) // 5

    assert cut(items, need).lost_nano <= 1.01 * exact_large(items, need)


@pytest.mark.parametrize("seed", range(20))
def test_a_cut_of_files_of_real_sizes_is_within_one_percent_of_an_exact_solvers(seed: int) -> None:
    rng = random.Random(seed)
    sizes = [int(2 ** rng.uniform(12, 33)) for _ in range(60)]
    items = [Item(size, int(size * rng.lognormvariate(0, 2) / 1000) + rng.randrange(50)) for size in sizes]
    need = sum(sizes) // 5
    best = least_loss([(item.size_bytes, item.value_nano) for item in items], need)

    found = cut(items, need)
    assert found.freed_bytes >= need
    assert best <= found.lost_nano <= 1.01 * best


def test_the_shadow_price_is_what_the_marginal_gib_is_worth() -> None:
    items = [Item(GIB, value) for value in (5, 1, 9, 3)]
    found = cut(items, 2 * GIB)

    assert found.leaving == (1, 3)
    assert (found.lost_nano, found.shadow_nano_per_gib) == (4, 3)


def test_nothing_leaves_while_there_is_room() -> None:
    assert cut([Item(1, 1)], 0).leaving == ()


def test_an_item_without_size_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        cut([Item(0, 1)], 1)
