"""What an open ticket may still become: faster, shared, kept readable, refused by a key; and what that costs."""

from dataclasses import replace

import pytest

from tests.cloud.installation import Site
from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn, states
from tests.whole.tree import noise
from tiering.catalog import tickets as ticket_rows
from tiering.catalog.values import FileState
from tiering.errors import OverBudget, UsageError
from tiering.jobs import tickets
from tiering.jobs.advance import advance
from tiering.jobs.migrate import migrate
from tiering.jobs.recall import recall
from tiering.jobs.release import release
from tiering.jobs.restore_asking import extend

pytestmark = pytest.mark.s3
DEEP = {"standard": "STANDARD", "archive": "DEEP_ARCHIVE"}
HOUR_NS = 3600 * 10**9


def send_away(lab: Lab, *names: str, tier: str = "archive") -> None:
    """Put files of noise into the archive, each in a pack of its own, and free them."""
    for name in names:
        lab.write(name, noise(ord(name), 200_000))
    learn(lab)
    for name in names:
        migrate(lab.context, items(lab, tier, [name.encode()]))
    assert not release(lab.context, items(lab, tier, [name.encode() for name in names]), wait_parked=True).files_skipped


def asked(site: Site, storage_class: str = "GLACIER") -> dict[str, int]:
    """Restores of packs that the provider has, by speed."""
    found: dict[str, int] = {}
    for stored in site.app.objects.values():
        if stored.restore is not None and stored.storage_class == storage_class:
            found[stored.restore.speed] = found.get(stored.restore.speed, 0) + 1
    return found


def test_the_speed_of_an_open_ticket_is_raised_and_the_bill_agrees(site: Site) -> None:
    with site.lab() as lab:
        send_away(lab, "a", "b")
        (number,) = recall(lab.context, items(lab, "archive"), reason="slowly", speed="bulk").tickets
        site.run(1)

        faster = tickets.hasten(lab.context, number, "expedited")

        assert (faster.speed, faster.trouble) == ("expedited", ())
        assert "2 packs are asked for again at expedited" in faster.remarks[0]
        assert asked(site) == {"Expedited": 2}
        assert faster.quote.hours == 5 / 60
        again = tickets.hasten(lab.context, number, "standard")  # never slower, never twice
        assert "nothing was asked" in again.remarks[0]
        site.run(0.1)
        assert advance(lab.context).files_done == 2
        site.run(20 * 24)
        assert site.differences(lab) == {}


def test_asking_faster_for_what_is_on_its_way_is_quoted_and_held_to_the_budget(site: Site) -> None:
    with site.lab() as lab:
        send_away(lab, "a")
        recall(lab.context, items(lab, "archive"), reason="slowly", speed="bulk")
        (slow,) = tickets.open_tickets(lab.context)
        limited = lab.context.config.recall.model_copy(update={"budget_usd_per_day": 0.001})
        poor = replace(lab.context, config=lab.context.config.model_copy(update={"recall": limited}))

        with pytest.raises(OverBudget):
            tickets.hasten(poor, slow.number, "expedited")
        with pytest.raises(OverBudget):
            recall(poor, items(lab, "archive"), reason="at once", speed="expedited")
        assert asked(site) == {"Bulk": 1}

        recall(lab.context, items(lab, "archive"), reason="at once", speed="expedited")
        fast = tickets.open_tickets(lab.context)[-1]
        assert (fast.quote.objects, fast.quote.usd_nano >= 10_000_000) == (0, True)  # the request; no second copy
        assert asked(site) == {"Expedited": 1}


def test_a_speed_that_the_class_does_not_have_is_not_paid_for_again(site: Site) -> None:
    with site.lab(DEEP) as lab:
        send_away(lab, "a")
        (number,) = recall(lab.context, items(lab, "archive"), reason="x", speed="standard").tickets
        before = site.app.bill.requests["restore", "DEEP_ARCHIVE"]

        assert "nothing was asked" in tickets.hasten(lab.context, number, "expedited").remarks[0]
        recall(lab.context, items(lab, "archive"), reason="y", speed="expedited")

        assert site.app.bill.requests["restore", "DEEP_ARCHIVE"] == before
        site.run(12)
        assert advance(lab.context).files_done == 1
        site.run(20 * 24)
        assert site.differences(lab) == {}


def test_a_ticket_that_is_not_open_is_not_hastened(site: Site) -> None:
    with site.lab() as lab, pytest.raises(UsageError, match="no such ticket"):
        tickets.hasten(lab.context, 9, "expedited")


def test_each_pack_comes_at_the_cheapest_speed_that_meets_the_deadline(site: Site) -> None:
    with site.lab({"standard": "STANDARD", "archive": "GLACIER", "deep": "DEEP_ARCHIVE"}) as lab:
        send_away(lab, "a")
        send_away(lab, "b", tier="deep")
        deadline_ns = lab.clock.now_ns() + 13 * HOUR_NS

        recall(lab.context, items(lab, "archive"), reason="by tomorrow", deadline_ns=deadline_ns)

        assert asked(site) == {"Bulk": 1}
        assert asked(site, "DEEP_ARCHIVE") == {"Standard": 1}
        site.run(12)
        assert advance(lab.context).files_done == 2


