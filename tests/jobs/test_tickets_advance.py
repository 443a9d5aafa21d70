"""From an archive and back: a recall waits on a ticket, and the daemon's advance() completes it, bit for bit."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import Killed, StopAt, books_balance, items, learn, rows, states
from tests.stores.faults import FaultyStore
from tests.stores.servers import KEY_ID, SECRET, S3Server, moto_server, seaweed_server, slow_restores
from tiering.catalog import accounts, journal, ledger
from tiering.catalog import tickets as ticket_rows
from tiering.catalog.values import FileState, JournalKind
from tiering.clock import NS_PER_S
from tiering.config.policy import price_book
from tiering.errors import IntegrityError
from tiering.jobs import tickets
from tiering.jobs.advance import advance
from tiering.jobs.migrate import migrate
from tiering.jobs.recall import recall, resume
from tiering.jobs.release import release
from tiering.jobs.reports import JobReport
from tiering.stores.base import Readability
from tiering.stores.memory import MemoryStore

CONTENT = {
    b"a.bin": random.Random(1).randbytes(120_000),
    b"d/b.txt": b"words and words " * 9000,
    b"d/empty": b"",
    b"d/c": random.Random(2).randbytes(70_000),
}
HOUR_S = 3600


def send_away(lab: Lab) -> None:
    """Write CONTENT, store it in the archive and free its bytes."""
    for path, data in CONTENT.items():
        lab.write(path, data)
    learn(lab)
    lab.clock.advance(HOUR_S)
    migrate(lab.context, items(lab, "archive"))
    freed = release(lab.context, items(lab, "archive"), wait_parked=True)
    assert freed.files_skipped == ()
    assert set(states(lab).values()) == {FileState.OFFLINE}


def is_back(lab: Lab) -> bool:
    """Whether every file is on the disk again, bit for bit."""
    for path, data in CONTENT.items():
        place = lab.root / path.decode()
        if place.is_symlink() or place.read_bytes() != data:
            return False
    return set(states(lab).values()) == {FileState.DUAL}


def ticket_states(lab: Lab) -> dict[int, str]:
    with lab.catalog.read() as tx:
        return {
            row.ticket_no: row.state
            for state in ("open", "done", "failed", "cancelled")
            for row in ticket_rows.in_state(tx, state)
        }


@pytest.fixture
def away(lab: Lab) -> Lab:
    """A laboratory whose files are in DEEP_ARCHIVE, on a clock that can be moved."""
    send_away(lab)
    return lab


def test_a_recall_from_an_archive_waits_and_the_daemon_completes_it(away: Lab) -> None:
    asked = recall(away.context, items(away), reason="by hand")
    assert asked.exit_code == 4
    assert asked.files_done == 1  # the empty file needs nothing from the archive
    (number,) = asked.tickets

    away.clock.advance(11 * HOUR_S)
    early = advance(away.context)
    assert (early.files_done, early.tickets, early.exit_code) == (0, (number,), 4)
    assert not is_back(away)

    away.clock.advance(2 * HOUR_S)
    done = advance(away.context)

    assert (done.files_done, done.tickets, done.files_skipped, done.exit_code) == (3, (), (), 0)
    assert is_back(away)
    assert ticket_states(away) == {number: "done"}
    assert tickets.open_tickets(away.context) == []
    books_balance(away)
    assert advance(away.context) == JobReport()


def test_files_whose_packs_are_warm_do_not_wait_for_the_others(lab: Lab) -> None:
    lab.write("first", b"1" * 70_000)
    learn(lab)
    migrate(lab.context, items(lab, "archive"))
    lab.write("second", b"2" * 70_000)
    learn(lab)
    migrate(lab.context, items(lab, "archive", [b"second"]))
    release(lab.context, items(lab, "archive"), wait_parked=True)
    tickets.request(lab.context, [rows(lab)[b"first"]], by="x", speed="standard")
    recall(lab.context, items(lab), reason="by hand", speed="bulk")
    lab.clock.advance(13 * HOUR_S)

    advance(lab.context)

    assert states(lab) == {b"first": FileState.DUAL, b"second": FileState.OFFLINE}
    lab.clock.advance(36 * HOUR_S)
    advance(lab.context)
    assert states(lab) == {b"first": FileState.DUAL, b"second": FileState.DUAL}
    assert set(ticket_states(lab).values()) == {"done"}


def test_p4_a_ticket_survives_a_death_at_any_step(away: Lab) -> None:
    for step in ("tickets.opened", "tickets.asked"):
        with pytest.raises(Killed):
            recall(away.with_steps(StopAt(step)), items(away), reason="by hand")
        for ticket in tickets.open_tickets(away.context):
            tickets.cancel(away.context, ticket.number)
    recall(away.context, items(away), reason="by hand")
    away.clock.advance(13 * HOUR_S)
    with pytest.raises(Killed):
        advance(away.with_steps(StopAt("recall.claimed")))
    assert FileState.RECALLING in states(away).values()
    assert advance(away.context).tickets  # what the dead process claimed is not touched

    away.clock.advance(7 * HOUR_S)  # its leases run out
    with away.catalog.read() as tx:
        claimed = journal.of_kind(tx, JournalKind.RECALL)
    for row in claimed:  # what reconcile does at the next start
        resume(away.context, row)
    advance(away.context)

    assert is_back(away)
    books_balance(away)


@pytest.mark.parametrize("hours_left", [12, 0.5])
def test_a_restored_copy_is_used_in_time_and_kept_only_if_it_expires_within_the_hour(
    away: Lab, hours_left: float
) -> None:
    recall(away.context, items(away), reason="by hand")
    away.clock.advance(13 * HOUR_S)
    store = away.context.tiers["archive"].store
    key = next(info.key for info in store.list("packs/"))
    until_ns = store.head(key).warm_until_ns
    away.clock.advance((until_ns - away.clock.now_ns()) / NS_PER_S - hours_left * HOUR_S)

    advance(away.context)

    assert is_back(away)
    assert (store.head(key).warm_until_ns > until_ns) is (hours_left < 1)


def test_copies_that_still_wait_for_something_else_are_kept(away: Lab) -> None:
    recall(away.context, items(away), reason="by hand")
    away.clock.advance(13 * HOUR_S)
    store = away.context.tiers["archive"].store
    key = next(info.key for info in store.list("packs/"))
    until_ns = store.head(key).warm_until_ns
    away.clock.advance((until_ns - away.clock.now_ns()) / NS_PER_S - 12 * HOUR_S)
    full = away.context.config.model_copy(
        update={"recall": away.context.config.recall.model_copy(update={"reserve_fraction": 0.9999999})}
    )

    advance(replace(away.context, config=full))

    assert not is_back(away)
    assert store.head(key).warm_until_ns > away.clock.now_ns() + 6 * 86_400 * NS_PER_S


def test_a_copy_that_expired_unused_is_asked_for_again(away: Lab) -> None:
    recall(away.context, items(away), reason="by hand")
    away.clock.advance(30 * 24 * HOUR_S)

    assert advance(away.context).tickets
    away.clock.advance(13 * HOUR_S)
    advance(away.context)

    assert is_back(away)


def test_a_cancelled_ticket_recalls_nothing(away: Lab) -> None:
    (number,) = recall(away.context, items(away), reason="by hand").tickets
    tickets.cancel(away.context, number)
    away.clock.advance(13 * HOUR_S)

    assert advance(away.context) == JobReport()
    assert [path for path, state in states(away).items() if state is FileState.DUAL] == [b"d/empty"]


def test_a_file_replaced_meanwhile_is_left_alone(away: Lab) -> None:
    recall(away.context, items(away), reason="by hand")
    place = away.root / "a.bin"
    place.unlink()
    place.write_bytes(b"the user's own new file")
    away.clock.advance(13 * HOUR_S)

    report = advance(away.context)

    assert place.read_bytes() == b"the user's own new file"
    assert report.files_done == 2
    assert set(ticket_states(away).values()) == {"failed"}


def test_an_unreachable_store_leaves_the_ticket_as_it_is(away: Lab) -> None:
    recall(away.context, items(away), reason="by hand")
    away.clock.advance(13 * HOUR_S)
    tier = away.context.tiers["archive"]
    faulty = FaultyStore(tier.store).plan("head", "r" * 50).plan("get", "r" * 50)
    broken = replace(away.context, tiers={**away.context.tiers, "archive": replace(tier, store=faulty)})

    report = advance(broken)
    assert report.files_done == 0
    assert report.notes
    assert set(ticket_states(away).values()) == {"open"}

    advance(away.context)
    assert is_back(away)


def test_p7_damaged_bytes_fail_their_file_and_no_other(away: Lab) -> None:
    recall(away.context, items(away), reason="by hand")
    away.clock.advance(13 * HOUR_S)
    shelf = MemoryStore(away.context.tiers["archive"].store.url.removeprefix("memory://")).shelf
    key = next(key for key in shelf.held if key.startswith("packs/"))
    held = shelf.held[key]
    body = bytearray(held.body)
    place = bytes(body).index(CONTENT[b"d/c"][1000:1032])
    body[place] ^= 1
    shelf.held[key] = replace(held, body=bytes(body))

    with pytest.raises(IntegrityError):
        advance(away.context)

    found = states(away)
    assert found.pop(b"d/c") is FileState.OFFLINE
    assert set(found.values()) == {FileState.DUAL}
    assert set(ticket_states(away).values()) == {"failed"}
    assert advance(away.context) == JobReport()


@pytest.fixture(scope="module")
def moto() -> Iterator[S3Server]:
    with moto_server() as server:
        yield server


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def glacier_tiers(server: S3Server) -> dict[str, dict[str, object]]:
    """STANDARD and GLACIER in one new bucket."""
    bucket = server.bucket(f"b-{uuid4().hex}")
    reach = {"endpoint_url": server.endpoint, "region": "us-east-1", "path_style": True}
    return {
        "standard": {"store": f"s3://{bucket}/warm", **reach},
        "archive": {"store": f"s3://{bucket}/cold", "storage_class": "GLACIER", **reach},
    }


@pytest.fixture
def glacier(tmp_path: Path, moto: S3Server, credentials: None) -> Iterator[Lab]:
    """A laboratory on moto."""
    with slow_restores(looks=3), open_lab(tmp_path / "lab", tiers=glacier_tiers(moto)) as opened:
        yield opened


@pytest.mark.s3
def test_on_s3_glacier_and_back_bit_for_bit(glacier: Lab) -> None:
    send_away(glacier)
    store = glacier.context.tiers["archive"].store
    packs = list(store.list("packs/"))
    assert {info.storage_class for info in packs} == {"GLACIER"}
    for info in packs:  # moto counts looks, see slow_restores
        assert [store.head(info.key).readability for _ in range(3)] == [Readability.COLD] * 3

    asked = recall(glacier.context, items(glacier), reason="by hand", speed="standard")
    assert asked.exit_code == 4
    assert not is_back(glacier)
    (ticket,) = tickets.open_tickets(glacier.context)

    looks = 0
    while (report := advance(glacier.context)).tickets:
        looks += 1
        assert looks < 10

    assert looks >= 1
    assert report.files_done == 3
    assert is_back(glacier)
    books_balance(glacier)
    _paid_as_quoted(glacier, ticket)


@pytest.mark.s3
@pytest.mark.usefixtures("credentials")
def test_where_an_archive_class_is_only_a_label_nothing_waits(tmp_path: Path) -> None:
    with (
        seaweed_server(tmp_path / "weed") as server,
        open_lab(tmp_path / "lab", tiers=glacier_tiers(server)) as lab,
    ):
        send_away(lab)
        store = lab.context.tiers["archive"].store
        assert {info.storage_class for info in store.list("packs/")} == {"GLACIER"}

        report = recall(lab.context, items(lab), reason="by hand")

        assert (report.files_done, report.tickets, report.exit_code) == (4, (), 0)
        assert is_back(lab)
        books_balance(lab)


def _paid_as_quoted(lab: Lab, ticket: tickets.Ticket) -> None:
    price = price_book(lab.context.config).price("GLACIER").restore
    assert price is not None
    with lab.catalog.read() as tx:
        every = [entry for entry in ledger.entries(tx) if entry.kind == "restore"]
        # moto lives today, the laboratory later: to it each copy is about to go, and is kept
        kept = [entry for entry in every if entry.op_id.startswith("extend:")]
        booked = [entry for entry in every if entry not in kept]
        paid = ledger.balance(tx, accounts.COST_RETRIEVAL, "archive")
        asked = ledger.balance(tx, accounts.COST_REQUESTS, "archive")
    assert len(booked) == 2 * ticket.quote.objects  # asked for, and seen to be readable
    assert ticket.quote.usd_nano + len(kept) * price["standard"].nano_per_request >= paid
    assert paid > price["standard"].nano_per_request * ticket.quote.objects
    assert asked > 0
