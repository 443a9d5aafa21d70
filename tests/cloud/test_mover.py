"""Files and packs on their way to a colder tier: nothing warmer loses anything, and nothing is billed twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cloud.installation import Site
from tests.cloud.test_ledger_equals_bill import send_away
from tests.jobs.asking import asked_for
from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import Killed, StopAt, items, learn, rows, states, stored_bytes
from tests.jobs.rebuilding import lose_catalog, rebuilt
from tests.whole.tree import noise
from tiering.catalog import moving, sums, temperature
from tiering.catalog import packs as pack_rows
from tiering.catalog.values import FileState, PackRow, PackState
from tiering.jobs import mover, segments
from tiering.jobs.advance import advance
from tiering.jobs.audit import audit
from tiering.jobs.charges import charge
from tiering.jobs.gc import collect
from tiering.jobs.migrate import migrate
from tiering.jobs.pack_plans import homes, ranks_of
from tiering.jobs.recall import recall
from tiering.jobs.reconcile import reconcile

pytestmark = pytest.mark.s3
CLASSES = {"standard": "STANDARD", "rare": "GLACIER_IR", "archive": "DEEP_ARCHIVE"}
MONTH_H = 730


def live(lab: Lab) -> list[PackRow]:
    """Return the live data packs."""
    with lab.catalog.read() as tx:
        return [row for row in pack_rows.in_state(tx, PackState.LIVE) if row.kind == "data"]


def books_agree(lab: Lab) -> None:
    """The ledger, the rows and the bucket say the same."""
    with lab.catalog.read() as tx:
        assert sums.differences(tx) == {}
    assert audit(lab.context).discrepancies == ()


def test_offline_files_and_their_packs_go_to_the_archive(site: Site) -> None:
    with site.lab(CLASSES) as lab:
        content = send_away(lab, "standard", [b"a", b"b"])
        site.run(MONTH_H)
        report = mover.move(lab.context, list(rows(lab).values()), "archive", reason="test")
        assert (report.files, report.packs_moved, report.packs_kept) == (2, 1, 0)
        assert {(row.tier, row.storage_class) for row in live(lab)} == {("archive", "DEEP_ARCHIVE")}
        assert {row.tier for row in rows(lab).values()} == {"archive"}
        books_agree(lab)
        assert mover.sink(lab.context).packs_moved == 0
        site.run(MONTH_H)
        assert recall(lab.context, items(lab, "archive"), reason="needed").exit_code == 4
        site.run(12)
        advance(lab.context)
        for path, data in content.items():
            assert (lab.root / path.decode()).read_bytes() == data
        site.run(20 * 24)
        assert site.differences(lab) == {}


def test_what_a_warmer_file_needs_stays_and_the_rest_of_its_pack_goes(site: Site) -> None:
    with site.lab(CLASSES) as lab:
        content = send_away(lab, "standard", [b"a", b"b"])
        report = mover.move(lab.context, [rows(lab)[b"a"]], "archive", reason="test")
        assert (report.files, report.packs_moved, report.rewritten.packs_rewritten) == (1, 0, 1)
        assert {(row.tier, row.storage_class) for row in live(lab)} == {
            ("standard", "STANDARD"),
            ("archive", "DEEP_ARCHIVE"),
        }
        books_agree(lab)
        assert recall(lab.context, items(lab, "standard", [b"b"]), reason="needed").exit_code == 0
        assert (lab.root / "b").read_bytes() == content[b"b"]
        report = mover.move(lab.context, [rows(lab)[b"b"]], "archive", reason="test")
        assert (report.files, report.packs_moved) == (1, 1)
        books_agree(lab)
        site.run(MONTH_H)
        assert site.differences(lab) == {}


def test_the_pack_goes_where_its_warmest_file_is(site: Site) -> None:
    with site.lab(CLASSES) as lab:
        send_away(lab, "standard", [b"a", b"b"])
        site.run(MONTH_H)
        with lab.catalog.write() as tx:
            moving.retarget(tx, [rows(lab)[b"a"].file_id], "archive", op_id="test")
        mover.move(lab.context, [rows(lab)[b"b"]], "rare", reason="test")
        assert {row.storage_class for row in live(lab)} <= {"GLACIER_IR", "DEEP_ARCHIVE"}
        with lab.catalog.read() as tx:
            assert list(temperature.misplaced(tx, ranks_of(lab.context))) == []
        books_agree(lab)
        site.run(MONTH_H)
        assert site.differences(lab) == {}


@pytest.mark.parametrize("step", ["mover.retargeted", "mover.noted", "mover.changed", "mover.committed"])
def test_p4_killed_anywhere_it_loses_nothing_and_is_billed_once(site: Site, step: str) -> None:
    with site.lab(CLASSES) as lab:
        content = send_away(lab, "standard", [b"a", b"b"])
        site.run(MONTH_H)
        with pytest.raises(Killed):
            mover.move(lab.with_steps(StopAt(step)), list(rows(lab).values()), "archive", reason="test")
    site.run(7)  # its leases run out
    with site.lab(CLASSES) as lab:
        context = replace(lab.context, owner="test:1:another")
        reconcile(context)
        mover.sink(context)
        assert {(row.tier, row.storage_class) for row in live(lab)} == {("archive", "DEEP_ARCHIVE")}
        assert site.app.bill.requests["copy", "DEEP_ARCHIVE"] == 1
        books_agree(lab)
        recall(lab.context, items(lab, "archive"), reason="needed")
        site.run(12)
        advance(lab.context)
        for path, data in content.items():
            assert (lab.root / path.decode()).read_bytes() == data


def test_what_does_not_pay_stays(site: Site) -> None:
    """Out of GLACIER_IR within its 90 days: the rest of them costs more than a year in DEEP_ARCHIVE saves."""
    with site.lab(CLASSES) as lab:
        send_away(lab, "rare", [b"a"])
        report = mover.move(lab.context, list(rows(lab).values()), "archive", reason="test")
        assert (report.packs_moved, report.packs_kept) == (0, 1)
        books_agree(lab)


def test_migrate_moves_what_is_stored_already(site: Site) -> None:
    with site.lab(CLASSES) as lab:
        lab.write("a", noise(1, 300_000))
        learn(lab)
        migrate(lab.context, items(lab, "standard"))
        report = asked_for(lab, "archive")
        assert report.files_done == 1
        assert {row.storage_class for row in live(lab)} == {"DEEP_ARCHIVE"}
        assert states(lab)[b"a"] is FileState.DUAL


def test_nothing_new_is_deduplicated_against_what_went_to_an_archive(site: Site) -> None:
    with site.lab(CLASSES) as lab:
        send_away(lab, "standard", [b"a"])
        mover.move(lab.context, list(rows(lab).values()), "archive", reason="test")
        lab.write("again", noise(0, 300_000))
        learn(lab)
        migrate(lab.context, items(lab, "standard", [b"again"]))
        assert stored_bytes(lab, b"again") == noise(0, 300_000)
        books_agree(lab)


def test_p3_the_bucket_knows_what_moved(site: Site) -> None:
    with site.lab(CLASSES) as lab:
        content = send_away(lab, "standard", [b"a", b"b"])
        mover.move(lab.context, list(rows(lab).values()), "archive", reason="test")
        segments.flush(lab.context)
        before = {path: (row.tier, row.state) for path, row in rows(lab).items()}
        with lose_catalog(lab) as (again, catalog):
            rebuilt(again, catalog)
            assert {path: (row.tier, row.state) for path, row in rows(again).items()} == before
            assert {(row.tier, row.storage_class) for row in live(again)} == {("archive", "DEEP_ARCHIVE")}
            with catalog.read() as tx:
                assert sums.differences(tx) == {}
            recall(again.context, items(again, "archive"), reason="needed")
            site.run(12)
            advance(again.context)
            for path, data in content.items():
                assert (lab.root / path.decode()).read_bytes() == data


@contextmanager
def far_apart(site: Site, **archive: str) -> Iterator[Lab]:
    """An installation whose archive stands elsewhere: another bucket, region or server, or a directory."""
    here = {"store": "s3://vault", "endpoint_url": site.server.endpoint, "path_style": True}
    with open_lab(site.base, clock=site.clock, tiers={"standard": here, "archive": archive}) as lab:
        yield lab


def test_into_another_store_packs_are_read_proven_and_written_anew(site: Site) -> None:
    site.server.bucket("elsewhere")
    place = {"store": "s3://elsewhere", "endpoint_url": site.server.endpoint, "storage_class": "DEEP_ARCHIVE"}
    with far_apart(site, **place, path_style="true") as lab:
        content = send_away(lab, "standard", [b"a", b"b"])
        report = mover.move(lab.context, list(rows(lab).values()), "archive", reason="test")
        assert (report.files, report.packs_moved, report.rewritten.packs_rewritten) == (2, 0, 1)
        assert {(row.tier, row.storage_class) for row in live(lab)} == {("archive", "DEEP_ARCHIVE")}
        for _ in range(2):
            collect(lab.context)
            site.run(1)
        assert {bucket for bucket, key in site.app.objects if key.startswith("packs/")} == {"elsewhere"}
        books_agree(lab)
        recall(lab.context, items(lab, "archive"), reason="needed")
        site.run(12)
        advance(lab.context)
        for path, data in content.items():
            assert (lab.root / path.decode()).read_bytes() == data
    client = site.server.client()
    for bucket, key in list(site.app.objects):
        client.delete_object(Bucket=bucket, Key=key)
    client.delete_bucket(Bucket="elsewhere")


def test_into_a_directory_where_that_saves_more_than_the_egress_of_a_year(site: Site, tmp_path: Path) -> None:
    with far_apart(site, store=f"file://{tmp_path}/cellar", usd_per_gib_month="0.001") as lab:
        content = send_away(lab, "standard", [b"a"])
        assert homes(lab.context)["standard"].region != homes(lab.context)["archive"].region
        _, expected = mover.quote_move(lab.context, [rows(lab)[b"a"]], "archive")
        assert expected.egress_nano > 0
        report = mover.move(lab.context, list(rows(lab).values()), "archive", reason="test")
        assert report.rewritten.packs_rewritten == 1
        assert {row.tier for row in live(lab)} == {"archive"}
        assert stored_bytes(lab, b"a") == content[b"a"]
        books_agree(lab)


def test_a_quote_is_what_is_billed_then(site: Site) -> None:
    """Of a class change within a minimum stay: requests, transition, retrieval, the rest of the stay."""
    with site.lab({"standard": "STANDARD_IA", "archive": "DEEP_ARCHIVE"}) as lab:
        send_away(lab, "standard", [b"a", b"b", b"c"])
        site.run(29 * 24)
        charge(lab.context, reason="before")
        count, expected = mover.quote_move(lab.context, rows(lab).values(), "archive")
        assert count == len(rows(lab))
        assert (expected.packs, expected.requests) == (1, 3)
        assert expected.early_delete_nano > 0
        before = site.billed()
        report = mover.move(lab.context, list(rows(lab).values()), "archive", reason="test")
        assert report.quote == expected
        billed = site.billed()
        billed.subtract(before)
        assert billed["requests"] == expected.request_nano + expected.transition_nano
        assert abs(billed["retrieval"] - expected.retrieval_nano) <= 1
        assert abs(billed["early_delete"] - expected.early_delete_nano) <= 1


def test_an_archived_copy_is_given_up_once_a_warm_one_serves(site: Site) -> None:
    """What stands in the archive alone is stored again for a warm file; then the archived file needs no restore."""
    with site.lab({"standard": "STANDARD", "archive": "GLACIER"}) as lab:
        content = send_away(lab, "standard", [b"a", b"b", b"c"])
        mover.move(lab.context, list(rows(lab).values()), "archive", reason="test")
        for path, data in content.items():
            lab.write(b"again/" + path, data)
        learn(lab)
        migrate(lab.context, items(lab, "standard", [b"again/" + path for path in content]))
        assert sorted(row.storage_class for row in live(lab)) == ["GLACIER", "STANDARD"]
        assert mover.tend_packs(lab.context).packs_dropped == 1
        assert [row.storage_class for row in live(lab)] == ["STANDARD"]
        books_agree(lab)
        assert recall(lab.context, items(lab, "archive", list(content)), reason="needed").exit_code == 0
        assert {path: (lab.root / path.decode()).read_bytes() for path in content} == content
        mover.move(lab.context, [rows(lab)[b"again/" + path] for path in content], "archive", reason="test")
        assert [row.storage_class for row in live(lab)] == ["GLACIER"]
        books_agree(lab)
        segments.flush(lab.context)
        with lose_catalog(lab) as (again, catalog):
            rebuilt(again, catalog)
            with catalog.read() as tx:
                assert sums.differences(tx) == {}


def test_an_archived_pack_that_serves_something_else_too_stays(site: Site) -> None:
    with site.lab(CLASSES) as lab:
        content = send_away(lab, "standard", [b"a", b"b"])
        mover.move(lab.context, list(rows(lab).values()), "archive", reason="test")
        lab.write(b"again", content[b"a"])
        learn(lab)
        migrate(lab.context, items(lab, "standard", [b"again"]))
        assert mover.tend_packs(lab.context).packs_dropped == 0
        assert sorted(row.storage_class for row in live(lab)) == ["DEEP_ARCHIVE", "STANDARD"]
        books_agree(lab)


def test_what_is_archived_and_stands_on_the_disk_is_stored_again_to_be_warmer(site: Site) -> None:
    with site.lab(CLASSES) as lab:
        data = noise(1, 300_000)
        lab.write("a", data)
        learn(lab)
        migrate(lab.context, items(lab, "archive"))
        report = asked_for(lab, "standard", releases=True)
        assert report.files_skipped == ()
        assert {(row.tier, row.state) for row in rows(lab).values()} == {("standard", FileState.OFFLINE)}
        collect(lab.context)
        assert {row.storage_class for row in live(lab)} == {"STANDARD"}
        assert stored_bytes(lab, b"a") == data
        books_agree(lab)
        elsewhere = asked_for(lab, "archive")
        assert elsewhere.files_done == 1
        back = asked_for(lab, "standard")
        assert ["bring it back first" in skipped.reason for skipped in back.files_skipped] == [True]
