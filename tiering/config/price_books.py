"""Finds and reads price books: those shipped with frostline, the operator's own files, and own files on top of shipped.

An own file is a whole book, or says `"extends": "<shipped book>"` and only what differs (policies.price_overrides).
"""

import json
import os
from collections.abc import Mapping
from decimal import Decimal
from importlib import resources
from typing import Any

from policies.price_fields import PriceBookError
from policies.price_overrides import overridden
from policies.prices import PriceBook, parse_book
from tiering.errors import ConfigError


def shipped_books() -> list[str]:
    """Return the names of the price books that come with frostline."""
    data = resources.files("policies.data").iterdir()
    return sorted(item.name.removesuffix(".json") for item in data if item.name.endswith(".json"))


def load_book(named: str) -> PriceBook:
    """Return the shipped book *named*, or the one in the file at the path *named* (it holds a slash).

    Raises ConfigError where it is missing, unreadable, or has a gap; the message names the field.
    """
    try:
        data = _read(named)
        base = data.get("extends")
        return parse_book(data if base is None else overridden(_shipped(str(base)), data))
    except FileNotFoundError:
        hint = f"shipped: {', '.join(shipped_books())}; or the path of your own, with a slash in it: ./own.json"
        raise ConfigError(f'prices.book: there is no price book "{named}"', hint=hint) from None
    except OSError as error:
        raise ConfigError(f"prices.book: {named} cannot be read: {error.strerror}") from None
    except (PriceBookError, ValueError) as error:
        raise ConfigError(f"prices.book: {named}: {error}") from None


def _read(named: str) -> Mapping[str, Any]:
    if "/" not in named:
        return _shipped(named)
    with open(os.path.expanduser(named), encoding="utf-8") as file:
        return _table(json.load(file, parse_float=Decimal))


def _shipped(name: str) -> Mapping[str, Any]:
    if name not in shipped_books():
        raise FileNotFoundError(name)
    text = resources.files("policies.data").joinpath(f"{name}.json").read_text(encoding="utf-8")
    return _table(json.loads(text, parse_float=Decimal))


def _table(data: Any) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise PriceBookError("the file must hold one JSON object")
    return data
