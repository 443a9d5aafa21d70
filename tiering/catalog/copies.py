"""Which copy of a chunk is read where a file's chunks, and what they are coded against, have several.

Used by look-ups for reading. A run that goes back to earlier weights leaves such chunks: the second checkpoint is
coded against the third, which has the first one's bytes, and those were coded against the second. By numbers no chain
closes on itself; readers go by digests, so each digest gets the copy with the fewest links below it.
"""

from collections.abc import Mapping, Sequence

from dedup.values import Digest
from tiering.catalog.values import Location


def by_digest(locations: Sequence[Location]) -> dict[Digest, Location]:
    """Return digest -> the copy to read. With all bases among *locations*, following them from copy to copy ends after
    as few links as it can.
    """
    found = {location.digest: location for location in locations}
    if len(found) == len(locations):
        return found
    copies: dict[Digest, list[Location]] = {}
    for location in locations:
        copies.setdefault(location.digest, []).append(location)
    return found | _shallowest(copies)


def _shallowest(copies: Mapping[Digest, Sequence[Location]]) -> dict[Digest, Location]:
    """Return the copies that can be read, layer by layer: those that need no base, those coded against them, ..."""
    found: dict[Digest, Location] = {}
    while True:
        layer = {
            digest: copy
            for digest, several in copies.items()
            if digest not in found
            for copy in several
            if copy.block.base is None or copy.block.base in found
        }
        if not layer:
            return found
        found |= layer
