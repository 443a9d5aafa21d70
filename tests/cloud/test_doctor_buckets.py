"""doctor on buckets that do things by themselves: each is named, with its dollars a month and what to do."""

import re
from typing import Any

import pytest

from tests.cloud.encryption import AWS_KEY, DENIED, DISABLED
from tests.cloud.installation import BUCKET, Site
from tests.cloud.test_ledger_equals_bill import send_away
from tests.cloud.test_locked_buckets import let_go
from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn, rows
from tests.whole.tree import noise
from tiering.errors import StoreDenied
from tiering.jobs import mover
from tiering.jobs.advance import advance
from tiering.jobs.doctor import doctor
from tiering.jobs.finding import Finding, Weight
from tiering.jobs.gc import collect
from tiering.jobs.migrate import migrate
from tiering.jobs.recall import recall

pytestmark = pytest.mark.s3
CLASSES = {"standard": "STANDARD", "archive": "DEEP_ARCHIVE"}


def about(lab: Lab, word: str) -> Finding:
    """Return the only finding that says *word*."""
    found = [it for it in doctor(lab.context) if word in it.what]
    assert len(found) == 1, [it.what for it in doctor(lab.context)]
    return found[0]


def client(site: Site) -> Any:
    """Return the owner's."""
    return site.server.client()


def rule(site: Site, **what: Any) -> None:
    """Set one lifecycle rule."""
    one = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": ""}} | what
    client(site).put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [one]})


def test_a_bucket_that_does_nothing_by_itself_is_not_spoken_of(site: Site) -> None:
    with site.lab(CLASSES) as lab:
        send_away(lab, "standard", [b"a"])
        said = " ".join(it.what for it in doctor(lab.context))
        assert not re.search(r"version|lifecycle|replicated|Object Lock|unfinished|archives", said)
        # What doctor asked is in the books; but this cloud does not bill the look at the bucket's versioning.
        assert site.differences(lab) == {"requests": site.app.bill.book.price("STANDARD").get_nano}


def test_old_versions_and_markers_are_found_and_priced(site: Site) -> None:
    client(site).put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    with site.lab(CLASSES) as lab:
        for _ in range(2):
            client(site).put_object(Bucket=BUCKET, Key="packs/old", Body=bytes(20_000_000))
        client(site).delete_object(Bucket=BUCKET, Key="packs/old")
        found = about(lab, "noncurrent versions")
        assert "2 noncurrent versions, 38.15 MiB, cost $0.000857 a month" in found.what
        assert "NoncurrentVersionExpiration" in found.do
        assert "1 delete markers cost" in about(lab, "delete markers").what
        assert about(lab, "keeps old versions").weight is Weight.GOOD


def test_a_rule_that_expires_packs_is_bad_and_says_what_would_be_lost(site: Site) -> None:
    with site.lab(CLASSES) as lab:
        send_away(lab, "standard", [b"a", b"b"])
        rule(site, Expiration={"Days": 365})
        found = about(lab, "deletes objects")
        assert found.weight is Weight.BAD
        assert "365 days after they came: 586" in found.what
        assert "in 1 packs would be lost" in found.what
        rule(site, Filter={"Prefix": "elsewhere/"}, Expiration={"Days": 365})
        assert not [it for it in doctor(lab.context) if "lifecycle" in it.what]
        rule(site, Filter={"Tag": {"Key": "tmp", "Value": "yes"}}, Expiration={"Days": 365})
        assert not [it for it in doctor(lab.context) if "lifecycle" in it.what]


def test_a_rule_that_moves_packs_is_bad_and_says_what_it_changes(site: Site) -> None:
    with site.lab(CLASSES) as lab:
        send_away(lab, "standard", [b"a"])
        moves = [{"Days": 30, "StorageClass": "GLACIER"}]
        rule(site, Transitions=moves, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 7})
        found = about(lab, "moves objects to GLACIER after 30 days")
        assert found.weight is Weight.BAD
        assert "must be restored before anything can be read" in found.what
        assert "1 packs, $0.00003 once" in found.what
        assert "a month become" in found.what
        assert about(lab, "aborts unfinished uploads after 7 days").weight is Weight.GOOD


def test_replication_is_said_with_what_the_copy_costs(site: Site) -> None:
    client(site).put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    there = {"Bucket": "arn:aws:s3:::twin", "StorageClass": "STANDARD_IA"}
    one = {
        "ID": "r", "Status": "Enabled", "Priority": 1, "Filter": {"Prefix": ""}, "Destination": there,
        "DeleteMarkerReplication": {"Status": "Disabled"},
    }  # fmt: skip
    wanted = {"Role": "arn:aws:iam::123456789012:role/r", "Rules": [one]}
    client(site).put_bucket_replication(Bucket=BUCKET, ReplicationConfiguration=wanted)
    with site.lab(CLASSES) as lab:
        send_away(lab, "standard", [b"a"])
        found = about(lab, "replicated to twin")
        assert "another 293" in found.what
        assert "a month there by this price book" in found.what


