"""A site's own prices on top of a shipped book: negotiated discounts, single prices, disks of its own.

Works on parsed JSON before parse_book() looks at it, so that what comes out is checked like any other book.
"""

import copy
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from policies.price_fields import Fields, PriceBookError, as_mapping

STORAGE = ("storage_gib_month", "access_tiers", "archive_tiers")
REQUESTS = ("put_1k", "get_1k", "transition_in_1k", "monitor_1k_month")


def overridden(base: Mapping[str, Any], local: Mapping[str, Any]) -> dict[str, Any]:
    """Return *base* with the prices of *local*: `id`, `as_of`, and any of `discount`, `classes`, `hot`, `energy`,
    `from`.

    `discount` holds fractions off: `storage`, `requests`, `retrieval`, taken before single prices replace anything.
    `classes` and `hot` replace fields of classes and disks, or add disks; `from` says where the prices come from and is
    put among the sources. Raises PriceBookError on unknown keys, classes the base lacks, or discounts outside 0..1.
    """
    book: dict[str, Any] = copy.deepcopy(dict(base))
    fields = Fields("book", local)
    fields.optional("extends", None)
    book["id"] = fields.text("id")
    book["as_of"] = fields.text("as_of")
    source = {"what": "prices of this site", "from": fields.text("from"), "as_of": book["as_of"]}
    book["sources"] = [*book["sources"], source]
    _discount(book, fields.optional("discount", {}))
    for name, prices in as_mapping("book.classes", fields.optional("classes", {})).items():
        if name not in book["classes"]:
            raise PriceBookError(f"classes.{name}: the book that is extended has no such class")
        book["classes"][name] = {**book["classes"][name], **as_mapping(f"classes.{name}", prices)}
    for name, disk in as_mapping("book.hot", fields.optional("hot", {})).items():
        book["hot"][name] = {**book["hot"].get(name, {}), **as_mapping(f"hot.{name}", disk)}
    book["energy"] = {**book["energy"], **as_mapping("book.energy", fields.optional("energy", {}))}
    fields.done()
    return book


def _discount(book: dict[str, Any], data: Any) -> None:
    fields = Fields("discount", data)
    storage, requests, retrieval = (_kept(fields, name) for name in ("storage", "requests", "retrieval"))
    fields.done()
    for price in book["classes"].values():
        for key in STORAGE:
            for step in price.get(key, []):
                name = "usd" if "usd" in step else "usd_gib_month"
                step[name] = _times(step[name], storage)
        for key in REQUESTS:
            if price.get(key) is not None:
                price[key] = _times(price[key], requests)
        price["retrieval_gib"] = _times(price["retrieval_gib"], retrieval)
        for speed in (price.get("restore") or {}).values():
            speed["usd_gib"] = _times(speed["usd_gib"], retrieval)
            speed["usd_1k"] = _times(speed["usd_1k"], requests)


def _kept(fields: Fields, name: str) -> Decimal:
    value = fields.optional(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not 0 <= value <= 1:
        raise PriceBookError(f"discount.{name}: must be a fraction within 0..1 (got {value!r})")
    return 1 - Decimal(str(value))


def _times(price: Any, kept: Decimal) -> Decimal:
    """Return a discounted price, rounded to what a nano-dollar per unit can hold (prices are quoted per thousand)."""
    return (Decimal(str(price)) * kept).quantize(Decimal("0.000001"))
