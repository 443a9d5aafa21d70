"""Quotes of packs that move: worked examples with round prices, and what decide() prefers."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.amounts import GIB
from policies.cost import move_once_usd, recall_usd
from policies.moving import (
    CHANGE,
    KEEP,
    REWRITE,
    Content,
    Home,
    MoveQuote,
    Standing,
    decide,
    hold_nano,
    quote_change,
    quote_drop,
    quote_rewrite,
    quote_whole,
)
from policies.prices import LOCAL, PriceBook
from tests.policies.facts import book

MIB = 1 << 20
BOOK: PriceBook = book()
WARM = Home("STANDARD", store="a", region="here")
RARE = Home("GLACIER_IR", store="a", region="here")
COLD = Home("DEEP_ARCHIVE", store="a", region="here")
FAR = Home("DEEP_ARCHIVE", store="b", region="there")
DISK = Home(LOCAL, nano_per_gib=10_000_000, store="disk")
HOMES = {"standard": WARM, "rare": RARE, "archive": COLD}


def pack(home: Home = WARM, size_bytes: int = 64 * MIB, held_hours: int = 10_000) -> Standing:
    """A pack that has stood for long."""
    return Standing(home, size_bytes, held_hours)


def test_a_class_change_is_a_copy_two_looks_a_retrieval_and_the_rest_of_the_stay() -> None:
    prices = BOOK
    standing = pack(RARE, GIB, held_hours=80 * 24)
    quote = quote_change(prices, standing, COLD)
    before, after = prices.price("GLACIER_IR"), prices.price("DEEP_ARCHIVE")
    assert quote.transition_nano == after.put_nano
    assert quote.request_nano == before.get_nano + after.get_nano
    assert quote.retrieval_nano == before.retrieval_nano_per_gib
    assert quote.early_delete_nano == before.storage[0].nano_per_gib * 10 * 24 // 730
    assert quote.egress_nano == 0
    assert quote.saved_nano_month == hold_nano(prices, RARE, GIB) - hold_nano(prices, COLD, GIB)


def test_quotes_add_up() -> None:
    one = quote_change(BOOK, pack(), COLD)
    assert (one + one).once_nano == 2 * one.once_nano
    assert (one + one).packs == 2
    assert one + MoveQuote() == one


@given(st.lists(st.integers(1, 64 * MIB), min_size=1, max_size=9))
def test_shares_and_what_they_leave_out_make_whole_packs(sizes: list[int]) -> None:
    """However packs are written together, each that is written is paid for whole, up to a nano-dollar a share."""
    quotes = [quote_rewrite(BOOK, pack(size_bytes=size), {COLD: size}, pack_bytes=64 * MIB) for size in sizes]
    total = sum(quotes, MoveQuote()) + quote_whole(BOOK, {COLD: sum(sizes)}, pack_bytes=64 * MIB)
    objects = -(-sum(sizes) // (64 * MIB))
    paid = objects * BOOK.price("DEEP_ARCHIVE").put_nano + len(sizes) * BOOK.price("STANDARD").get_nano
    assert paid <= total.request_nano <= paid + len(sizes) + 1
    held = hold_nano(BOOK, COLD, sum(sizes), objects=Fraction(objects))
    saved = sum(hold_nano(BOOK, WARM, size) for size in sizes) - held
    assert abs(total.saved_nano_month - saved) <= 2 * len(sizes) + 2


def test_leaving_a_region_is_egress_and_leaving_a_disk_is_not() -> None:
    assert quote_rewrite(BOOK, pack(), {FAR: 64 * MIB}, pack_bytes=64 * MIB).egress_nano > 0
    assert quote_rewrite(BOOK, pack(), {COLD: 64 * MIB}, pack_bytes=64 * MIB).egress_nano == 0
    assert quote_rewrite(BOOK, pack(DISK), {FAR: 64 * MIB}, pack_bytes=64 * MIB).egress_nano == 0


def test_the_operators_own_price_counts() -> None:
    assert hold_nano(BOOK, DISK, GIB) == 10_000_000


def chosen(content: Content, standing: Standing | None = None, homes: dict[str, Home] = HOMES) -> str:
    """What is decided."""
    return decide(BOOK, standing or pack(), content, homes, pack_bytes=64 * MIB).way


def test_a_pack_of_one_temperature_changes_its_class() -> None:
    assert chosen(Content("standard", {"archive": 63 * MIB}, "archive")) == CHANGE


def test_a_mixed_pack_is_torn_apart_and_each_part_goes_where_it_may_stand() -> None:
    content = Content("standard", {"standard": 30 * MIB, "archive": 30 * MIB}, "standard")
    decision = decide(BOOK, pack(), content, HOMES, pack_bytes=64 * MIB)
    assert decision.way == REWRITE
    assert decision.parts == {"standard": "standard", "archive": "archive"}


def test_a_sliver_does_not_tear_a_pack_apart() -> None:
    assert chosen(Content("standard", {"standard": 62 * MIB, "archive": MIB}, "standard")) == KEEP


def test_a_pack_that_must_stay_for_months_is_left() -> None:
    content = Content("rare", {"archive": 63 * MIB}, "archive")
    assert chosen(content, pack(RARE, held_hours=0)) == KEEP
    assert chosen(content, pack(RARE, held_hours=90 * 24)) == CHANGE


def test_half_dead_packs_are_rewritten_where_they_stand() -> None:
    content = Content("standard", {"standard": 30 * MIB}, "standard", dead_bytes=33 * MIB)
    decision = decide(BOOK, pack(), content, HOMES, pack_bytes=64 * MIB)
    assert (decision.way, decision.parts) == (REWRITE, {"standard": "standard"})
    assert chosen(replace(content, parts={"standard": 60 * MIB}, dead_bytes=3 * MIB)) == KEEP


def test_half_dead_packs_that_may_be_colder_change_class_with_their_dead() -> None:
    """An archive keeps the dead for next to nothing: 96 % of what rewriting saves, and no byte comes down."""
    content = Content("standard", {"archive": 40 * MIB}, "archive", dead_bytes=23 * MIB)
    assert chosen(content) in {CHANGE, REWRITE}
    quote = decide(BOOK, pack(), content, HOMES, pack_bytes=64 * MIB).quote
    assert quote.gain_nano >= quote_change(BOOK, pack(), COLD).gain_nano


def test_another_store_is_reached_by_rewriting_where_the_egress_is_repaid() -> None:
    homes = {"standard": WARM, "archive": FAR}
    content = Content("standard", {"archive": 63 * MIB}, "archive")
    quote = decide(BOOK, pack(), content, homes, pack_bytes=64 * MIB)
    assert quote.way == REWRITE
    dear = {"standard": replace(WARM, nano_per_gib=2_000_000), "archive": FAR}
    assert chosen(content, pack(dear["standard"]), dear) == KEEP


def test_what_is_free_is_done_and_what_loses_is_not() -> None:
    assert MoveQuote().pays
    assert not MoveQuote(saved_nano_month=-1).pays
    assert not MoveQuote(request_nano=12, saved_nano_month=1).pays
    assert MoveQuote(request_nano=11, saved_nano_month=1).pays


def test_a_dearer_tier_is_not_gone_to_although_it_is_called_colder() -> None:
    homes = {"standard": Home("DEEP_ARCHIVE", store="a"), "archive": Home("STANDARD", store="b")}
    assert chosen(Content("standard", {"archive": 63 * MIB}, "archive"), pack(homes["standard"]), homes) == KEEP


@pytest.mark.parametrize("size_bytes", [1, 4096, MIB])
def test_small_objects_are_billed_for_more_than_they_are(size_bytes: int) -> None:
    assert hold_nano(BOOK, COLD, size_bytes) > BOOK.price("DEEP_ARCHIVE").storage[0].nano_per_gib * size_bytes // GIB


@pytest.mark.parametrize("cold", ["GLACIER", "DEEP_ARCHIVE"])
@pytest.mark.parametrize("warm", ["STANDARD", "STANDARD_IA", "GLACIER_IR", "INTELLIGENT_TIERING"])
@given(size_bytes=st.integers(1, 64 * MIB))
def test_storing_a_chunk_again_is_never_dearer_than_a_warm_copy_of_an_archived_one(
    cold: str, warm: str, size_bytes: int
) -> None:
    """adr/0003: both put it up and hold it warm; the copy has to be restored first, as a part of a whole pack."""
    again = move_once_usd(BOOK, warm, puts=1)
    price = BOOK.price(cold)
    assert price.restore is not None
    copies = [
        recall_usd(BOOK, cold, max(size_bytes, 1), gets=1, speed=speed, warm_days=1) + move_once_usd(BOOK, warm, puts=1)
        for speed in price.restore
    ]
    assert again <= min(copies)


def test_a_cold_copy_is_given_up_where_it_costs_more_in_a_year_than_coming_back() -> None:
    assert quote_drop(BOOK, pack(COLD, 64 * MIB)).pays
    assert not quote_drop(BOOK, pack(COLD, 100_000)).pays
    assert quote_drop(BOOK, pack(COLD)).transition_nano == BOOK.price("DEEP_ARCHIVE").put_nano
