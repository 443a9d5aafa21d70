"""A tree to the archive and back: bulk and standard, two restarts, a request that is taken back, days on the clock."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cloud.installation import Site
from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn, states
from tests.whole.tree import noise
from tiering.catalog.values import FileState
from tiering.errors import OverBudget
from tiering.jobs import recall_waiting, tickets
from tiering.jobs.advance import advance
from tiering.jobs.audit import audit
from tiering.jobs.migrate import migrate
from tiering.jobs.recall import recall
from tiering.jobs.reconcile import reconcile
from tiering.jobs.release import release
from tiering.report.status import status

pytestmark = pytest.mark.s3
CLASSES = {"standard": "STANDARD", "archive": "DEEP_ARCHIVE"}
MIB = 1 << 20
HOUR_NS = 3600 * 10**9


def content(files: int, size: int) -> dict[bytes, bytes]:
    """Files of noise; every fourth is a copy of the one before it."""
    return {b"d%d/%d.bin" % (number % 7, number): noise(number - (number % 4 == 3), size) for number in range(files)}


@contextmanager
def started(site: Site, pack: str) -> Iterator[Lab]:
    """Start the daemon: the installation is opened and what a dead process left is seen to."""
    with site.lab(CLASSES, chunking={"pack_bytes": pack}) as lab:
        reconcile(lab.context)
        yield lab


def half(tree: dict[bytes, bytes], which: int) -> list[bytes]:
    """Every other file."""
    return sorted(tree)[which::2]


def is_back(lab: Lab, tree: dict[bytes, bytes], paths: list[bytes]) -> bool:
    """Whether these files stand on the disk, bit for bit."""
    known = states(lab)
    return all(
        known[path] is FileState.DUAL and (lab.root / path.decode()).read_bytes() == tree[path] for path in paths
    )


def there_and_back(site: Site, tree: dict[bytes, bytes], *, pack: str) -> None:
    """Do it all; every step looks at what an operator would see."""
    with started(site, pack) as lab:
        for path, data in tree.items():
            lab.write(path, data)
        learn(lab)
        migrate(lab.context, items(lab, "archive"))
        assert release(lab.context, items(lab, "archive"), wait_parked=True).files_skipped == ()
        site.run(24 * 30)
        recall(lab.context, items(lab, "archive", half(tree, 0)), reason="slowly", speed="bulk")
        mistaken = recall(lab.context, items(lab, "archive", half(tree, 1)), reason="by mistake", speed="bulk")
        assert mistaken.exit_code == 4
        tickets.cancel(lab.context, mistaken.tickets[0])
        site.run(10)
        advance(lab.context)
    with started(site, pack) as lab:
        (waiting,) = status(lab.context).tickets
        assert (waiting.speed, waiting.packs_ready) == ("bulk", 0)
        assert abs(waiting.ready_ns - site.clock.now_ns() - 38 * HOUR_NS) < HOUR_NS / 60
        for _ in range(38):
            advance(lab.context)
            assert states(lab)[half(tree, 0)[0]] is FileState.OFFLINE
            site.run(1)
    with started(site, pack) as lab:
        advance(lab.context)
        assert is_back(lab, tree, half(tree, 0))
        site.run(24 * 20)
        recall(lab.context, items(lab, "archive", half(tree, 1)), reason="needed", speed="standard")
        for _ in range(12):
            site.run(1)
            advance(lab.context)
        assert status(lab.context).tickets == ()
        assert is_back(lab, tree, sorted(tree))
        assert audit(lab.context).discrepancies == ()
        site.run(24 * 20)
        assert site.differences(lab) == {}


def test_a_tree_to_the_archive_and_back(site: Site) -> None:
    there_and_back(site, content(12, 200_000), pack="512KiB")


@pytest.mark.heavy
def test_two_gigabytes_to_the_archive_and_back(site: Site) -> None:
    there_and_back(site, content(64, 32 * MIB), pack="64MiB")


def test_a_recall_beyond_the_budget_is_refused_with_the_quote(site: Site) -> None:
    with site.lab(CLASSES, recall={"budget_usd_per_day": 0.00005, "reserve_fraction": 0}) as lab:
        lab.write("a", noise(1, 300_000))
        learn(lab)
        migrate(lab.context, items(lab, "archive"))
        release(lab.context, items(lab, "archive"), wait_parked=True)
        with pytest.raises(OverBudget) as refused:
            recall(lab.context, items(lab, "archive"), reason="asked for", speed="standard")
        assert "bulk $0.00" in refused.value.now
        assert "standard $0.0001" in refused.value.now
        assert tickets.open_tickets(lab.context) == []
        assert site.app.bill.requests["restore", "DEEP_ARCHIVE"] == 0
        recall(lab.context, items(lab, "archive"), reason="asked for", speed="bulk")
        assert len(tickets.open_tickets(lab.context)) == 1


def test_several_tickets_are_paid_for_together_or_not_at_all(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall_waiting, "TICKET_FILES", 1)
    with site.lab(CLASSES, recall={"budget_usd_per_day": 0.00025, "reserve_fraction": 0}) as lab:
        for number in range(3):  # a pack each, to be restored for $0.0001
            lab.write(str(number), noise(number, 20_000))
            learn(lab)
            migrate(lab.context, items(lab, "archive", [b"%d" % number]))
        release(lab.context, items(lab, "archive"), wait_parked=True)
        with pytest.raises(OverBudget, match="3 packs"):
            recall(lab.context, items(lab, "archive"), reason="asked for", speed="standard")
        assert tickets.open_tickets(lab.context) == []
        assert site.app.bill.requests["restore", "DEEP_ARCHIVE"] == 0
        recall(lab.context, items(lab, "archive")[:2], reason="asked for", speed="standard")
        assert len(tickets.open_tickets(lab.context)) == 2


def test_what_is_not_as_asked_for_gets_a_sentence(site: Site) -> None:
    with site.lab(CLASSES) as lab:
        for number in range(2):
            lab.write(f"{number}", noise(number, 200_000))
        learn(lab)
        migrate(lab.context, items(lab, "archive"))
        release(lab.context, items(lab, "archive"), wait_parked=True)
        client = site.server.client()
        (key,) = [key for _, key in site.app.objects if key.startswith("packs/")]
        order = {"Days": 1, "GlacierJobParameters": {"Tier": "Standard"}}
        client.restore_object(Bucket="vault", Key=key, RestoreRequest=order)  # by somebody else

        said = recall(lab.context, items(lab, "archive"), reason="asked for", speed="expedited")

        assert any("DEEP_ARCHIVE offers no expedited retrieval" in note for note in said.notes)
        assert any("1 packs are being restored already" in note for note in said.notes)
        site.run(12)
        assert advance(lab.context).files_done == 2


def test_a_key_that_denies_gets_a_sentence_and_the_ticket_waits(site: Site) -> None:
    with site.lab(CLASSES) as lab:
        lab.write("a", noise(1, 200_000))
        learn(lab)
        migrate(lab.context, items(lab, "archive"))
        release(lab.context, items(lab, "archive"), wait_parked=True)
        recall(lab.context, items(lab, "archive"), reason="asked for", speed="standard")
        site.run(12)
        site.app.denied["get packs/"] = "KMS.DisabledException"
        notes = advance(lab.context).notes
        assert any("KMS" in note for note in notes), notes
        site.app.denied.clear()
        assert advance(lab.context).files_done == 1
