"""torch files before 1.6: pickles one after the other, then each storage behind its number of elements.

Used by dedup.formats. torch/serialization.py, _legacy_save: magic number, protocol, system, object, list of storage
keys; then, in the list's order, eight bytes and the bytes of each storage. Nothing is built (dedup.formats.pickles).
"""

from dedup.formats.covering import GENERIC, LONGEST_NAME, TENSOR, cover
from dedup.formats.elements import WIDTHS
from dedup.formats.pickles import Machine
from dedup.formats.reading import Doubt, Reader
from dedup.formats.storages import storages_of
from dedup.values import Region, Span

# pickle.dumps(0x1950a86a20f9469cfc6c, protocol=2)
MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
LONGEST_PICKLES = 8 << 20


def segment_torch_legacy(reader: Reader) -> list[Region]:
    """Return the pickles as generic and each storage as a tensor; Doubt if the storages do not fill the file."""
    machine = Machine(reader.exact(0, min(reader.size, LONGEST_PICKLES)))
    for _ in range(3):
        machine.run()
        machine = Machine(machine.data, machine.position)
    storages = storages_of(machine.run())
    machine = Machine(machine.data, machine.position)
    keys = machine.run()
    if not isinstance(keys, list) or not all(isinstance(key, str | int) for key in keys):
        raise Doubt("no list of storages")
    position = machine.position
    regions = [Region(Span(0, position), GENERIC)]
    for key in keys:
        storage = storages.get(str(key))
        if storage is None or storage.element not in WIDTHS:
            raise Doubt("a storage without a type")
        count = int.from_bytes(reader.near(position, 8), "little")
        span = Span(position + 8, count * WIDTHS[storage.element])
        if span.end > reader.size:
            raise Doubt("a storage ends behind the file")
        regions.append(Region(span, TENSOR, storage.element, (storage.name or str(key))[:LONGEST_NAME]))
        position = span.end
    if position != reader.size:
        raise Doubt("storages do not fill the file")
    return cover(regions, reader.size)
