"""gc where the bucket keeps old versions, locks them, or lets nobody delete them: nothing breaks, all is booked."""

import pytest

from tests.cloud.encryption import AWS_KEY, DENIED
from tests.cloud.installation import BUCKET, Site
from tests.cloud.test_ledger_equals_bill import send_away
from tests.jobs.lab import Lab
from tests.jobs.outbound import rows
from tiering.catalog import commit, packs
from tiering.catalog.values import PackState
from tiering.jobs.audit import audit
from tiering.jobs.gc import GcReport, collect

pytestmark = pytest.mark.s3
DAY_H = 24
COLD = {"standard": "STANDARD", "archive": "GLACIER"}


def let_go(lab: Lab) -> None:
    """Forget every file: nothing refers to their packs."""
    with lab.catalog.write() as tx:
        commit.delete_files(tx, [row.file_id for row in rows(lab).values()], op_id="test:gone", reason="by hand")


def collected(site: Site, lab: Lab, times: int = 3) -> GcReport:
    """Run gc daily; return the last report."""
    for _ in range(times - 1):
        collect(lab.context)
        site.run(DAY_H)
    return collect(lab.context)


def doomed(lab: Lab) -> int:
    """Count doomed data packs."""
    with lab.catalog.read() as tx:
        return sum(1 for row in packs.in_state(tx, PackState.DOOMED) if row.kind == "data")


def standing(site: Site) -> int:
    """Count versions and markers of data packs in the bucket."""
    held = (*site.app.objects, *site.app.vault.noncurrent, *site.app.vault.markers)
    return sum(1 for _, key, *_ in held if key.startswith("packs/"))


def booked_as_billed(site: Site, lab: Lab) -> bool:
    """Whether ledger and bill agree but for what init's probes left locked behind it: a few hundred bytes."""
    found = site.differences(lab)
    return found.keys() <= {"noncurrent"} and found.get("noncurrent", 0) > -1000


def test_what_a_retention_keeps_stays_doomed_on_the_books_until_it_is_over(locked_site: Site) -> None:
    with locked_site.lab(COLD) as lab:
        send_away(lab, "archive", [b"a", b"b"])
        locked_site.run(5 * DAY_H)
        let_go(lab)
        report = collected(locked_site, lab)
        assert (report.packs_deleted, report.exit_code) == (0, 0)
        assert report.packs_locked == 2  # a data pack and the recipes
        assert "are kept by Object Lock and go on 2027-02-" in report.locked
        assert "a month until then. Nothing else waits for them" in report.locked
        assert doomed(lab) == 1
        assert booked_as_billed(locked_site, lab)
        asked = locked_site.app.bill.requests["head", "GLACIER"]
        collected(locked_site, lab, 20)
        assert locked_site.app.bill.requests["head", "GLACIER"] == asked  # not asked again before its time
        locked_site.run(20 * DAY_H)
        report = collect(lab.context)
        assert (report.packs_deleted, report.packs_locked, standing(locked_site)) == (2, 0, 0)
        assert audit(lab.context).discrepancies == ()
        assert booked_as_billed(locked_site, lab)


def test_a_legal_hold_is_looked_at_in_each_run_and_the_rest_goes(locked_site: Site) -> None:
    client = locked_site.server.client()
    with locked_site.lab(COLD) as lab:
        send_away(lab, "standard", [b"a"])
        (key,) = [key for _, key in locked_site.app.objects if key.startswith("packs/")]
        client.put_object_legal_hold(Bucket=BUCKET, Key=key, LegalHold={"Status": "ON"})
        locked_site.run(50 * DAY_H)
        let_go(lab)
        report = collected(locked_site, lab)
        assert (report.packs_deleted, report.packs_locked) == (0, 1)
        assert "when their legal hold is lifted" in report.locked
        client.put_object_legal_hold(Bucket=BUCKET, Key=key, LegalHold={"Status": "OFF"})
        assert collect(lab.context).packs_deleted == 1
        assert standing(locked_site) == 0
        assert booked_as_billed(locked_site, lab)


def test_a_lock_that_comes_while_gc_looks_is_met_with_a_note(locked_site: Site) -> None:
    with locked_site.lab(COLD) as lab:
        send_away(lab, "standard", [b"a"])
        locked_site.run(50 * DAY_H)
        let_go(lab)
        (key,) = [key for _, key in locked_site.app.objects if key.startswith("packs/")]

        def lock(step: str) -> None:
            if step == "gc.claimed":
                locked_site.app.objects[BUCKET, key].lock.hold = True

        report = collect(lab.with_steps(lock))
        assert any("is kept by Object Lock" in note for note in report.notes)
        locked_site.app.objects[BUCKET, key].lock.hold = False
        collect(lab.context)
        assert standing(locked_site) == 0
        assert booked_as_billed(locked_site, lab)


def test_gc_deletes_the_version_itself_where_the_bucket_keeps_versions(site: Site) -> None:
    site.server.client().put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    with site.lab(COLD) as lab:
        send_away(lab, "standard", [b"a"])
        let_go(lab)
        assert collected(site, lab).notes == []
        assert standing(site) == 0
        site.run(30 * DAY_H)
        assert site.differences(lab) == {}


def test_without_the_right_to_delete_versions_packs_are_hidden_and_gc_says_so(site: Site) -> None:
    site.server.client().put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    with site.lab(COLD) as lab:
        send_away(lab, "standard", [b"a"])
        let_go(lab)
        site.app.denied["delete-version packs/"] = "AccessDenied"
        notes = [note for _ in range(3) for note in collect(lab.context).notes]
        assert any("Let these credentials use s3:DeleteObjectVersion" in note for note in notes)
        assert standing(site) == 2  # hidden by a marker
        assert audit(lab.context).discrepancies == ()


def test_a_denied_key_does_not_keep_gc_from_deleting(site: Site) -> None:
    with site.lab(COLD) as lab:
        send_away(lab, "standard", [b"a"])
        for stored in site.app.objects.values():
            stored.kms_key = AWS_KEY if stored.size else ""
        let_go(lab)
        for place, stored in site.app.objects.items():
            stored.kms_key = AWS_KEY if place[1].startswith("packs/") else ""
        site.app.keys.states[AWS_KEY] = DENIED
        collected(site, lab)
        assert standing(site) == 0
