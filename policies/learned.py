"""What expected-cost has learned, as a plain value: kept between two runs of a planner, and carried as JSON.

Counts of reads and of object-days watched per kind of file, size group, level and idle age. Kinds go by name, so that
a site may add or drop some; a layout of another version is not read, learning begins anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FORMAT = 1
Array = npt.NDArray[np.float64]


class LearnedError(ValueError):
    """The document is not one of ours. The message names the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Immutable; arrays are [kind, size group, level, idle bucket], those of events without the bucket."""

    layout: str
    """What the axes mean (policies.heat.layout()): arrays of another layout cannot be used."""
    begun_day: float
    """When learning began."""
    day: float
    """Up to when objects were watched, and the counts have faded."""
    kinds: tuple[str, ...]
    """Names along the first axis."""
    reads: Array
    days: Array
    events: Array
    counts: Array
    """Reads of those events."""
    shares: Array
    """Object sizes read in them."""

    def to_json(self) -> dict[str, Any]:
        """Return a document of plain values; zeros are left out, the rest keeps nine digits."""
        document: dict[str, Any] = {
            "format": FORMAT, "layout": self.layout, "begun_day": self.begun_day, "day": self.day,
            "kinds": list(self.kinds),
        }  # fmt: skip
        for name in _ARRAYS:
            array: Array = getattr(self, name)
            there = np.flatnonzero(array)
            values = [float(f"{value:.9g}") for value in array.flat[there]]
            document[name] = {"shape": list(array.shape), "at": there.tolist(), "values": values}
        return document


_ARRAYS = ("reads", "days", "events", "counts", "shares")
MOST_CELLS = 10_000_000
"""A document that wants more is not ours: 24 kinds would be a tenth of a million."""


def learned_from(document: Mapping[str, Any]) -> Learned:
    """Return the value of a to_json() document. Raises LearnedError where it is none."""
    if document.get("format") != FORMAT:
        raise LearnedError(f"format: this program reads {FORMAT} (got {document.get('format')!r})")
    try:
        return Learned(
            layout=str(document["layout"]),
            begun_day=float(document["begun_day"]),
            day=float(document["day"]),
            kinds=tuple(str(kind) for kind in document["kinds"]),
            **{name: _array(name, document[name], len(document["kinds"])) for name in _ARRAYS},
        )
    except KeyError as error:
        raise LearnedError(f"{error.args[0]}: missing") from None
    except (TypeError, ValueError, IndexError) as error:
        raise LearnedError(str(error)) from None


def _array(name: str, said: Mapping[str, Any], kinds: int) -> Array:
    shape = [int(length) for length in said["shape"]]
    if len(shape) not in {3, 4} or shape[0] != kinds or min(shape) < 0 or np.prod(shape, dtype=float) > MOST_CELLS:
        raise LearnedError(f"{name}: impossible shape {shape}")
    array = np.zeros(shape)
    places = np.array(said["at"], np.int64)
    if len(places) and (places.min() < 0 or places.max() >= array.size):
        raise LearnedError(f"{name}: a place outside its shape")
    values = np.array(said["values"], np.float64)
    if values.shape != places.shape:
        raise LearnedError(f"{name}: {places.size} places, {values.size} values")
    array.flat[places] = values
    if not np.isfinite(array).all() or array.min(initial=0.0) < 0:
        raise LearnedError(f"{name}: counts are finite and not negative")
    return array
