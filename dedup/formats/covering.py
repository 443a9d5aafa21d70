"""From what a parser found to regions that cover the file: gaps filled, small neighbours joined, overlaps refused.

Used by every parser of dedup.formats, and by nobody else. Reads nothing.
"""

from collections.abc import Iterable, Sequence

from dedup.formats.reading import Doubt
from dedup.values import Region, Span

GENERIC, TEXT, TENSOR, MEDIA = "generic", "text", "tensor", "media"

# A chunk costs about 90 bytes that do not compress (digest and fingerprint, in pack and recipe): 2 % of 4 KiB.
SMALL_BYTES = 4 << 10
# 200,000 regions take about 60 MB; what follows them is one generic region. A webdataset shard has 20,000 members.
MOST_REGIONS = 200_000
# A joined region keeps this many characters of each of its ends' names.
LONGEST_NAME = 512


def cover(found: Iterable[Region], size: int, *, filler: str = GENERIC, small: int = SMALL_BYTES) -> list[Region]:
    """Return regions that ascend, touch and cover [0, size): *found*, what lies between them as kind *filler*, and
    runs of neighbours shorter than *small* joined to one region.

    A joined run of tensors of one element stays a tensor, named after its first and last; any other run becomes
    *filler*. Empty regions are left out. Raises Doubt where regions overlap or reach beyond *size*; keeps the first
    MOST_REGIONS, the rest of the file is then generic.
    """
    ascending = sorted((region for region in found if region.span.length), key=lambda region: region.span.start)
    touching = _filled(ascending, size, filler)
    regions: list[Region] = []
    run: list[Region] = []
    for region in touching:
        if region.span.length < small:
            run.append(region)
            continue
        regions += _joined(run, filler)
        run = []
        regions.append(region)
    regions += _joined(run, filler)
    return _limited(regions, size)


def shifted(regions: Iterable[Region], by: int) -> list[Region]:
    """Return *regions* of an inner file as regions of the file that holds it from *by* on."""
    return [region._replace(span=Span(region.span.start + by, region.span.length)) for region in regions]


def _filled(ascending: Sequence[Region], size: int, filler: str) -> list[Region]:
    position, touching = 0, []
    for region in ascending:
        if region.span.start < position or region.span.length < 0 or region.span.end > size:
            raise Doubt(f"{region.span} overlaps what ends at {position}, or the end at {size}")
        if region.span.start > position:
            touching.append(Region(Span(position, region.span.start - position), filler))
        touching.append(region)
        position = region.span.end
    if position < size:
        touching.append(Region(Span(position, size - position), filler))
    return touching


def _joined(run: Sequence[Region], filler: str) -> list[Region]:
    """Return the one region that stands for the neighbours *run*; none for none."""
    if len(run) < 2:
        return list(run)
    first, last = run[0], run[-1]
    span = Span(first.span.start, last.span.end - first.span.start)
    if first.kind == TENSOR and all((region.kind, region.element) == (TENSOR, first.element) for region in run):
        half = LONGEST_NAME // 2 - 1
        return [Region(span, TENSOR, first.element, f"{first.name[:half]}..{last.name[:half]}")]
    return [Region(span, filler)]


def _limited(regions: list[Region], size: int) -> list[Region]:
    if len(regions) <= MOST_REGIONS:
        return regions
    kept = regions[: MOST_REGIONS - 1]
    end = kept[-1].span.end
    return [*kept, Region(Span(end, size - end), GENERIC)]
