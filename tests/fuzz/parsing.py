"""What holds for every parser of dedup.formats, whatever the bytes: it covers or doubts them, and reads no others."""

from collections.abc import Callable

from dedup.formats.reading import Reader
from dedup.formats.segmentation import REFUSALS
from dedup.values import Region
from tests.dedup.formats.making import Held

# A parser may look at a byte a few times, and takes windows of 64 KiB; more is a walk that does not end.
MOST_READS = 100_000


def holds(parser: Callable[[Reader], list[Region] | None], data: bytes) -> None:
    """Run *parser* on *data*; fail unless it refuses it or covers it exactly."""
    source = Held(data)
    try:
        regions = parser(Reader(source))
    except REFUSALS:
        regions = None
    assert source.reads < MOST_READS
    if regions is None:
        return
    position = 0
    for region in regions:
        assert region.span.start == position
        assert region.span.length > 0
        assert len(region.name) <= 512
        position = region.span.end
    assert position == len(data)
