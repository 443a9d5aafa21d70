"""Packs of an archive tier go up straight, or by way of STANDARD where they die young; billed and booked the same."""

import pytest

from policies.uploading import STANDARD
from tests.cloud.installation import Site
from tests.cloud.test_ledger_equals_bill import back, send_away
from tests.cloud.test_locked_buckets import let_go
from tests.jobs.lab import Lab
from tests.jobs.outbound import Killed, StopAt, items
from tiering.catalog import packs
from tiering.catalog.values import PackRow, PackState
from tiering.jobs.advance import advance
from tiering.jobs.audit import audit
from tiering.jobs.doctor import doctor
from tiering.jobs.gc import collect
from tiering.jobs.recall import recall
from tiering.jobs.reconcile import reconcile
from tiering.jobs.upload_choice import class_of_new_packs, sentences
from tiering.jobs.uploads import send_waiting

pytestmark = pytest.mark.s3
CLASSES = {"standard": "STANDARD", "archive": "DEEP_ARCHIVE"}
SMALL = {"chunking": {"pack_bytes": "256KiB"}}


def live(lab: Lab) -> list[PackRow]:
    """Return the live data packs."""
    with lab.catalog.read() as tx:
        return [row for row in packs.in_state(tx, PackState.LIVE) if row.kind == "data"]


def die_young(lab: Lab, site: Site) -> None:
    """Store files and forget them within hours, until the catalog has seen enough of it."""
    for number in range(3):
        send_away(lab, "archive", [b"%d-%d" % (number, file) for file in range(8)], seed=number * 10)
        let_go(lab)
        collect(lab.context)
    site.run(1)


def test_packs_go_straight_while_none_die_young(site: Site) -> None:
    with site.lab(CLASSES, **SMALL) as lab:
        send_away(lab, "archive", [b"a", b"b"])
        assert {row.storage_class for row in live(lab)} == {"DEEP_ARCHIVE"}
        assert send_waiting(lab.context).packs_sent == 0
        (said,) = sentences(lab.context)
        assert said.startswith("tier archive: new packs go straight to DEEP_ARCHIVE: $")
        assert said in [it.what for it in doctor(lab.context)]


def test_where_packs_die_young_they_wait_and_only_those_that_live_are_sent(site: Site) -> None:
    with site.lab(CLASSES, **SMALL) as lab:
        die_young(lab, site)
        assert class_of_new_packs(lab.context, lab.context.tiers["archive"]) == STANDARD
        content = send_away(lab, "archive", [b"kept"], seed=77)
        send_away(lab, "archive", [b"gone"], seed=88)
        assert {row.storage_class for row in live(lab)} == {STANDARD}
        assert audit(lab.context).discrepancies == ()
        early = site.billed()["early_delete"]
        report = send_waiting(lab.context)
        assert (report.packs_sent, report.packs_waiting > 0) == (0, True)
        site.run(24 * 30)
        report = send_waiting(lab.context)
        assert report.packs_sent > 0
        assert {row.storage_class for row in live(lab)} == {"DEEP_ARCHIVE"}
        assert site.billed()["early_delete"] == early  # STANDARD has no minimum
        assert audit(lab.context).discrepancies == ()
        assert site.differences(lab) == {}
        recall(lab.context, items(lab, "archive", [b"kept"]), reason="needed", speed="standard")
        for _ in range(13):
            site.run(1)
            advance(lab.context)
        assert back(lab, content)
        site.run(24 * 20)
        assert site.differences(lab) == {}


@pytest.mark.parametrize("step", ["uploads.noted", "uploads.changed"])
def test_p4_killed_anywhere_a_waiting_pack_is_sent_once(site: Site, step: str) -> None:
    with site.lab(CLASSES, **SMALL) as lab:
        die_young(lab, site)
        send_away(lab, "archive", [b"kept"], seed=77)
        site.run(24 * 40)
        sent = site.app.bill.requests["copy", "DEEP_ARCHIVE"]
        with pytest.raises(Killed):
            send_waiting(lab.with_steps(StopAt(step)))
    site.run(7)
    with site.lab(CLASSES, **SMALL) as lab:
        reconcile(lab.context)
        send_waiting(lab.context)
        assert {row.storage_class for row in live(lab)} == {"DEEP_ARCHIVE"}
        assert site.app.bill.requests["copy", "DEEP_ARCHIVE"] == sent + len(live(lab))
        assert audit(lab.context).discrepancies == ()
