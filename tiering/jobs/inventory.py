"""Reads S3 Inventory: a manifest, and the CSV or Parquet files it names, a page of objects at a time.

Memory is that of a page, whatever the files hold. Only current versions are objects under care; older ones are counted.
Format: docs.aws.amazon.com, "Amazon S3 Inventory list" and "Locating your inventory list". ORC is not read.
"""

import csv
import gzip
import hashlib
import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import unquote_plus

from tiering.catalog.objects import ARCHIVED, CLASS_NO, Seen, packed_etag
from tiering.errors import ConfigError, IntegrityError

PAGE_ROWS = 20_000  # about 8 MB of tuples
ARCHIVE_ACCESS = frozenset({"ARCHIVE", "DEEP_ARCHIVE", "ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS"})
_GZIP = b"\x1f\x8b"  # RFC 1952, 2.3.1
_NEEDED = ("Key", "Size", "LastModifiedDate", "StorageClass")
_PARQUET_NAMES = {
    "key": "Key", "size": "Size", "last_modified_date": "LastModifiedDate", "e_tag": "ETag",
    "storage_class": "StorageClass", "is_latest": "IsLatest", "is_delete_marker": "IsDeleteMarker",
    "intelligent_tiering_access_tier": "IntelligentTieringAccessTier",
    "intelligent_tiering_reference_date": "IntelligentTieringReferenceDate",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class InventoryFile:
    """One data file of an inventory."""

    key: str
    md5: str
    """Hex; "" where the manifest has none."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What there is to read."""

    bucket: str
    """Whose objects it lists."""
    holder: str
    """The bucket its files stand in."""
    as_of_s: int
    form: str
    """CSV or Parquet."""
    columns: tuple[str, ...]
    """Of the CSV files; a Parquet file names its own."""
    files: tuple[InventoryFile, ...]


@dataclass(slots=True)
class Passed:
    """What was read and is not under care."""

    old_versions: int = 0
    old_bytes: int = 0
    delete_markers: int = 0
    other_prefixes: int = 0
    midnights: dict[str, int] = field(default_factory=dict)
    """Midnight of days met so far: parsing dates is half the work otherwise."""


def parse_manifest(text: bytes, where: str) -> Manifest:
    """Return the manifest in *text*; *where* is for messages. Raises ConfigError."""
    try:
        data = json.loads(text)
        form = str(data["fileFormat"])
        manifest = Manifest(
            bucket=str(data["sourceBucket"]),
            holder=str(data["destinationBucket"]).rpartition(":")[2],
            as_of_s=int(data["creationTimestamp"]) // 1000,
            form=form,
            columns=tuple(part.strip() for part in str(data.get("fileSchema", "")).split(",")),
            files=tuple(
                InventoryFile(str(it["key"]), str(it.get("MD5checksum", "")), int(it["size"])) for it in data["files"]
            ),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{where} is not the manifest.json of an S3 Inventory: {error}") from None
    if form not in {"CSV", "Parquet"}:
        raise ConfigError(f"{where}: inventories in {form} are not read", hint="choose CSV or Parquet for it")
    missing = [name for name in _NEEDED if name not in manifest.columns]
    if form == "CSV" and missing:
        raise ConfigError(f"{where}: the inventory lacks {', '.join(missing)}", hint="add the fields to it")
    return manifest


def local_file(folder: Path, key: str) -> Path:
    """Return a data file beside a manifest on disk: under its whole key, or in the folder as it was downloaded."""
    for path in (folder / key, folder / "data" / key.rpartition("/")[2], folder / key.rpartition("/")[2]):
        if path.is_file():
            return path
    raise ConfigError(f"{key}, which the manifest names, is not in {folder}")


def check_file(path: Path, file: InventoryFile) -> None:
    """Raise IntegrityError unless the file that was fetched is the one the manifest names."""
    with path.open("rb") as data:
        found = hashlib.file_digest(data, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if file.md5 and found != file.md5:
        raise IntegrityError(
            f"{file.key} is not the file that the inventory's manifest names: its MD5 is {found}, not {file.md5}",
            now="objects read so far are noted; none was forgotten",
            hint="run the scan again with the next inventory",
        )


def read_file(path: Path, manifest: Manifest, prefix: str, passed: Passed) -> Iterator[list[Seen]]:
    """Yield the current objects under *prefix* in one data file, in pages sorted by key."""
    rows = _parquet(path) if manifest.form == "Parquet" else _csv(path, manifest.columns)
    convert = _converter(prefix, passed, is_encoded=manifest.form == "CSV")
    while page := list(islice(rows, PAGE_ROWS)):
        found = [seen for row in page if (seen := convert(row)) is not None]
        found.sort()  # the catalog keeps them by key: neighbours share a page of it
        yield found


def _csv(path: Path, columns: Sequence[str]) -> Iterator[Sequence[Any]]:
    order = [columns.index(name) if name in columns else -1 for name in _PARQUET_NAMES.values()]
    with _text(path) as text:
        for row in csv.reader(text):
            yield [row[place] if 0 <= place < len(row) else "" for place in order]


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    with path.open("rb") as data:
        is_packed = data.read(len(_GZIP)) == _GZIP  # what was fetched has no name to tell by
    if is_packed:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as packed:
            yield packed
    else:
        with path.open(encoding="utf-8", newline="") as plain:
            yield plain


def _parquet(path: Path) -> Iterator[Sequence[Any]]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigError(
            "reading an inventory in Parquet needs pyarrow", hint="pip install frostline[parquet], or choose CSV for it"
        ) from None
    file = parquet.ParquetFile(path)
    present = [name for name in _PARQUET_NAMES if name in file.schema_arrow.names]
    for batch in file.iter_batches(batch_size=PAGE_ROWS, columns=present):
        held: Mapping[str, list[Any]] = batch.to_pydict()
        empty = [None] * batch.num_rows
        yield from zip(*(held.get(name, empty) for name in _PARQUET_NAMES), strict=True)


def _converter(prefix: str, passed: Passed, *, is_encoded: bool) -> Callable[[Sequence[Any]], Seen | None]:
    """Return what makes a row, in the order of _PARQUET_NAMES, into what a scan saw; None for what is passed over."""
    other = CLASS_NO["OTHER"]
    numbers = CLASS_NO.get
    days = passed.midnights

    def convert(row: Sequence[Any]) -> Seen | None:
        key, size, modified, etag, storage_class, latest, marker, tier, reference = row
        if is_encoded and ("%" in key or "+" in key):
            key = unquote_plus(key)
        if not key.startswith(prefix):
            passed.other_prefixes += 1
            return None
        if marker in {True, "true"}:
            passed.delete_markers += 1
            return None
        if latest in {False, "false"}:
            passed.old_versions += 1
            passed.old_bytes += int(size or 0)
            return None
        return (
            key.encode(),
            int(size or 0),
            numbers(storage_class or "STANDARD", other),
            packed_etag(etag or ""),
            _seconds(modified, days),
            _seconds(reference, days) if reference else None,
            ARCHIVED if tier in ARCHIVE_ACCESS else 0,
        )

    return convert


def _seconds(moment: Any, days: dict[str, int]) -> int:
    """Return "2026-01-31T12:34:56.000Z", or a datetime, in seconds since the epoch."""
    if isinstance(moment, datetime):
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    day = moment[:10]
    midnight = days.get(day)
    if midnight is None:
        midnight = days[day] = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())
    return midnight + int(moment[11:13]) * 3600 + int(moment[14:16]) * 60 + int(moment[17:19])