def test_where_expedited_has_no_room_the_restore_begins_at_standard(site: Site) -> None:
    with site.lab() as lab:
        send_away(lab, "a", "b")
        site.app.expedited_available = False
        tickets_of_a = recall(lab.context, items(lab, "archive", [b"a"]), reason="x", speed="bulk").tickets

        said = recall(lab.context, items(lab, "archive", [b"b"]), reason="now", speed="expedited")
        (ticket,) = [found for found in tickets.open_tickets(lab.context) if found.number in said.tickets]
        hastened = tickets.hasten(lab.context, tickets_of_a[0], "expedited")

        assert any("no room for expedited" in note and "comes at standard, up to 5 h" in note for note in said.notes)
        assert ticket.ready_ns == lab.clock.now_ns() + 5 * HOUR_NS
        assert any("goes on at the speed that it had" in trouble for trouble in hastened.trouble)
        assert asked(site) == {"Standard": 1, "Bulk": 1}
        for _ in range(13):
            site.run(1)
            advance(lab.context)
        assert set(states(lab).values()) == {FileState.DUAL}
        site.run(20 * 24)
        # Since when the copy of `a` is there cannot be told any more: some hours of 200 kB in STANDARD.
        assert abs(site.differences(lab).get("retrieval", 0)) < 100


def test_a_copy_about_to_expire_is_kept_by_a_cheap_request_until_it_is_used(site: Site) -> None:
    with site.lab() as lab:
        send_away(lab, "a")
        recall(lab.context, items(lab, "archive"), reason="x", speed="standard")
        site.run(5)
        full = lab.context.config.recall.model_copy(update={"reserve_fraction": 0.9999999})
        crowded = replace(lab.context, config=lab.context.config.model_copy(update={"recall": full}))
        for _ in range(20):  # days without room for it
            site.run(24)
            advance(crowded)
        assert states(lab)[b"a"] is FileState.OFFLINE

        assert advance(lab.context).files_done == 1
        assert asked(site) == {"Standard": 1}
        site.run(20 * 24)
        assert site.differences(lab) == {}


def test_a_copy_that_went_while_it_was_being_kept_is_restored_again(site: Site) -> None:
    with site.lab() as lab:
        send_away(lab, "a")
        recall(lab.context, items(lab, "archive"), reason="x", speed="standard")
        site.run(5)
        full = lab.context.config.recall.model_copy(update={"reserve_fraction": 0.9999999})
        advance(replace(lab.context, config=lab.context.config.model_copy(update={"recall": full})))
        with lab.catalog.read() as tx:
            (row,) = ticket_rows.restores_in(tx, ("warm",))
        site.run(24 * 30)

        extend(lab.context, row)

        with lab.catalog.read() as tx:
            (now,) = ticket_rows.restores_in(tx, ("warming",))
        assert (now.requested_ns, now.warm_until_ns) == (lab.clock.now_ns(), None)
        site.run(5)
        assert advance(lab.context).files_done == 1
        site.run(20 * 24)
        assert site.differences(lab) == {}


def test_a_key_that_denies_the_restore_gets_a_sentence_and_the_ticket_asks_again(site: Site) -> None:
    with site.lab() as lab:
        send_away(lab, "a")
        site.app.denied["restore packs/"] = "KMS.DisabledException"

        said = recall(lab.context, items(lab, "archive"), reason="x", speed="standard")

        assert said.exit_code == 4
        assert any("not yet asked for" in note and "KMS.DisabledException" in note for note in said.notes), said.notes
        assert any("enable the KMS key" in note for note in advance(lab.context).notes)
        site.app.denied.clear()
        advance(lab.context)
        site.run(5)
        assert advance(lab.context).files_done == 1
        site.run(20 * 24)
        assert site.differences(lab) == {}


def test_a_pack_whose_copy_goes_in_mid_recall_waits_on_and_fails_nothing(site: Site) -> None:
    with site.lab() as lab:
        send_away(lab, "a")
        recall(lab.context, items(lab, "archive"), reason="x", speed="standard")
        site.run(5)
        site.app.denied["get packs/"] = "InvalidObjectState"

        report = advance(lab.context)

        assert (report.files_done, len(report.tickets)) == (0, 1)
        site.app.denied.clear()
        assert advance(lab.context).files_done == 1


def test_a_key_that_denies_the_reading_gets_a_sentence_and_the_ticket_waits(site: Site) -> None:
    with site.lab() as lab:
        send_away(lab, "a")
        recall(lab.context, items(lab, "archive"), reason="x", speed="standard")
        site.run(5)
        for key, stored in site.app.objects.items():
            if key[1].startswith("packs/"):
                stored.kms_key = "alias/theirs"
        site.app.keys.states["alias/theirs"] = "denied"

        report = advance(lab.context)

        assert (report.files_done, len(report.tickets)) == (0, 1)
        assert any("kms:Decrypt" in note for note in report.notes), report.notes
        site.app.keys.states.clear()
        assert advance(lab.context).files_done == 1


def test_a_restore_that_somebody_else_began_is_adopted_and_not_paid_for(site: Site) -> None:
    with site.lab(DEEP) as lab:
        send_away(lab, "a")
        client = site.server.client()
        (key,) = [key for _, key in site.app.objects if key.startswith("packs/")]
        order = {"Days": 9, "GlacierJobParameters": {"Tier": "Standard"}}
        client.restore_object(Bucket="vault", Key=key, RestoreRequest=order)
        theirs = site.billed()["retrieval"]

        said = recall(lab.context, items(lab, "archive"), reason="x", speed="bulk")

        (ticket,) = tickets.open_tickets(lab.context)
        assert any("being restored already" in note for note in said.notes)
        assert (ticket.quote.objects, ticket.quote.usd_nano) == (0, 0)
        site.run(12)
        assert advance(lab.context).files_done == 1
        assert asked(site, "DEEP_ARCHIVE") == {"Standard": 1}
        paid = site.billed()["retrieval"] - theirs
        copies = paid - sum(nano for kind, nano in site.app.settle().by_kind().items() if kind == "restored_copies")
        assert copies == 0  # nothing but the copy that they asked for
