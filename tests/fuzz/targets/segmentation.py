"""Any file, long enough to be looked into: regions cover it or there are none."""

from dedup.formats.segmentation import SMALLEST_BYTES, plain_kind, segment
from tests.dedup.formats.making import Held, checked


def fuzz(data: bytes) -> None:
    """Segment *data*, and *data* with zeros in its middle."""
    checked(data)
    middle = len(data) // 2
    longer = data[:middle] + bytes(SMALLEST_BYTES) + data[middle:]
    checked(longer, b"model.onnx")
    assert segment(Held(b"")) is None
    assert plain_kind(longer[:4096]) in {"text", "media", "generic"}
