"""Charges: what was asked of a store is in the ledger once, at the price of the book that the entry names."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, cast

import pytest

from policies.amounts import GIB
from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn
from tests.jobs.priced import open_priced
from tests.stores.servers import S3Server, moto_server
from tiering.catalog import accounts, ledger
from tiering.catalog.open import Catalog
from tiering.config.policy import price_book
from tiering.errors import CatalogBusy, StoreUnavailable
from tiering.jobs.charges import charge, charging
from tiering.jobs.migrate import migrate
from tiering.stores.metered import METADATA

pytestmark = pytest.mark.s3


@pytest.fixture(scope="module")
def moto() -> Iterator[S3Server]:
    with moto_server() as server:
        yield server


@pytest.fixture
def lab(tmp_path: Path, moto: S3Server, aws_credentials: tuple[str, str]) -> Iterator[Lab]:
    with open_priced(tmp_path / "lab", moto) as opened:
        yield opened


def entries(lab: Lab) -> list[ledger.PostedEntry]:
    with lab.catalog.read() as tx:
        return [entry for entry in ledger.entries(tx) if entry.kind == "requests"]


def test_p6_what_a_migrate_asked_is_booked_once_and_at_the_books_prices(lab: Lab) -> None:
    lab.write("a", bytes(range(256)) * 100)
    learn(lab)
    migrate(lab.context, items(lab, "rare"))
    assert [entry.reason.split(":")[0] for entry in entries(lab)] == ["migrate", "migrate"]  # one for each tier
    charge(lab.context, reason="closing")  # the segment, which is written after the batch was booked
    asked = entries(lab)
    charge(lab.context, reason="closing")

    assert entries(lab) == asked
    book = price_book(lab.context.config)
    assert {entry.price_book for entry in asked} == {book.book_id}
    with lab.catalog.read() as tx:
        paid = ledger.balance(tx, accounts.COST_REQUESTS, "rare")
        assert ledger.balance(tx, accounts.PAYABLE) == -sum(
            ledger.balance(tx, account)
            for account in (accounts.COST_REQUESTS, accounts.COST_TRANSITION, accounts.COST_RETRIEVAL)
        )
    # One pack went to the tier, and was read back because moto verifies nothing.
    price = book.price("STANDARD_IA")
    assert paid == price.put_nano + price.get_nano


def test_reading_from_a_rare_class_is_priced_by_the_gigabyte(lab: Lab) -> None:
    meter = lab.context.tiers["rare"].meter
    meter.add("get", times=3, down=5 * GIB)
    meter.add("put", storage_class="STANDARD", times=2)
    meter.add("list", times=7)
    meter.add("delete", times=100)
    meter.add("copy", storage_class="GLACIER", times=1)
    meter.add("get", storage_class=METADATA, times=4, down=9 * GIB)
    meter.add("restore", times=1)

    total = charge(lab.context, reason="by hand")

    rare, standard = (price_book(lab.context.config).price(name) for name in ("STANDARD_IA", "STANDARD"))
    requests = 3 * rare.get_nano + 4 * standard.get_nano + 2 * standard.put_nano + 7 * standard.put_nano
    transition = price_book(lab.context.config).price("GLACIER").put_nano
    retrieval = 5 * rare.retrieval_nano_per_gib
    (entry,) = entries(lab)
    assert {(line.account, line.tier): line.amount for line in entry.lines} == {
        (accounts.COST_REQUESTS, "rare"): requests,
        (accounts.COST_TRANSITION, "rare"): transition,
        (accounts.COST_RETRIEVAL, "rare"): retrieval,
        (accounts.PAYABLE, ""): -total,
    }
    assert "3 get" in entry.reason
    assert total == requests + transition + retrieval


class LockedCatalog:
    """A catalog that another process holds."""

    def write(self) -> NoReturn:
        raise CatalogBusy("the catalog is locked")


def test_p6_what_could_not_be_booked_is_booked_next_time(lab: Lab) -> None:
    lab.context.tiers["rare"].meter.add("get", times=3)

    with pytest.raises(CatalogBusy):
        charge(replace(lab.context, catalog=cast(Catalog, LockedCatalog())), reason="by hand")
    assert entries(lab) == []

    assert charge(lab.context, reason="by hand") == 3 * price_book(lab.context.config).price("STANDARD_IA").get_nano


def test_p6_what_a_failing_command_asked_is_booked_when_it_closes(lab: Lab) -> None:
    lab.context.tiers["rare"].meter.add("list", times=2)
    with pytest.raises(StoreUnavailable), charging(lab.context, reason="audit"):
        raise StoreUnavailable("the store is out of reach")

    (entry,) = entries(lab)
    assert entry.reason.startswith("audit: 2 list")


def test_the_first_error_is_not_hidden_by_one_of_the_booking(lab: Lab) -> None:
    lab.context.tiers["rare"].meter.add("list", times=2)
    locked = replace(lab.context, catalog=cast(Catalog, LockedCatalog()))

    with pytest.raises(StoreUnavailable), charging(locked, reason="audit"):
        raise StoreUnavailable("the store is out of reach")
    with pytest.raises(CatalogBusy), charging(locked, reason="audit"):
        pass
    with charging(lab.context, reason="audit"):
        pass
    assert len(entries(lab)) == 1


def test_a_quiet_time_books_nothing(lab: Lab) -> None:
    assert charge(lab.context, reason="cycle") == 0
    assert entries(lab) == []
