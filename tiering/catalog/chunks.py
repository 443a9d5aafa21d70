"""Chunk rows: written by commits and by rebuild; and the records of those that could not be read from their pack."""

from collections.abc import Sequence

from tiering.catalog import packs, recipes, records
from tiering.catalog.outbox import Record
from tiering.catalog.tables import chunks
from tiering.catalog.transaction import Tx, batches, insert_many
from tiering.catalog.values import NewChunk, PackRow
from tiering.config.sections import ARCHIVE_CLASSES

RECORD_CHUNKS = 2000  # per record: about 300 kB of JSON
_COLUMNS = ("fingerprint", "digest", "pack_no", "offset", "stored_len", "raw_len", "codec_no")


def insert_chunks(tx: Tx, new: Sequence[NewChunk]) -> None:
    """Insert chunk rows; their packs have rows already."""
    numbers = recipes.codec_numbers(tx, {chunk.entry.codec for chunk in new})
    insert_many(tx, chunks, _COLUMNS, ((*_values(chunk), numbers[chunk.entry.codec]) for chunk in new))


def archived_chunks(tx: Tx, new: Sequence[NewChunk]) -> list[Record]:
    """Return records of the chunks that go to archive classes: rebuild could not read those packs' trailers."""
    rows = packs.by_numbers(tx, {chunk.pack_no for chunk in new})
    archived = {number: row for number, row in rows.items() if row.storage_class in ARCHIVE_CLASSES}
    return [record for number, row in archived.items() for record in _records(row, _of_pack(new, number))]


def _values(chunk: NewChunk) -> tuple[object, ...]:
    entry = chunk.entry
    return entry.fingerprint, entry.digest, chunk.pack_no, entry.offset, entry.stored_len, entry.raw_len


def _of_pack(new: Sequence[NewChunk], pack_no: int) -> list[NewChunk]:
    return [chunk for chunk in new if chunk.pack_no == pack_no]


def _records(row: PackRow, new: Sequence[NewChunk]) -> list[Record]:
    return [
        records.chunks(key=row.key, entries=[chunk.entry for chunk in batch]) for batch in batches(new, RECORD_CHUNKS)
    ]
