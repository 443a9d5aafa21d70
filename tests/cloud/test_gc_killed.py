"""P4: gc killed for real at its requests: nothing that is needed goes, nothing is booked twice, nothing is left."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.cloud.installation import BUCKET, Site, booked_by_kind
from tests.cloud.mortal_gc import Collector
from tests.cloud.test_ledger_equals_bill import send_away
from tests.jobs.outbound import rows, stored_bytes
from tiering.catalog import commit
from tiering.jobs.accrue import accrue
from tiering.jobs.audit import audit
from tiering.jobs.charges import charge
from tiering.jobs.gc import collect
from tiering.jobs.reconcile import reconcile

pytestmark = pytest.mark.s3
CLASSES = {"standard": "GLACIER_IR", "archive": "GLACIER"}
LEAST, LAST = 20, 30
"""Requests that a gc of this size makes at least, and does not reach."""


@contextmanager
def prepared(site: Site) -> Iterator[tuple[Collector, dict[bytes, bytes]]]:
    """An installation with dead packs in two classes, one that is needed, an orphan and parts of an upload."""
    with site.lab(CLASSES) as lab:
        send_away(lab, "archive", [b"a", b"b"])
        send_away(lab, "standard", [b"c"], seed=10)
        content = send_away(lab, "standard", [b"kept"], seed=20)
        gone = [row.file_id for path, row in rows(lab).items() if path != b"kept"]
        with lab.catalog.write() as tx:
            commit.delete_files(tx, gone, op_id="test", reason="gone")
        client = site.server.client()
        client.put_object(Bucket=BUCKET, Key="packs/ff/orphan", Body=b"nobody's")
        client.create_multipart_upload(Bucket=BUCKET, Key="packs/ff/torn")
        charge(lab.context, reason="before")
        accrue(lab.context)
        site.run(10 * 24)
        yield Collector(site, lab), content


def ends_well(collector: Collector, content: dict[bytes, bytes]) -> None:
    """Whatever was killed: the next gc brings it to its end, and the books say what the bill says."""
    site, lab = collector.site, collector.lab
    site.run(7)  # the lease of the dead runs out
    context = replace(lab.context, owner="test:1:another")
    reconcile(context)
    for _ in range(2):
        collect(context)
    assert sum(1 for _, key in site.app.objects if key.startswith("packs/")) == 1
    assert site.app.vault.uploads == {}
    assert audit(context).discrepancies == ()
    assert stored_bytes(lab, b"kept") == content[b"kept"]
    found = site.differences(lab)
    found.pop("requests", 0)  # of the orphan's writer, and what the dead did not book
    early, storage = found.pop("early_delete", 0), found.pop("storage", 0)
    assert (
        -300 < early <= 0
    )  # who died after a deletion did not book it: until the next gc it counts as held, at that price
    assert abs(storage + early) < 100  # the orphan's few bytes, before it was found
    assert found == {}
    assert booked_by_kind(lab)["early_delete"] > 0


@pytest.mark.parametrize(
    ("kind", "number"), [("delete", 1), ("delete", 4), ("put", 1), ("abort", 1), ("head", 2), ("list", 1)]
)
def test_gc_killed_at_a_request(site: Site, kind: str, number: int) -> None:
    with prepared(site) as (collector, content):
        assert not collector.run(dies_at=number, kind=kind)
        assert collector.asked == number
        ends_well(collector, content)


@pytest.mark.heavy
@pytest.mark.parametrize("number", range(1, LAST))
def test_gc_killed_at_every_request(site: Site, number: int) -> None:
    with prepared(site) as (collector, content):
        if collector.run(dies_at=number):
            assert number > LEAST, "it asks for more than that"
        ends_well(collector, content)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(8))
def test_gc_killed_again_and_again_at_any_moment(site: Site, seed: int) -> None:
    draw = random.Random(seed)
    with prepared(site) as (collector, content):
        for _ in range(3):
            collector.run(after_s=draw.uniform(0.01, 0.4))
            site.run(7)
        ends_well(collector, content)
