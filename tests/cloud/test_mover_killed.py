"""P4: the mover killed for real, at every request that it sends and at any moment: nothing is lost, and nothing is
billed twice but the request that was under way.
"""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cloud.installation import Site
from tests.cloud.mortal import GOING, Mortal, tend
from tests.cloud.test_mover import CLASSES, MONTH_H, books_agree, live
from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn, rows, stored_bytes
from tests.whole.tree import noise
from tiering.catalog import commit
from tiering.jobs.advance import advance
from tiering.jobs.charges import charge
from tiering.jobs.gc import collect
from tiering.jobs.migrate import migrate
from tiering.jobs.recall import recall
from tiering.jobs.reconcile import reconcile
from tiering.jobs.release import release

pytestmark = pytest.mark.s3
FILES = {
    b"cold/one": 900_000,
    b"mixed/one": 600_000,
    b"mixed/two": 600_000,
    **{b"dead/%d" % number: 550_000 for number in range(4)},
}
PAID = ("put", "copy", "get", "create", "part", "complete")
BILLED = Counter({"put": 3, "copy": 1, "get": 2})
"""What tending takes when nobody dies: one pack changes class, two are read and become three."""


REQUESTS = 8
"""Of all kinds, looks at objects among them."""


@contextmanager
def prepared(site: Site) -> Iterator[tuple[Mortal, dict[bytes, bytes]]]:
    """An installation with a pack that may be colder, a mixed one and a half-dead one; give what must not be lost."""
    with site.lab(CLASSES, chunking={"pack_bytes": "4MiB"}) as lab:
        content = {path: noise(number, size) for number, (path, size) in enumerate(FILES.items())}
        for folder in (b"cold", b"mixed", b"dead"):
            paths = [path for path in content if path.startswith(folder)]
            for path in paths:
                lab.write(path, content[path])
            learn(lab)
            migrate(lab.context, items(lab, "standard", paths))
            release(lab.context, items(lab, "standard", paths), wait_parked=True)
        gone = [rows(lab)[b"dead/%d" % number].file_id for number in (1, 2, 3)]
        with lab.catalog.write() as tx:
            commit.delete_files(tx, gone, op_id="test", reason="gone")
        charge(lab.context, reason="before")
        site.run(MONTH_H)
        assert len(live(lab)) == 3
        yield Mortal(site, lab), {path: data for path, data in content.items() if path in rows(lab)}


def goes_on(mortal: Mortal, content: dict[bytes, bytes]) -> None:
    """Another process comes, finishes or undoes, and does the rest; everything is where it belongs then, and nothing
    was paid for twice but what was under way.
    """
    lab = mortal.lab
    reconcile(lab.context)
    tend(lab)
    allowed = BILLED + Counter({mortal.in_flight: 1})
    assert {kind: mortal.asked[kind] for kind in PAID if mortal.asked[kind] > allowed[kind]} == {}
    classes = Counter(row.storage_class for row in live(lab))
    assert classes.keys() == {"DEEP_ARCHIVE", "STANDARD"}
    assert classes["DEEP_ARCHIVE"] == 2
    assert classes["STANDARD"] <= 2  # of two half-empty packs, in one or in two goes
    all_there(mortal.site, lab, content)


def all_there(site: Site, lab: Lab, content: dict[bytes, bytes]) -> None:
    """Every byte can be had, the books agree with the bucket, and no debris stays."""
    for path in content.keys() - set(GOING):
        assert stored_bytes(lab, path) == content[path]
    collect(lab.context)
    site.run(1)
    collect(lab.context)
    books_agree(lab)
    assert {key for _, key in site.app.objects if key.startswith("packs/")} == {row.key for row in live(lab)}
    assert [path.name for path in (lab.base / "state" / "spool").iterdir()] == []
    recall(lab.context, items(lab, "archive", list(GOING)), reason="needed")
    site.run(13)
    advance(lab.context)
    for path in GOING:
        assert (lab.root / path.decode()).read_bytes() == content[path]


def test_alive_it_asks_for_just_that(site: Site) -> None:
    with prepared(site) as (mortal, content):
        assert mortal.run()
        assert {kind: mortal.asked[kind] for kind in PAID if mortal.asked[kind]} == dict(BILLED)
        assert mortal.total == REQUESTS
        goes_on(mortal, content)


@pytest.mark.parametrize(
    "kind", ["put", pytest.param("copy", marks=pytest.mark.heavy), pytest.param("get", marks=pytest.mark.heavy)]
)
def test_p4_killed_while_the_answer_is_on_its_way(site: Site, kind: str) -> None:
    """The second of its kind, where there are two."""
    with prepared(site) as (mortal, content):
        assert not mortal.run(lost_kind=kind, lost=min(2, BILLED[kind]))
        assert mortal.in_flight == kind
        goes_on(mortal, content)


@pytest.mark.heavy
@pytest.mark.parametrize("number", range(1, REQUESTS + 1))
@pytest.mark.parametrize("how", ["before", "lost"])
def test_p4_killed_at_every_request(site: Site, how: str, number: int) -> None:
    """Before the n-th is sent, and after it was done and before it was answered."""
    with prepared(site) as (mortal, content):
        assert not (mortal.run(before=number) if how == "before" else mortal.run(lost=number))
        goes_on(mortal, content)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(8))
def test_p4_killed_at_any_moment(site: Site, seed: int) -> None:
    with prepared(site) as (mortal, content):
        mortal.run(after_s=random.Random(seed).uniform(0.01, 0.4))
        goes_on(mortal, content)
