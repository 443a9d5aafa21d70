"""An inode with several names, or a file asked for twice, is stored once and counts as often; a bit or two per file."""

import os
import tempfile
import tracemalloc
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.jobs.asking import asked_for
from tests.jobs.lab import open_lab
from tests.jobs.outbound import items, learn, rows
from tiering.catalog.values import FileState
from tiering.jobs.mentions import PAGE_IDS, IdSet, Mentions
from tiering.jobs.migrate import migrate

IDS = st.sampled_from([1, 2, 7, 8, PAGE_IDS - 1, PAGE_IDS, 3 * PAGE_IDS + 5])


@given(st.lists(IDS), IDS)
def test_a_set_of_ids_holds_what_was_added(added: list[int], asked: int) -> None:
    found = IdSet()
    for number in added:
        found.add(number)
    assert (asked in found) == (asked in added)


@given(st.lists(st.tuples(st.sampled_from(["mention", "store", "skip"]), IDS), max_size=30))
def test_each_item_counts_once_its_leader_is_stored_and_never_if_it_is_skipped(steps: list[tuple[str, int]]) -> None:
    """Against a dict of every leader ever mentioned, which is what it replaces."""
    model: dict[int, int | None] = {}
    mentions, done, expected = Mentions(), 0, 0
    skipped: set[int] = set()
    for what, number in steps:
        if what == "mention":
            assert (number in mentions) == (number in model)
            done += mentions.add(number)
            count = model.setdefault(number, 0)
            expected += count is None
            if count is not None:
                model[number] = count + 1
        elif what == "store" and number not in skipped:
            done += mentions.store([number])
            expected += model.get(number, 1) or 0
            model[number] = None
        elif what == "skip" and model.get(number) is not None:
            mentions.skip([number])
            skipped.add(number)
    assert done == expected


@given(st.lists(IDS), st.lists(IDS, max_size=4))
def test_leaders_are_mentioned_together_only_if_none_was_before(before: list[int], ids: list[int]) -> None:
    together, alone = Mentions(), Mentions()
    for number in before:
        together.add(number)
        alone.add(number)
    is_new = together.add_new(ids)
    assert is_new == (len({*ids}) == len(ids) and not {*ids} & {*before})
    if is_new:
        for number in ids:
            alone.add(number)
    for number in {*before, *ids}:
        assert (number in together) == (number in alone)
        assert together.store([number]) == alone.store([number])


def test_leaders_that_are_done_take_a_bit_or_two_each() -> None:
    mentions = Mentions()
    tracemalloc.start()
    try:
        for first in range(1, 100_001, 1000):
            for number in range(first, first + 1000):
                mentions.add(number)
            mentions.store(range(first, first + 500))
            mentions.skip(range(first + 500, first + 1000))
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


@settings(max_examples=8, deadline=None)
@given(
    files=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    links=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 9)), max_size=12),
)
def test_names_of_one_inode_in_far_folders_are_stored_once_and_all_of_them_are_stored(
    files: list[int], links: list[tuple[int, int]]
) -> None:
    with tempfile.TemporaryDirectory() as base, open_lab(Path(base)) as lab:
        for number, folder in enumerate(files):
            lab.write(f"{folder}/file {number}", b"%d" % number * 300)
        for number, (of, folder) in enumerate(links):
            (lab.root / str(folder)).mkdir(exist_ok=True)
            leader = of % len(files)
            os.link(lab.root / f"{files[leader]}/file {leader}", lab.root / f"{folder}/link {number}")
        learn(lab)

        report = asked_for(lab, "standard")

        assert (report.files_done, report.files_skipped) == (len(files), ())
        found = rows(lab).values()
        assert len(found) == len(files) + len(links)
        assert {row.state for row in found} == {FileState.DUAL}
        assert len({row.recipe_no for row in found}) == len(files)
        again = asked_for(lab, "standard")
        assert (again.files_done, again.bytes_stored) == (len(files), 0)
        by_name = migrate(lab.context, items(lab))  # every name asked for by itself
        assert by_name.files_done == len(files) + len(links)
        released = asked_for(lab, "standard", releases=True)
        assert released.files_skipped == ()
        assert {row.state for row in rows(lab).values()} == {FileState.OFFLINE}


@settings(max_examples=8, deadline=None)
@given(
    links=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=8), order=st.randoms(use_true_random=False)
)
def test_every_name_asked_for_by_itself_counts_though_its_inode_is_stored_once(
    links: list[tuple[int, int]], order: Random
) -> None:
    with tempfile.TemporaryDirectory() as base, open_lab(Path(base)) as lab:
        for number in range(3):
            lab.write(f"file {number}", b"%d" % number * 300)
        for number, (of, folder) in enumerate(links):
            (lab.root / str(folder)).mkdir(exist_ok=True)
            os.link(lab.root / f"file {of}", lab.root / f"{folder}/link {number}")
        learn(lab)
        wanted = items(lab)
        order.shuffle(wanted)
        report = migrate(lab.context, wanted)
        assert (report.files_done, report.files_skipped) == (3 + len(links), ())
        assert len({row.recipe_no for row in rows(lab).values()}) == 3
