"""Tickets: what is asked of an archive is durable first, shared, paid for once, and quoted before."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import items, learn, rows
from tests.stores.faults import FaultyStore
from tiering.catalog import ledger, recipes
from tiering.catalog import tickets as ticket_rows
from tiering.catalog.tickets import RestoreRow
from tiering.clock import NS_PER_S
from tiering.errors import StoreUnavailable, UsageError
from tiering.jobs import tickets
from tiering.jobs.context import Context
from tiering.jobs.migrate import migrate
from tiering.jobs.restore_asking import ask
from tiering.stores.base import Readability

HOUR_NS = 3600 * NS_PER_S


@pytest.fixture
def stored(lab: Lab) -> Lab:
    """Three files in DEEP_ARCHIVE; b and c share their bytes, and so their packs."""
    lab.write("a", bytes(range(256)) * 400)
    lab.write("b", bytes(range(255)) * 300)
    lab.write("c", bytes(range(255)) * 300)
    learn(lab)
    for path in (b"a", b"b", b"c"):  # a pack of its own for each migrate
        migrate(lab.context, items(lab, "archive", [path]))
    return lab


def restores(lab: Lab) -> list[RestoreRow]:
    with lab.catalog.read() as tx:
        return ticket_rows.restores_in(tx, ("wanted", "warming", "warm", "done"))


def with_faults(lab: Lab) -> tuple[Context, FaultyStore]:
    tier = lab.context.tiers["archive"]
    faulty = FaultyStore(tier.store)
    return replace(lab.context, tiers={**lab.context.tiers, "archive": replace(tier, store=faulty)}), faulty


def test_a_ticket_asks_once_for_each_cold_pack(stored: Lab) -> None:
    context, store = with_faults(stored)
    known = rows(stored)

    ticket = tickets.request(context, [known[b"a"], known[b"b"], known[b"c"]], by="alice", reason="by hand")

    assert (ticket.state, ticket.files, ticket.files_waiting, ticket.requested_by) == ("open", 3, 3, "alice")
    assert ticket.quote.objects == 2
    assert ticket.quote.hours == 12.0
    assert ticket.quote.bytes == sum(info.size_bytes for info in context.tiers["archive"].store.list("packs/"))
    assert store.count("restore") == 2
    assert [row.state for row in restores(stored)] == ["warming", "warming"]
    for row in restores(stored):
        assert store.head(row.key).readability is Readability.WARMING


def test_asking_again_for_what_is_on_its_way_gives_the_same_ticket(stored: Lab) -> None:
    context, store = with_faults(stored)
    known = rows(stored)
    first = tickets.request(context, [known[b"a"], known[b"b"]], by="alice")

    again = tickets.request(context, [known[b"b"]], by="bob")

    assert again.number == first.number
    assert store.count("restore") == 2


def test_two_tickets_share_a_pack_and_only_the_first_pays(stored: Lab) -> None:
    context, store = with_faults(stored)
    known = rows(stored)
    first = tickets.request(context, [known[b"b"]], by="alice")

    second = tickets.request(context, [known[b"c"]], by="bob")

    assert second.number != first.number
    assert (first.quote.objects, second.quote.objects, second.quote.usd_nano) == (1, 0, 0)
    assert second.quote.hours == 12.0
    assert store.count("restore") == 1


def test_a_faster_ticket_raises_the_speed_and_a_slower_one_does_not_lower_it(stored: Lab) -> None:
    known = rows(stored)
    tickets.request(stored.context, [known[b"a"]], by="alice", speed="bulk")
    tickets.request(stored.context, [known[b"a"]], by="bob", speed="standard")
    tickets.request(stored.context, [known[b"a"]], by="carol", speed="bulk")

    stored.clock.advance(12.1 * 3600)

    (row,) = restores(stored)
    assert row.speed == "standard"
    assert stored.context.tiers["archive"].store.head(row.key).readability is Readability.WARM


def test_without_a_speed_the_cheapest_that_meets_the_deadline_is_taken(stored: Lab) -> None:
    known = rows(stored)
    now_ns = stored.clock.now_ns()

    slow = tickets.request(stored.context, [known[b"a"]], by="x", deadline_ns=now_ns + 49 * HOUR_NS)
    fast = tickets.request(stored.context, [known[b"b"]], by="x", deadline_ns=now_ns + 13 * HOUR_NS)
    late = tickets.request(stored.context, [known[b"c"]], by="x", deadline_ns=now_ns + HOUR_NS, speed="")

    assert (slow.speed, fast.speed, late.speed) == ("bulk", "standard", "standard")
    assert late.trouble == ()
    assert any("will not be back in time" in remark for remark in late.remarks)  # 12 h is the fastest that it has


def test_an_unknown_speed_gets_a_sentence(stored: Lab) -> None:
    with pytest.raises(UsageError, match="warp"):
        tickets.request(stored.context, [rows(stored)[b"a"]], by="x", speed="warp")


def test_p4_a_restore_that_could_not_be_asked_for_is_asked_for_later(stored: Lab) -> None:
    context, store = with_faults(stored)
    store.plan("restore", "r")

    ticket = tickets.request(context, [rows(stored)[b"a"]], by="alice")
    assert len(ticket.trouble) == 1
    assert [row.state for row in restores(stored)] == ["wanted"]

    assert ask(context) == ()
    assert [row.state for row in restores(stored)] == ["warming"]


def test_p4_a_process_killed_before_it_asks_leaves_a_ticket_that_is_asked_for(stored: Lab) -> None:
    class Killed(BaseException):
        pass

    def kill(name: str) -> None:
        if name == "tickets.opened":
            raise Killed

    with pytest.raises(Killed):
        tickets.request(stored.with_steps(kill), [rows(stored)[b"a"]], by="alice")
    assert [row.state for row in restores(stored)] == ["wanted"]

    assert ask(stored.context) == ()

    (ticket,) = tickets.open_tickets(stored.context)
    assert (ticket.requested_by, ticket.files_waiting) == ("alice", 1)
    assert [row.state for row in restores(stored)] == ["warming"]


def test_a_ticket_can_be_cancelled_and_what_others_want_stays(stored: Lab) -> None:
    known = rows(stored)
    first = tickets.request(stored.context, [known[b"a"], known[b"b"]], by="alice")
    second = tickets.request(stored.context, [known[b"c"]], by="bob")

    assert tickets.cancel(stored.context, first.number).state == "cancelled"
    assert tickets.cancel(stored.context, first.number).state == "cancelled"

    assert [ticket.number for ticket in tickets.open_tickets(stored.context)] == [second.number]
    assert sorted(row.state for row in restores(stored)) == ["done", "warming"]
    with pytest.raises(UsageError, match="no such ticket"):
        tickets.cancel(stored.context, 99)


def test_what_reads_at_once_needs_no_restore(lab: Lab) -> None:
    lab.write("a", b"warm" * 1000)
    learn(lab)
    migrate(lab.context, items(lab, "standard"))

    ticket = tickets.request(lab.context, [rows(lab)[b"a"]], by="alice")

    assert (ticket.quote.objects, ticket.quote.hours, ticket.trouble) == (0, 0.0, ())
    assert restores(lab) == []


def test_versions_can_be_waited_for_without_recalling_a_file(stored: Lab) -> None:
    recipe_no = rows(stored)[b"a"].recipe_no
    assert recipe_no is not None

    ticket = tickets.request(stored.context, [], by="cat", recipe_nos=[recipe_no])

    assert (ticket.files, ticket.quote.objects) == (0, 1)
    with stored.catalog.read() as tx:
        assert {row.pack_no for row in restores(stored)} == set(recipes.packs_of(tx, [recipe_no])[recipe_no])


def test_the_error_for_a_waiting_user_names_ticket_price_and_time(stored: Lab) -> None:
    error = tickets.waiting(tickets.request(stored.context, [rows(stored)[b"a"]], by="alice"))

    assert error.exit_code == 4
    assert error.ticket >= 1
    assert "12 h" in error.sentence()
    assert "next:" in error.sentence()


def test_a_store_that_does_not_answer_opens_no_ticket(stored: Lab) -> None:
    context, store = with_faults(stored)
    store.plan("head", "r")

    with pytest.raises(StoreUnavailable):
        tickets.request(context, [rows(stored)[b"a"]], by="alice")

    assert tickets.open_tickets(context) == []


def test_a_local_archive_costs_nothing_and_books_nothing(tmp_path: Path) -> None:
    with open_lab(tmp_path / "lab") as lab:
        lab.write("a", b"a" * 1000)
        learn(lab)
        migrate(lab.context, items(lab, "archive"))
        ticket = tickets.request(lab.context, [rows(lab)[b"a"]], by="alice")

        assert ticket.quote.usd_nano == 0
        with lab.catalog.read() as tx:
            assert ledger.balance(tx, "cost.retrieval") == 0


def test_a_path_that_is_not_utf8_may_stand_in_a_reason(lab: Lab) -> None:
    lab.write(b"\xff", bytes(range(256)) * 400)
    learn(lab)
    migrate(lab.context, items(lab, "archive"))

    ticket = tickets.request(lab.context, [rows(lab)[b"\xff"]], by="\udcff", reason="cat /root/\udcff")

    with lab.catalog.read() as tx:
        booked = [entry for entry in ledger.entries(tx) if "root/" in entry.reason]
        assert list(ledger.verify_chain(tx)) == []
    assert all("\\udcff" in entry.reason for entry in booked)
    (known,) = [found for found in tickets.open_tickets(lab.context) if found.number == ticket.number]
    assert known.requested_by == "\\udcff"
