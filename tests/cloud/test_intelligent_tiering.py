"""INTELLIGENT_TIERING in the books: 400 days with reads, each pack priced by its own access tier, equal to the bill."""

import pytest

from tests.cloud.installation import BUCKET, Site, booked_by_kind
from tests.cloud.test_ledger_equals_bill import back, send_away
from tests.jobs.lab import Lab
from tests.jobs.outbound import items, rows
from tests.jobs.rebuilding import lose_catalog, rebuilt
from tiering.catalog import pack_notes, packs
from tiering.catalog.values import PackState
from tiering.jobs import segments
from tiering.jobs.accrue import accrue
from tiering.jobs.advance import advance
from tiering.jobs.gc import collect
from tiering.jobs.recall import recall
from tiering.jobs.release import release
from tiering.jobs.storage_hours import HOUR_NS
from tiering.report.dollars import MONTH, lines_of

pytestmark = pytest.mark.s3
COOLING = {"standard": "INTELLIGENT_TIERING"}
SMALL_PACKS = {"chunking": {"pack_bytes": "256KiB"}}


def read(lab: Lab, path: bytes) -> None:
    """Have a file back and send it away again: its pack was read."""
    assert recall(lab.context, items(lab, "standard", [path]), reason="read").files_done == 1
    assert release(lab.context, items(lab, "standard", [path]), wait_parked=True).files_skipped == ()


def steps(site: Site) -> list[str]:
    """Return the access tiers that packs are on, in the cloud."""
    now_ns = site.clock.now_ns()
    return sorted(it.step(now_ns).name for it in site.app.objects.values() if it.ladder)


@pytest.mark.parametrize("accrued", ["daily", "never"])
def test_400_days_with_reads_are_booked_as_they_are_billed(site: Site, accrued: str) -> None:
    with site.lab(COOLING, **SMALL_PACKS) as lab:
        content = send_away(lab, "standard", [b"a", b"b", b"c"])
        seen = set()
        for day in range(1, 401):
            site.run(24)
            if day in {20, 50, 125, 300}:
                read(lab, b"a")
            if day == 200:
                read(lab, b"b")
            if accrued == "daily":
                accrue(lab.context)
            seen.update(steps(site))
        assert seen == {"frequent", "infrequent", "archive instant"}
        assert site.differences(lab) == {}
        assert site.billed()["storage"] > 0
        recall(lab.context, items(lab, "standard"), reason="all")
        assert back(lab, content)


def test_small_packs_neither_cool_nor_are_watched(site: Site) -> None:
    with site.lab(COOLING, chunking={"pack_bytes": "64KiB"}) as lab:
        send_away(lab, "standard", [b"a"])
        (lab.root / "small").write_bytes(b"x")
        for _ in range(5):
            site.run(24 * 50)
            accrue(lab.context)
        assert site.differences(lab) == {}


def test_archive_access_tiers_are_booked_and_restored_from_for_nothing(site: Site) -> None:
    days = {"archive_access_days": 120, "deep_archive_access_days": 200}
    tierings = [{"AccessTier": "ARCHIVE_ACCESS", "Days": 120}, {"AccessTier": "DEEP_ARCHIVE_ACCESS", "Days": 200}]
    site.server.client().put_bucket_intelligent_tiering_configuration(
        Bucket=BUCKET,
        Id="packs",
        IntelligentTieringConfiguration={
            "Id": "packs", "Status": "Enabled", "Filter": {"Prefix": "packs/"}, "Tierings": tierings,
        },
    )  # fmt: skip
    with site.lab(COOLING, of_tier=days, **SMALL_PACKS) as lab:
        content = send_away(lab, "standard", [b"a", b"b"])
        site.run(24 * 130)
        assert "archive access" in steps(site)
        asked = recall(lab.context, items(lab, "standard", [b"a"]), reason="needed", speed="standard")
        assert asked.exit_code == 4
        for _ in range(6):
            site.run(1)
            advance(lab.context)
        assert back(lab, {b"a": content[b"a"]})
        site.run(24 * 220)
        assert "deep archive access" in steps(site)
        assert site.differences(lab) == {}
        assert site.billed()["retrieval"] == site.probing["retrieval"]


def test_p6_explain_tells_a_month_on_the_access_tier_that_a_file_is_on(site: Site) -> None:
    with site.lab(COOLING, **SMALL_PACKS) as lab:
        send_away(lab, "standard", [b"a"])
        said = {}
        for days in (1, 40, 60):
            site.run(24 * days)
            lines = lines_of(lab.context, rows(lab)[b"a"])
            (line,) = [it for it in lines if "INTELLIGENT" in it.said and it.when == MONTH]
            said[line.said.partition("(")[2].partition(")")[0]] = line.nano
        assert list(said) == ["frequent", "infrequent", "archive instant"]
        accrue(lab.context)
        before = booked_by_kind(lab)["storage"]
        site.run(730)
        accrue(lab.context)
        assert booked_by_kind(lab)["storage"] - before == pytest.approx(
            said["archive instant"], abs=500
        )  # and metadata


def test_a_pack_that_is_deleted_costs_nothing_more(site: Site) -> None:
    with site.lab(COOLING, **SMALL_PACKS) as lab:
        send_away(lab, "standard", [b"a"])
        site.run(24 * 100)
        read(lab, b"a")
        (lab.root / "a").unlink()
        for _ in range(2):
            site.run(24 * 40)
            collect(lab.context)
        site.run(24 * 100)
        assert site.differences(lab) == {}


def test_p3_the_bucket_knows_when_packs_were_read(site: Site) -> None:
    with site.lab(COOLING, **SMALL_PACKS) as lab:
        send_away(lab, "standard", [b"a"])
        site.run(24 * 100)
        read(lab, b"a")
        accrue(lab.context)
        segments.flush(lab.context)
        with lose_catalog(lab) as (again, catalog):
            rebuilt(again, catalog)
            with catalog.read() as tx:
                numbers = [row.pack_no for row in packs.in_state(tx, PackState.LIVE) if row.kind == "data"]
                noted = pack_notes.reads_of(tx, numbers)
            assert [site.clock.now_ns() // HOUR_NS] == [at_ns // HOUR_NS for at_ns in noted.values()]
