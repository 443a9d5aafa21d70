"""Newcomers: a chunk is new for exactly one asker, and not while anybody stores it or has stored it."""

import os
import threading
from collections.abc import Sequence
from itertools import chain

from dedup.fingerprint import digest, fingerprint
from dedup.values import ChunkPart, Fingerprint
from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn
from tiering.jobs.migrate import migrate
from tiering.jobs.newcomers import RECENT_CHUNKS, Newcomers, Recent


def chunk(data: bytes) -> ChunkPart:
    return ChunkPart(fingerprint(data), digest(data), len(data))


class AskAll:
    """A filter that knows nothing."""

    def may_hold(self, fingerprints: Sequence[Fingerprint]) -> Sequence[Fingerprint]:
        return fingerprints

    def add(self, fingerprints: Sequence[Fingerprint]) -> None:
        pass


def newcomers(lab: Lab, before: Newcomers | None = None) -> Newcomers:
    return Newcomers(lab.catalog, ("standard",), AskAll(), before)


def test_a_chunk_is_new_once(lab: Lab) -> None:
    one, two, three = chunk(b"one"), chunk(b"two"), chunk(b"three")
    known = newcomers(lab)

    assert known.claim([one, two, one]) == [0, 1]
    assert known.claim([three, two, three]) == [0]
    assert known.claim([]) == []


def test_threads_that_ask_at_once_are_told_yes_once(lab: Lab) -> None:
    chunks = [chunk(os.urandom(10)) for _ in range(2000)]
    known = newcomers(lab)
    answers: list[list[int]] = []
    threads = [threading.Thread(target=lambda: answers.append(known.claim(chunks))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(chain(*answers)) == list(range(len(chunks)))


def test_what_the_catalog_has_is_not_new_and_what_a_failed_commit_had_is(lab: Lab) -> None:
    lab.write("a", b"stored already")
    learn(lab)
    migrate(lab.context, items(lab))
    old, new = chunk(b"stored already"), chunk(b"new")
    first = newcomers(lab)
    second = newcomers(lab, first)

    assert first.claim([old, new]) == [1]
    assert second.claim([old, new]) == []  # the first one is storing it
    first.settle()
    assert second.claim([old, new]) == [1]  # it did not


def test_only_what_the_filter_lets_through_is_asked_for(lab: Lab) -> None:
    lab.write("a", b"stored already")
    learn(lab)
    migrate(lab.context, items(lab))

    class Forgetful(AskAll):
        def may_hold(self, fingerprints: Sequence[Fingerprint]) -> Sequence[Fingerprint]:
            return []

    known = Newcomers(lab.catalog, ("standard",), Forgetful())
    assert known.claim([chunk(b"stored already")]) == [0]


def test_p2_a_collision_of_fingerprints_is_new(lab: Lab) -> None:
    lab.write("a", b"stored already")
    learn(lab)
    migrate(lab.context, items(lab))
    forged = ChunkPart(fingerprint(b"stored already"), digest(b"something else"), 14)

    assert newcomers(lab).claim([forged]) == [0]


def test_what_the_run_has_seen_stored_is_asked_for_once(lab: Lab) -> None:
    lab.write("a", b"stored already")
    learn(lab)
    migrate(lab.context, items(lab))
    asked: list[Fingerprint] = []

    class Counting(AskAll):
        def may_hold(self, fingerprints: Sequence[Fingerprint]) -> Sequence[Fingerprint]:
            asked.extend(fingerprints)
            return fingerprints

    old, recent = chunk(b"stored already"), Recent()
    for _ in range(3):
        known = Newcomers(lab.catalog, ("standard",), Counting(), recent=recent)
        assert known.claim([old]) == []
    assert asked == [old.fingerprint]

    recent.forget()
    assert Newcomers(lab.catalog, ("standard",), Counting(), recent=recent).claim([old]) == []
    assert asked == [old.fingerprint] * 2


def test_what_a_run_remembers_is_bounded() -> None:
    recent = Recent()
    digests = [digest(number.to_bytes(4, "big")) for number in range(3 * RECENT_CHUNKS)]
    for start in range(0, len(digests), 5000):
        recent.add(digests[start : start + 5000])

    assert sum(one in recent for one in digests) == 2 * RECENT_CHUNKS
    assert digests[-1] in recent
    assert digests[0] not in recent
