"""The ledger's dollars are the provider's: months of storing, recalling and deleting, held against its bill."""

import pytest

from tests.cloud.installation import Site
from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn, rows, states
from tests.whole.tree import noise
from tiering.catalog import commit
from tiering.catalog.values import FileState
from tiering.jobs import tickets
from tiering.jobs.accrue import accrue
from tiering.jobs.advance import advance
from tiering.jobs.gc import collect
from tiering.jobs.migrate import migrate
from tiering.jobs.recall import recall
from tiering.jobs.release import release

pytestmark = pytest.mark.s3
MONTH_H = 730
SIZE = 300_000


def send_away(lab: Lab, tier: str, paths: list[bytes], *, seed: int = 0) -> dict[bytes, bytes]:
    """Write files of noise, store them in *tier* and free them; return their contents."""
    content = {path: noise(seed + number, SIZE) for number, path in enumerate(paths)}
    for path, data in content.items():
        lab.write(path, data)
    learn(lab)
    migrate(lab.context, items(lab, tier, paths))
    freed = release(lab.context, items(lab, tier, paths), wait_parked=True)
    assert freed.files_skipped == ()
    return content


def back(lab: Lab, content: dict[bytes, bytes]) -> bool:
    """Whether the files stand on the disk, bit for bit."""
    known = states(lab)
    return all(
        known[path] is FileState.DUAL and (lab.root / path.decode()).read_bytes() == data
        for path, data in content.items()
    )


def test_months_of_storing(site: Site) -> None:
    with site.lab() as lab:
        send_away(lab, "archive", [b"a", b"b"])
        send_away(lab, "standard", [b"c"], seed=10)
        for _ in range(3):
            site.run(MONTH_H)
            accrue(lab.context)
        assert site.differences(lab) == {}


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
@pytest.mark.parametrize("speed", ["bulk", "standard"])
def test_a_recall_by_ticket(site: Site, storage_class: str, speed: str) -> None:
    with site.lab({"standard": "STANDARD", "archive": storage_class}) as lab:
        content = send_away(lab, "archive", [b"a", b"b"])
        site.run(MONTH_H)
        recall(lab.context, items(lab, "archive"), reason="asked for", speed=speed)
        for _ in range(50):
            site.run(1)
            advance(lab.context)
        assert back(lab, content)
        site.run(20 * 24)
        assert site.differences(lab) == {}


def test_a_recall_in_haste(site: Site) -> None:
    """The speed is raised on the way: both requests are paid for."""
    with site.lab() as lab:
        content = send_away(lab, "archive", [b"a"])
        recall(lab.context, items(lab, "archive"), reason="asked for", speed="bulk")
        site.run(1)
        recall(lab.context, items(lab, "archive"), reason="now", speed="standard")
        for _ in range(12):
            site.run(1)
            advance(lab.context)
        assert back(lab, content)
        site.run(20 * 24)
        assert site.differences(lab) == {}


def test_a_cancelled_recall_and_another_after_it(site: Site) -> None:
    with site.lab() as lab:
        content = send_away(lab, "archive", [b"a"])
        recall(lab.context, items(lab, "archive"), reason="asked for", speed="standard")
        (ticket,) = tickets.open_tickets(lab.context)
        tickets.cancel(lab.context, ticket.number)
        site.run(1)
        recall(lab.context, items(lab, "archive"), reason="after all", speed="standard")
        for _ in range(6):
            site.run(1)
            advance(lab.context)
        assert back(lab, content)
        site.run(20 * 24)
        assert site.differences(lab) == {}


@pytest.mark.parametrize("storage_class", ["GLACIER", "GLACIER_IR", "STANDARD_IA"])
def test_deleting_before_the_minimum_stay(site: Site, storage_class: str) -> None:
    with site.lab({"standard": "STANDARD", "archive": storage_class}) as lab:
        send_away(lab, "archive", [b"a", b"b"])
        site.run(10 * 24)
        with lab.catalog.write() as tx:
            commit.delete_files(tx, [row.file_id for row in rows(lab).values()], op_id="test:gone", reason="by hand")
        for _ in range(3):
            site.run(23)
            collect(lab.context)
        assert not [key for _, key in site.app.objects if key.startswith("packs/")]
        assert site.differences(lab) == {}


@pytest.mark.parametrize("storage_class", ["GLACIER_IR", "STANDARD_IA"])
def test_reading_from_instant_classes(site: Site, storage_class: str) -> None:
    with site.lab({"archive": storage_class}) as lab:  # recipes and segments beside the packs, in STANDARD
        content = send_away(lab, "archive", [b"a", b"b"])
        site.run(40 * 24)
        recall(lab.context, items(lab, "archive"), reason="asked for")
        assert back(lab, content)
        site.run(1)
        assert site.differences(lab) == {}


def test_restored_copies_that_nobody_looked_at(site: Site) -> None:
    """Restarts and long absence: what came and went is in the books all the same."""
    with site.lab() as lab:
        send_away(lab, "archive", [b"a"])
        recall(lab.context, items(lab, "archive"), reason="asked for", speed="bulk")
    site.run(30 * 24)
    with site.lab() as lab:
        advance(lab.context)  # expired long ago: asked for again
    site.run(40)
    with site.lab() as lab:
        advance(lab.context)
        assert states(lab)[b"a"] is FileState.DUAL
        site.run(20 * 24)
        assert site.differences(lab) == {}
