"""repack: what is needed of half-dead packs moves to new ones, proven; the rest goes; nothing is lost."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import books_balance, items, learn, packs_in, stored_bytes
from tests.jobs.scanning import scan
from tests.whole.tree import noise
from tiering.catalog import repacking
from tiering.catalog.values import PackState
from tiering.jobs.audit import audit
from tiering.jobs.gc import collect
from tiering.jobs.migrate import migrate
from tiering.jobs.reconcile import reconcile
from tiering.jobs.repack import is_worth_it, repack
from tiering.stores.memory import shelf

SIZE = 2_500_000
"""Two blocks and more."""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A laboratory whose packs hold several files."""
    with open_lab(tmp_path / "lab", chunking={"pack_bytes": "16MiB"}) as made:
        yield made


class Killed(BaseException):
    """The process died here."""


def half_dead(lab: Lab, files: int = 4) -> dict[str, bytes]:
    """Store files, then change most of them and let the old versions end; return what there is."""
    content = {f"{number}.bin": noise(number, SIZE) for number in range(files)}
    for name, data in content.items():
        lab.write(name, data)
    learn(lab)
    migrate(lab.context, items(lab))
    for name in list(content)[1:]:
        lab.write(name, b"changed")
        content[name] = b"changed"
    scan(lab)
    with lab.catalog.write() as tx:
        tx.conn.execute(text("UPDATE versions SET keep_until_ns = 0"))
    collect(lab.context)
    return {name: data for name, data in content.items() if len(data) == SIZE}


def settled(lab: Lab) -> None:
    """Let doomed packs go."""
    for _ in range(3):
        collect(lab.context)
        lab.clock.advance(1)


def test_what_is_needed_moves_and_the_rest_goes(lab: Lab) -> None:
    kept = half_dead(lab)
    before = packs_in(lab, PackState.LIVE)
    report = repack(lab.context)
    assert (report.packs_rewritten, report.packs_written, report.notes) == (1, 1, [])
    assert report.bytes_freed > 2 * SIZE
    books_balance(lab)
    settled(lab)
    after = packs_in(lab, PackState.LIVE)
    assert set(before) != set(after)
    for name, data in kept.items():
        assert stored_bytes(lab, name.encode()) == data
    assert audit(lab.context).ok
    assert repack(lab.context).packs_rewritten == 0


@pytest.mark.parametrize("step", ["repack.uploaded", "repack.committed"])
def test_p4_killed_anywhere_it_loses_nothing(lab: Lab, step: str) -> None:
    kept = half_dead(lab)

    def die(name: str) -> None:
        if name == step:
            raise Killed

    with pytest.raises(Killed):
        repack(lab.with_steps(die))
    lab.clock.advance(7 * 3600)  # its lease runs out
    reconcile(replace(lab.context, owner="test:1:another"))
    books_balance(lab)
    repack(lab.context)
    settled(lab)
    for name, data in kept.items():
        assert stored_bytes(lab, name.encode()) == data
    assert audit(lab.context).ok


def test_a_damaged_pack_is_left_as_it_is_and_named(lab: Lab) -> None:
    half_dead(lab)
    with lab.catalog.read() as tx:
        (found,) = repacking.half_dead(tx, ["standard"], dead_share=0.3)
        offset = next(iter(repacking.needed_blocks(tx, found.pack.pack_no)))
    store = lab.context.tiers["standard"].store
    damaged = bytearray(store.get(found.pack.key))
    damaged[offset + 100] ^= 1
    held = shelf(store.url.removeprefix("memory://")).held
    held[found.pack.key] = replace(held[found.pack.key], body=bytes(damaged))
    report = repack(lab.context)
    assert report.packs_rewritten == 0
    assert found.pack.key in report.notes[0]
    assert found.pack.key in packs_in(lab, PackState.LIVE)


def test_what_costs_more_than_it_saves_in_a_year_is_left(lab: Lab) -> None:
    half_dead(lab)
    with lab.catalog.read() as tx:
        (found,) = repacking.half_dead(tx, ["standard"], dead_share=0.3)
    assert is_worth_it(lab.context, found)
    s3 = lab.context.config.model_copy(
        update={
            "tiers": {
                name: tier.model_copy(update={"store": "s3://bucket", "storage_class": "GLACIER_IR"})
                for name, tier in lab.context.config.tiers.items()
            }
        }
    )
    dear = replace(found, pack=replace(found.pack, storage_class="GLACIER_IR", size=10**6))
    assert not is_worth_it(replace(lab.context, config=s3), replace(dear, live_bytes=10**6 - 1000))
    worthy = replace(dear, pack=replace(dear.pack, size=64 << 20, created_ns=0), live_bytes=1000)
    assert is_worth_it(replace(lab.context, config=s3), worthy)