def test_object_lock_is_said_with_what_waits_for_it(locked_site: Site) -> None:
    with locked_site.lab(CLASSES) as lab:
        send_away(lab, "standard", [b"a"])
        assert "GOVERNANCE for 40 days" in about(lab, "has Object Lock").what
        let_go(lab)
        for _ in range(2):
            collect(lab.context)
            locked_site.run(1)
        found = about(lab, "has Object Lock")
        assert "2 doomed packs" in found.what
        assert "a month until then" in found.what


def test_archive_access_tiers_that_the_configuration_does_not_name_are_bad(site: Site) -> None:
    tierings = [{"AccessTier": "ARCHIVE_ACCESS", "Days": 120}]
    client(site).put_bucket_intelligent_tiering_configuration(
        Bucket=BUCKET,
        Id="all",
        IntelligentTieringConfiguration={"Id": "all", "Status": "Enabled", "Tierings": tierings},
    )
    with site.lab({"standard": "INTELLIGENT_TIERING"}) as lab:
        found = about(lab, "archives objects of INTELLIGENT_TIERING")
        assert found.weight is Weight.BAD
        assert found.do.startswith("set archive_access_days = 120 and deep_archive_access_days = 0")
    with site.lab({"standard": "INTELLIGENT_TIERING"}, of_tier={"archive_access_days": 120}) as lab:
        assert not [it for it in doctor(lab.context) if "archives objects" in it.what]


def test_unfinished_uploads_are_priced(site: Site) -> None:
    with site.lab(CLASSES) as lab:
        started = client(site).create_multipart_upload(Bucket=BUCKET, Key="packs/x", StorageClass="DEEP_ARCHIVE")
        where = {"Bucket": BUCKET, "Key": "packs/x", "UploadId": started["UploadId"]}
        client(site).upload_part(**where, PartNumber=1, Body=bytes(6 << 20))
        found = about(lab, "unfinished uploads")
        assert "1 unfinished uploads" in found.what
        assert "hold 6.00 MiB and cost $0.000135 a month until they are aborted" in found.what


def test_settings_that_may_not_be_seen_are_named(site: Site) -> None:
    with site.lab(CLASSES) as lab:
        site.app.denied["setting "] = "AccessDenied"
        found = about(lab, "may not see")
        assert "Object Lock (AccessDenied)" in found.what
        assert "s3:GetBucketVersioning" in found.do


def test_restores_on_their_way_and_copies_about_to_expire_get_a_sentence(site: Site) -> None:
    with site.lab(CLASSES, recall={"restore_days": 1, "reserve_fraction": 0}) as lab:
        send_away(lab, "archive", [b"a"])
        recall(lab.context, items(lab, "archive"), reason="asked for", speed="standard")
        advance(lab.context)
        found = about(lab, "are being restored")
        assert "asking again starts nothing, and costs nothing" in found.what
        assert "in at most 12.0 h" in found.what
        site.run(13)
        site.app.denied["get packs/"] = "SlowDown"
        advance(lab.context)
        site.run(12)
        site.app.denied.clear()
        found = about(lab, "readable copies of 1 packs expire")
        assert "open tickets need them" in found.what


@pytest.mark.parametrize(("state", "word"), [(DENIED, "kms:GenerateDataKey"), (DISABLED, "KMS.DisabledException")])
def test_a_denied_key_at_upload_gets_a_sentence_and_the_file_stays(site: Site, state: str, word: str) -> None:
    with site.lab(CLASSES) as lab:
        lab.write("a", noise(1, 200_000))
        learn(lab)
        site.app.keys.default = AWS_KEY
        site.app.keys.states[AWS_KEY] = state
        with pytest.raises(StoreDenied) as refused:
            migrate(lab.context, items(lab, "standard"))
        assert word in refused.value.what
        assert "enable the KMS key, or let these credentials use it" in refused.value.hint
        assert (lab.root / "a").read_bytes() == noise(1, 200_000)
        site.app.keys.states.clear()
        assert migrate(lab.context, items(lab, "standard")).files_done == 1


def test_a_denied_key_at_reading_and_at_copy_gets_a_sentence_and_loses_nothing(site: Site) -> None:
    with site.lab(CLASSES) as lab:
        content = send_away(lab, "standard", [b"a"])
        for stored in site.app.objects.values():
            stored.kms_key = AWS_KEY
        site.app.keys.states[AWS_KEY] = DENIED
        with pytest.raises(StoreDenied, match=r"kms:Decrypt|403"):
            recall(lab.context, items(lab, "standard"), reason="asked for")
        site.run(730 * 3)
        with pytest.raises(StoreDenied) as refused:
            mover.move(lab.context, list(rows(lab).values()), "archive", reason="test")
        assert "KMS" in refused.value.hint or "kms" in refused.value.hint
        site.app.keys.states.clear()
        assert recall(lab.context, items(lab, "archive"), reason="asked for").exit_code in {0, 4}
        for _ in range(13):
            site.run(1)
            advance(lab.context)
        assert (lab.root / "a").read_bytes() == content[b"a"]
