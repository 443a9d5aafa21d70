"""Which chunks the recipes of a commit refer to: a hundred thousand rows, made as columns. Used by catalog.commit.

Apart from tiering.catalog.recipes, which commands load that never commit: numpy would make them wait.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from tiering.catalog.recipes import any_base, insert_refs
from tiering.catalog.tables import refs
from tiering.catalog.transaction import Tx, insert_many

_COLUMNS = ("recipe_no", "chunk_no", "times")


def insert_own_refs(tx: Tx, recipe_nos: range, needed: Sequence[int], ends: Sequence[int]) -> set[int]:
    """Write which chunks new recipes refer to, as insert_refs(): *needed* has their numbers, recipe by recipe, as often
    as they occur; those of each end before one of *ends*. Return the chunks referred to as bases alone.
    """
    if any_base(tx):
        lists = zip(recipe_nos, [0, *ends], ends, strict=False)
        used = {number: Counter(needed[start:end]) for number, start, end in lists}
        return insert_refs(tx, used).difference(needed)
    once, often = counted(recipe_nos, needed, ends)
    insert_many(tx, refs, _COLUMNS, often)
    insert_many(tx, refs, _COLUMNS[:2], once, constants={"times": 1})
    return set()


def counted(
    recipe_nos: range, needed: Sequence[int], ends: Sequence[int]
) -> tuple[Iterable[tuple[int, int]], Iterable[tuple[int, int, int]]]:
    """Return (recipe_no, chunk_no) of the chunks that occur once in a recipe, and with how often they do of the others;
    both ascending. The arguments are insert_own_refs()'s.
    """
    of = np.repeat(np.arange(recipe_nos.start, recipe_nos.stop), np.diff(np.array([0, *ends])))
    numbers = np.array(needed, np.int64)
    order = np.lexsort((numbers, of))
    of, numbers = of[order], numbers[order]
    is_first = np.ones(len(of), bool)
    is_first[1:] = (of[1:] != of[:-1]) | (numbers[1:] != numbers[:-1])
    starts = np.flatnonzero(is_first)
    times = np.diff(starts, append=len(of))
    of, numbers, is_once = of[starts], numbers[starts], times == 1
    columns = of[is_once], numbers[is_once]
    repeated = of[~is_once], numbers[~is_once], times[~is_once]
    once, often = ([column.tolist() for column in some] for some in (columns, repeated))
    return zip(*once, strict=True), zip(*often, strict=True)
