"""Which chunks the recipes of a commit refer to, counted as columns."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tiering.catalog.own_refs import counted

LISTS = st.lists(st.lists(st.integers(1, 6) | st.integers(1, 1 << 60), max_size=9), max_size=9)


@given(LISTS, st.integers(1, 1 << 60))
def test_each_chunk_of_a_recipe_is_counted(lists: list[list[int]], first: int) -> None:
    needed = [number for found in lists for number in found]
    ends = [sum(map(len, lists[: at + 1])) for at in range(len(lists))]
    once, often = map(list, counted(range(first, first + len(lists)), needed, ends))
    told = dict.fromkeys(once, 1)
    told |= {(recipe_no, chunk_no): times for recipe_no, chunk_no, times in often}
    assert told == {(first + at, number): n for at, found in enumerate(lists) for number, n in Counter(found).items()}
    assert len(told) == len(once) + len(often)
    assert once == sorted(once)
    assert all(times > 1 for _, _, times in often)
