"""The same tree to an archive and back on servers that others wrote, for what each of them gets right.

moto: classes are kept and listed, an archived object is refused (InvalidObjectState), a restore is under way and then
through (counted in looks, there is no clock), the copy has an end. Not right there: a GET succeeds while the restore is
under way, no time passes, nothing is billed.
SeaweedFS: classes are kept and listed, checksums verified, writes conditional, multipart. Its archive classes are only
labels: everything reads at once, and RestoreObject is answered 405.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.cloud.test_there_and_back import content, half, is_back
from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import items, learn, states
from tests.stores.servers import S3Server, moto_server, seaweed_server, slow_restores
from tiering.catalog.values import FileState
from tiering.clock import FakeClock, SystemClock
from tiering.errors import ObjectArchived
from tiering.jobs import tickets
from tiering.jobs.advance import advance
from tiering.jobs.audit import audit
from tiering.jobs.migrate import migrate
from tiering.jobs.recall import recall
from tiering.jobs.reconcile import reconcile
from tiering.jobs.release import release
from tiering.report.status import status

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("aws_credentials")]
LOOKS = 3


@contextmanager
def started(base: Path, clock: FakeClock, server: S3Server, bucket: str) -> Iterator[Lab]:
    """Start the daemon on one bucket: STANDARD and DEEP_ARCHIVE."""
    reach = {"store": f"s3://{bucket}", "endpoint_url": server.endpoint, "region": "us-east-1", "path_style": True}
    tiers: dict[str, Any] = {"standard": reach, "archive": {**reach, "storage_class": "DEEP_ARCHIVE"}}
    with open_lab(base, clock=clock, tiers=tiers, chunking={"pack_bytes": "512KiB"}) as lab:
        reconcile(lab.context)
        yield lab


def send_away(lab: Lab, tree: dict[bytes, bytes]) -> list[str]:
    """Put the tree into the archive and free it; returns the keys of its packs, whose class the server confirms."""
    for path, data in tree.items():
        lab.write(path, data)
    learn(lab)
    migrate(lab.context, items(lab, "archive"))
    assert release(lab.context, items(lab, "archive"), wait_parked=True).files_skipped == ()
    store = lab.context.tiers["archive"].store
    keys = [info.key for info in store.list("packs/") if info.storage_class == "DEEP_ARCHIVE"]
    assert len(keys) >= 2
    return keys


def look(lab: Lab, keys: list[str]) -> None:
    """Look as often as moto's clock of looks wants before a restore."""
    for key in keys:
        for _ in range(LOOKS):
            lab.context.tiers["archive"].store.head(key)


def test_on_moto_through_two_restarts_and_a_cancelled_request(tmp_path: Path) -> None:
    tree, clock = content(12, 200_000), FakeClock(SystemClock().now_ns())
    with moto_server() as server, slow_restores(looks=LOOKS):
        bucket = server.bucket(f"b-{uuid4().hex}")
        with started(tmp_path / "lab", clock, server, bucket) as lab:
            keys = send_away(lab, tree)
            with pytest.raises(ObjectArchived):
                lab.context.tiers["archive"].store.get(keys[0])
            look(lab, keys)
            slow = recall(lab.context, items(lab, "archive", half(tree, 0)), reason="slowly", speed="bulk")
            mistaken = recall(lab.context, items(lab, "archive", half(tree, 1)), reason="by mistake", speed="bulk")
            assert (slow.exit_code, mistaken.exit_code) == (4, 4)
            tickets.cancel(lab.context, mistaken.tickets[0])
        with started(tmp_path / "lab", clock, server, bucket) as lab:
            (waiting,) = status(lab.context).tickets
            assert (waiting.ticket, waiting.speed) == (slow.tickets[0], "bulk")
            for _ in range(4 * LOOKS):
                if not advance(lab.context).tickets:
                    break
            assert is_back(lab, tree, half(tree, 0))
            assert FileState.OFFLINE in states(lab).values()  # what was cancelled stayed
        with started(tmp_path / "lab", clock, server, bucket) as lab:
            recall(lab.context, items(lab, "archive", half(tree, 1)), reason="needed", speed="standard")
            for _ in range(4 * LOOKS):
                if not advance(lab.context).tickets:
                    break
            assert is_back(lab, tree, sorted(tree))
            assert status(lab.context).tickets == ()
            assert audit(lab.context).discrepancies == ()


def test_on_seaweedfs_where_an_archive_class_is_a_label_nothing_waits(tmp_path: Path) -> None:
    tree, clock = content(12, 200_000), FakeClock(SystemClock().now_ns())
    with seaweed_server(tmp_path / "weed") as server:
        bucket = server.bucket(f"b-{uuid4().hex}")
        with started(tmp_path / "lab", clock, server, bucket) as lab:
            send_away(lab, tree)
        with started(tmp_path / "lab", clock, server, bucket) as lab:
            back = recall(lab.context, items(lab, "archive", half(tree, 0)), reason="x", speed="bulk")
            assert (back.exit_code, back.tickets) == (0, ())
            assert is_back(lab, tree, half(tree, 0))
        with started(tmp_path / "lab", clock, server, bucket) as lab:
            recall(lab.context, items(lab, "archive", half(tree, 1)), reason="y", speed="standard")
            assert is_back(lab, tree, sorted(tree))
            assert audit(lab.context).discrepancies == ()
