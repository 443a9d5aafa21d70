"""What explain says a file costs is what the ledger books for the same events, to the nano-dollar."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from policies.cost import accrue as month
from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn
from tests.jobs.priced import open_priced
from tests.stores.servers import S3Server, moto_server
from tiering.catalog import accounts, accruals, files, ledger, packs
from tiering.config.policy import price_book
from tiering.jobs.accrue import accrue
from tiering.jobs.charges import charge
from tiering.jobs.migrate import migrate
from tiering.jobs.release import release
from tiering.report.dollars import BASELINE, MONTH, ONCE, Line, lines_of, saved_nano_month

pytestmark = pytest.mark.s3
HOUR_S = 3600
SIZE = 3_000_000


@pytest.fixture(scope="module")
def moto() -> Iterator[S3Server]:
    with moto_server() as server:
        yield server


@pytest.fixture
def lab(tmp_path: Path, moto: S3Server, aws_credentials: tuple[str, str]) -> Iterator[Lab]:
    with open_priced(tmp_path / "lab", moto) as opened:
        yield opened


def lines(lab: Lab, name: bytes = b"a") -> list[Line]:
    with lab.catalog.read() as tx:
        row = files.get(tx, lab.context.roots[0].root_id, b"", name)
    assert row is not None
    return lines_of(lab.context, row)


def total(found: list[Line], when: str, tier: str) -> int:
    return sum(line.nano for line in found if (line.when, line.tier) == (when, tier))


def send_away(lab: Lab) -> None:
    learn(lab)
    assert migrate(lab.context, items(lab, "rare")).files_skipped == ()
    assert release(lab.context, items(lab, "rare"), wait_parked=True).files_skipped == ()
    charge(lab.context, reason="test")


def test_p6_a_month_of_a_file_is_what_explain_says(lab: Lab) -> None:
    lab.write("a", os.urandom(SIZE))
    send_away(lab)
    said = lines(lab)
    accrue(lab.context)
    begun_ns = lab.clock.now_ns()
    lab.clock.advance(730 * HOUR_S)
    assert accrue(lab.context) == 730
    with lab.catalog.read() as tx:
        booked = accruals.dollars(tx, since_ns=begun_ns)
        balances = ledger.all_balances(tx)
        recipe_bytes = sum(pack.size for pack in packs.by_numbers(tx, range(1, 10)).values() if pack.kind != "data")

    book, rounded = price_book(lab.context.config), len(said)  # each line is rounded down by itself
    owned = balances[accounts.BUCKET_METADATA, "rare"]  # the file that says whose store it is
    segments = balances[accounts.BUCKET_METADATA, "standard"] - recipe_bytes
    for tier, others in (("rare", owned), ("standard", segments)):
        of_others = month(book, "STANDARD", others, hours=730)
        assert booked[accounts.COST_STORAGE, tier] == pytest.approx(total(said, MONTH, tier) + of_others, abs=rounded)
    assert (accounts.COST_STORAGE, "hot") not in booked
    assert booked[accounts.BASELINE_STORAGE, "avoided"] == pytest.approx(total(said, BASELINE, "hot"), abs=1)
    assert saved_nano_month(said) > 0


def test_p6_what_storing_a_file_cost_is_what_explain_says(lab: Lab) -> None:
    lab.write("a", os.urandom(SIZE))
    send_away(lab)
    with lab.catalog.read() as tx:
        booked = accruals.dollars(tx)
        written = [pack for pack in packs.by_numbers(tx, range(1, 10)).values() if pack.kind == "data"]
    price = price_book(lab.context.config).price("STANDARD_IA")
    read_back = price.get_nano * len(written)  # this store proves no checksum: each pack is read once more
    looked_at = price.get_nano * len(written)  # release asks whether each pack still stands

    assert total(lines(lab), ONCE, "rare") == price.put_nano * len(written)
    assert booked[accounts.COST_REQUESTS, "rare"] == total(lines(lab), ONCE, "rare") + read_back + looked_at


def test_shared_bytes_are_told_once_and_the_parts_are_the_whole(lab: Lab) -> None:
    content = os.urandom(SIZE)
    lab.write("a", content)
    lab.write("b", content)
    lab.write("c", content[: SIZE // 2] + os.urandom(SIZE // 2))
    send_away(lab)
    each = [lines(lab, name) for name in (b"a", b"b", b"c")]
    begun_ns = lab.clock.now_ns()
    accrue(lab.context)
    lab.clock.advance(730 * HOUR_S)
    accrue(lab.context)
    with lab.catalog.read() as tx:
        booked = accruals.dollars(tx, since_ns=begun_ns)

    assert total(each[0], MONTH, "rare") == total(each[1], MONTH, "rare")
    parts = sum(total(found, MONTH, "rare") for found in each)
    assert booked[accounts.COST_STORAGE, "rare"] == pytest.approx(parts, abs=16)  # each line is rounded down
