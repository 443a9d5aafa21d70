"""What strategies learned is kept by name, replaced whole, and never believed when it cannot be read."""

from sqlalchemy import text

from tiering.catalog import learning
from tiering.catalog.open import Catalog


def test_a_document_comes_back_until_it_is_replaced(catalog: Catalog) -> None:
    with catalog.write() as tx:
        assert learning.load(tx, "expected-cost") is None
        learning.save(tx, "expected-cost", {"kinds": ["checkpoint"], "day": 1.5})
        learning.save(tx, "other", {})
        learning.save(tx, "expected-cost", {"kinds": [], "day": 2.5})
    with catalog.read() as tx:
        assert learning.load(tx, "expected-cost") == {"kinds": [], "day": 2.5}
        assert learning.load(tx, "other") == {}


def test_what_is_no_document_counts_as_nothing(catalog: Catalog) -> None:
    with catalog.write() as tx:
        for name in ("cut", "list"):
            learning.save(tx, name, {})
        tx.conn.execute(text("UPDATE meta SET value = '{\"a' WHERE key = 'learned:cut'"))
        tx.conn.execute(text("UPDATE meta SET value = '[1]' WHERE key = 'learned:list'"))
        assert learning.load(tx, "cut") is None
        assert learning.load(tx, "list") is None
