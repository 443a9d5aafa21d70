"""Keeps what strategies have learned between cycles: one JSON document per name, in the catalog's meta table.

Lost with the catalog and not rebuilt from the store: learning begins anew then, nothing else is harmed.
"""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, insert, select

from tiering.catalog.tables import meta
from tiering.catalog.transaction import Tx

PREFIX = "learned:"


def load(tx: Tx, name: str) -> dict[str, Any] | None:
    """Return the document kept under *name*; None where there is none, or it cannot be read."""
    text = tx.conn.execute(select(meta.c.value).where(meta.c.key == PREFIX + name)).scalar()
    if text is None:
        return None
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def save(tx: Tx, name: str, document: Mapping[str, Any]) -> None:
    """Keep *document* under *name* in place of what was there, with this transaction."""
    key = PREFIX + name
    tx.conn.execute(delete(meta).where(meta.c.key == key))
    tx.conn.execute(insert(meta), {"key": key, "value": json.dumps(document, separators=(",", ":"))})
