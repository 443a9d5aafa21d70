"""scrub finds any damaged byte of a pack and names the files it touches."""

import io

import pytest

from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn
from tiering.catalog import packs
from tiering.catalog.values import PackRow, PackState
from tiering.errors import UsageError
from tiering.jobs.migrate import migrate
from tiering.jobs.scrub import scrub
from tiering.stores.checksum import checksum_of


@pytest.fixture
def stored(lab: Lab) -> Lab:
    """A lab with three migrated files."""
    for number in range(3):
        lab.write(f"file-{number}", bytes(range(256)) * 200 + b"%d" % number)
    learn(lab)
    migrate(lab.context, items(lab))
    return lab


def live(lab: Lab, kind: str) -> list[PackRow]:
    with lab.catalog.read() as tx:
        return [row for row in packs.in_state(tx, PackState.LIVE) if row.kind == kind]


def damage(lab: Lab, row: PackRow, at: int) -> None:
    store = lab.context.tier(row.tier).store
    data = bytearray(store.get(row.key))
    data[at] ^= 0xFF
    store.delete(row.key)
    store.put(
        row.key,
        io.BytesIO(bytes(data)),
        size_bytes=len(data),
        checksum=checksum_of(bytes(data)),
        storage_class="STANDARD",
        if_absent=False,
    )


def test_sound_packs_have_no_faults(stored: Lab) -> None:
    report = scrub(stored.context)
    assert report.faults == ()
    assert report.packs_read == len(live(stored, "data")) + len(live(stored, "recipes"))
    assert report.exit_code == 0


@pytest.mark.parametrize("kind", ["data", "recipes"])
@pytest.mark.parametrize("where", [0.0, 0.3, 0.9, 0.999])
def test_p7_one_flipped_bit_anywhere_in_a_pack_is_found(stored: Lab, kind: str, where: float) -> None:
    row = live(stored, kind)[0]
    damage(stored, row, int(row.size * where))
    report = scrub(stored.context)
    assert [fault.pack for fault in report.faults] == [row.key]
    assert report.exit_code == 20


def test_a_damaged_chunk_names_the_files_that_need_it(stored: Lab) -> None:
    row = live(stored, "data")[0]
    with stored.catalog.read() as tx:
        first = packs.chunks_of(tx, row.pack_no)[0]
    damage(stored, row, first.block.offset + 20)
    (fault,) = scrub(stored.context, keys=[row.key]).faults
    assert fault.files != ()
    assert set(fault.files) <= {"file-0", "file-1", "file-2"}


def test_a_pack_that_is_gone_is_a_fault_of_all_its_files(stored: Lab) -> None:
    for row in live(stored, "data"):
        stored.context.tier(row.tier).store.delete(row.key)
    names = {path for fault in scrub(stored.context).faults for path in fault.files}
    assert names == {"file-0", "file-1", "file-2"}


def test_rounds_of_a_fraction_read_every_pack_once(stored: Lab) -> None:
    reads = [scrub(stored.context, fraction=0.25, round_no=number).packs_read for number in range(4)]
    assert sum(reads) == len(live(stored, "data")) + len(live(stored, "recipes"))


def test_an_unknown_pack_and_an_impossible_fraction_get_a_sentence(stored: Lab) -> None:
    with pytest.raises(UsageError, match="nonsense"):
        scrub(stored.context, keys=["nonsense"])
    with pytest.raises(UsageError, match="fraction"):
        scrub(stored.context, fraction=0)
