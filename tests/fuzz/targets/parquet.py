"""Parquet files: regions cover the file or there are none; what can be stored plain comes back bit for bit."""

from dataclasses import dataclass

from dedup.formats.parquet import WRAP, segment_parquet
from dedup.wrappers import rewrap, unwrap


@dataclass(frozen=True)
class _Held:
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        return self.data[offset : offset + length]


def fuzz(data: bytes) -> None:
    """Read *data* as a parquet file."""
    position = 0
    for region in segment_parquet(_Held(data)) or ():
        assert region.span.start == position
        assert region.span.length > 0
        position = region.span.end
        if region.wrap:
            run = data[region.span.start : position]
            plain = unwrap(WRAP, run)
            assert plain is None or rewrap(WRAP, plain, len(run)) == run
    assert position in {0, len(data)}
