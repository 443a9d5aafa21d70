"""Takes values out of a parsed price book, and refuses what is missing, left over, or not a price.

Numbers may be int, float, Decimal or str; money comes out as integer nano-dollars, exactly.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from policies.amounts import NANO


class PriceBookError(ValueError):
    """The book is incomplete, contradicts itself, or is asked for what it does not hold."""


class Fields:
    """Takes keys out of a mapping, and refuses what is missing or left over."""

    def __init__(self, where: str, data: Any) -> None:
        self._where = where
        self._rest = dict(as_mapping(where, data))

    def take(self, key: str) -> Any:
        """Return a value as it stands."""
        if key not in self._rest:
            raise PriceBookError(f"{self._where}.{key}: missing")
        return self._rest.pop(key)

    def optional(self, key: str, default: Any) -> Any:
        """Return a value, or *default* where the key is left out."""
        return self._rest.pop(key, default)

    def text(self, key: str) -> str:
        """Return a text that is not empty."""
        value = self.take(key)
        if not isinstance(value, str) or not value:
            raise PriceBookError(f"{self._where}.{key}: must be a text (got {value!r})")
        return value

    def integer(self, key: str) -> int:
        """Return a whole number, 0 or more."""
        return integer(f"{self._where}.{key}", self.take(key))

    def nano(self, key: str, *, per: int = 1) -> int:
        """Return dollars per *per* units as nano-dollars per unit."""
        return nano(f"{self._where}.{key}", self.take(key), per=per)

    def number(self, key: str) -> float:
        """Return a number, 0 or more."""
        value = self.take(key)
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not 0 <= value < float("inf"):
            raise PriceBookError(f"{self._where}.{key}: must be a number, 0 or more (got {value!r})")
        return float(value)

    def flag(self, key: str) -> bool:
        """Return true or false; false where the key is left out."""
        value = self.optional(key, False)
        if not isinstance(value, bool):
            raise PriceBookError(f"{self._where}.{key}: must be true or false (got {value!r})")
        return value

    def mapping(self, key: str) -> Mapping[str, Any]:
        """Return a table."""
        return as_mapping(f"{self._where}.{key}", self.take(key))

    def sequence(self, key: str) -> Sequence[Any]:
        """Return a list."""
        value = self.take(key)
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise PriceBookError(f"{self._where}.{key}: must be a list")
        return value

    def done(self) -> None:
        """Refuse what nobody took."""
        if self._rest:
            raise PriceBookError(f"{self._where}.{min(self._rest)}: unknown key")


def as_mapping(where: str, data: Any) -> Mapping[str, Any]:
    """Return *data*, which must be a table."""
    if not isinstance(data, Mapping):
        raise PriceBookError(f"{where}: must be a table")
    return data


def integer(where: str, value: Any) -> int:
    """Return *value*, which must be a whole number, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise PriceBookError(f"{where}: must be a whole number, 0 or more (got {value!r})")
    return value


def nano(where: str, value: Any, *, per: int = 1) -> int:
    """Return dollars as nano-dollars, exactly: 0.023 is 23,000,000 whatever float makes of it."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise PriceBookError(f"{where}: must be a price (got {value!r})")
    try:
        nano = Decimal(str(value)) * NANO / per
    except InvalidOperation:
        raise PriceBookError(f"{where}: must be a price (got {value!r})") from None
    if not nano.is_finite() or nano < 0:
        raise PriceBookError(f"{where}: must not be negative (got {value!r})")
    if nano != nano.to_integral_value():
        raise PriceBookError(f"{where}: finer than a nano-dollar (got {value!r})")
    return int(nano)
