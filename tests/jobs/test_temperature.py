"""Checkpoints coded against each other, cooled, deleted and stored again in any order, with the mover between: nothing
warm ever needs what stands colder, every byte can be had, the books balance, and the bucket alone is enough.
"""

import random
from pathlib import Path

import pytest

from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import books_balance, items, learn, rows, stored_bytes
from tests.jobs.rebuilding import lose_catalog, rebuilt
from tests.whole import models
from tests.whole.tree import noise
from tiering.catalog import commit, temperature
from tiering.catalog.values import FileState
from tiering.jobs import mover
from tiering.jobs.audit import audit
from tiering.jobs.gc import collect
from tiering.jobs.migrate import migrate
from tiering.jobs.pack_plans import ranks_of
from tiering.jobs.release import release
from tiering.jobs.segments import flush

STORED = (FileState.DUAL, FileState.OFFLINE)


class Story:
    """What happens to one installation."""

    def __init__(self, lab: Lab, seed: int) -> None:
        """Begin with nothing."""
        self.lab = lab
        self.chance = random.Random(seed)
        self.content: dict[bytes, bytes] = {}
        self.saved = 0

    def save(self) -> None:
        """A checkpoint, and small files that share blocks; some of them were there before under another name."""
        number = self.saved
        self.saved += 1
        fresh = {b"run/model_%05d.safetensors" % number: models.checkpoint(1, number % 5)}
        for part in range(6):
            fresh[b"notes/%d/%d.txt" % (number, part)] = noise(self.chance.randrange(20), 60_000)
        for path, data in fresh.items():
            self.lab.write(path, data)
        self.content |= fresh
        learn(self.lab)
        tier = self.chance.choice(["standard", "standard", "cellar"])
        migrate(self.lab.context, items(self.lab, tier, list(fresh)))

    def free(self) -> None:
        """Some files leave the disk."""
        release(self.lab.context, items(self.lab, "standard", self.some(4)), wait_parked=True)

    def cool(self) -> None:
        """Some files are to be colder."""
        known = rows(self.lab)
        mover.move(self.lab.context, [known[path] for path in self.some(5)], "cellar", reason="test")

    def warm(self) -> None:
        """Some that stand on the disk are to be warmer: they are stored again."""
        known = rows(self.lab)
        paths = [path for path in self.some(5) if known[path].tier == "cellar" and known[path].state is FileState.DUAL]
        if paths:
            migrate(self.lab.context, items(self.lab, "standard", paths))

    def delete(self) -> None:
        """Some files are no more."""
        known = rows(self.lab)
        gone = [path for path in self.some(5) if known[path].state is FileState.DUAL]
        with self.lab.catalog.write() as tx:
            commit.delete_files(
                tx, [known[path].file_id for path in gone], op_id=f"gone:{self.chance.random()}", reason="x"
            )
        for path in gone:
            (self.lab.root / path.decode()).unlink()
            del self.content[path]

    def keep_house(self) -> None:
        """gc, the mover, gc."""
        collect(self.lab.context)
        mover.tend_packs(self.lab.context)
        self.lab.clock.advance(3600)
        collect(self.lab.context)

    def some(self, most: int) -> list[bytes]:
        """Return a few stored files."""
        known = [path for path, row in rows(self.lab).items() if row.state in STORED]
        return self.chance.sample(sorted(known), min(len(known), self.chance.randint(1, most)))

    def check(self) -> None:
        """What holds after every step."""
        with self.lab.catalog.read() as tx:
            assert list(temperature.misplaced(tx, ranks_of(self.lab.context))) == []
        books_balance(self.lab)

    def check_all(self, lab: Lab) -> None:
        """Every byte can be had from the stores."""
        for path, data in self.content.items():
            assert stored_bytes(lab, path) == data, path


def told(base: Path, seed: int, steps: int) -> None:
    """Tell one story."""
    tiers = {
        "standard": {"store": f"memory://{base.name}-{seed}-standard", "usd_per_gib_month": 0.02},
        "cellar": {"store": f"memory://{base.name}-{seed}-cellar", "usd_per_gib_month": 0.001},
    }
    with open_lab(base / str(seed), tiers=tiers, chunking={"pack_bytes": "2MiB"}) as lab:
        story = Story(lab, seed)
        story.save()
        for _ in range(steps):
            name = story.chance.choice(["save", "free", "cool", "cool", "warm", "delete", "keep_house", "keep_house"])
            getattr(story, name)()
            story.check()
        story.keep_house()
        story.check_all(lab)
        assert audit(lab.context).discrepancies == ()
        flush(lab.context)
        with lose_catalog(lab) as (again, catalog):
            rebuilt(again, catalog)
            story.check_all(again)


@pytest.mark.parametrize("seed", [1, 2])
def test_p3_p6_nothing_warm_needs_what_stands_colder(tmp_path: Path, seed: int) -> None:
    told(tmp_path, seed, steps=9)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(10, 30))
def test_p3_p6_nothing_warm_needs_what_stands_colder_in_long_stories(tmp_path: Path, seed: int) -> None:
    told(tmp_path, seed, steps=40)
