"""P2 through the whole walk: fingerprints that collide, by chance and forged, cost nobody a byte."""

import random
from collections import Counter
from itertools import count

from dedup.fingerprint import FINGERPRINT_LEN, fingerprint, register_fingerprint
from dedup.values import ChunkPart, Fingerprint
from tests.jobs.lab import Lab
from tests.jobs.outbound import books_balance, items, learn, states, stored_bytes, stored_recipe
from tests.jobs.rebuilding import lose_catalog, rebuilt
from tiering.catalog import accounts, ledger
from tiering.catalog.values import FileState
from tiering.jobs import segments
from tiering.jobs.migrate import migrate
from tiering.jobs.recall import recall
from tiering.jobs.release import release

WEAK = "xxh3-8-walk"
SIZE = 9_000  # one chunk


def weak(data: bytes | bytearray | memoryview) -> Fingerprint:
    """Return 8 bits of the real one, so that a collision takes a few hundred attempts to forge."""
    return Fingerprint(bytes(FINGERPRINT_LEN - 1) + fingerprint(data)[-1:])


register_fingerprint(WEAK, weak)


def noise(seed: int, size: int = SIZE) -> bytes:
    return random.Random(seed).randbytes(size)


def forged(victim: bytes, *, after: int) -> bytes:
    """Return other bytes of the same length and weak fingerprint."""
    return next(data for seed in count(after) if weak(data := noise(seed, len(victim))) == weak(victim))


def prints(lab: Lab, path: bytes) -> list[Fingerprint]:
    return [part.fingerprint for part in stored_recipe(lab, path).parts if isinstance(part, ChunkPart)]


def dedup_saved(lab: Lab) -> int:
    with lab.catalog.read() as tx:
        return ledger.balance(tx, accounts.STORE_DEDUP_SAVED)


def send(lab: Lab, *paths: bytes) -> None:
    """Migrate in one batch and release."""
    learn(lab)
    assert migrate(lab.context, items(lab, paths=paths), fingerprint=WEAK).files_skipped == ()
    assert release(lab.context, items(lab, paths=paths), wait_parked=True).files_skipped == ()
    segments.flush(lab.context)


def test_p2_forged_collisions_restore_right_through_release_recall_and_rebuild(lab: Lab) -> None:
    victim = noise(1)
    files = {
        b"victim": victim,
        b"same batch": forged(victim, after=1_000),
        b"later batch": forged(victim, after=100_000),
        b"a true copy": victim,
        # 100 chunks and 256 fingerprints: collisions inside one file, and with all the others
        b"large": noise(2, 6_500_000),
    }
    for path, data in files.items():
        lab.write(path, data)
    send(lab, b"victim", b"same batch", b"large")
    send(lab, b"later batch")
    send(lab, b"a true copy")

    assert set(states(lab).values()) == {FileState.OFFLINE}
    assert prints(lab, b"victim") == prints(lab, b"same batch") == prints(lab, b"later batch")
    assert max(Counter(prints(lab, b"large")).values()) > 1
    assert dedup_saved(lab) == SIZE  # the true copy, and nothing else
    books_balance(lab)

    with lose_catalog(lab) as (again, catalog):
        assert rebuilt(again, catalog).problems == []
        assert {path: stored_bytes(again, path) for path in files} == files
        assert dedup_saved(again) == SIZE
        late = forged(victim, after=1_000_000)
        again.write("after the rebuild", late)
        send(again, b"after the rebuild")
        assert dedup_saved(again) == SIZE
        recall(again.context, items(again), reason="test")
        for path, data in (files | {b"after the rebuild": late}).items():
            assert (again.root / path.decode()).read_bytes() == data
        assert set(states(again).values()) == {FileState.DUAL}
        books_balance(again)
