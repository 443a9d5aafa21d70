"""Reads histories of accesses from files into policies' columns: CSV, Parquet, S3 server access logs, public traces.

Files are streamed; what stays in memory is a few numbers per row and one name per object. Nothing is written.
"""

import csv
import gzip
import importlib
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import numpy as np

from policies.kinds import kind_of
from policies.synthetic import draw_sizes, from_counts
from policies.trace import OPS, READ, WRITE, Accesses, Trace, TraceError, make_trace

DAY_S = 86_400.0
COLUMNS = ("time", "object")
LOG_OPS = {"GET": READ, "PUT": WRITE, "POST": WRITE, "DELETE": OPS["delete"], "COPY": WRITE}
# bucket owner, bucket, [time], ip, requester, id, operation, key, "request", status, error, sent, size, ...
_LOG = re.compile(r'^\S+ (\S+) \[([^\]]+)\] \S+ \S+ \S+ (\S+) (\S+) (?:"[^"]*"|-) (\S+) \S+ (\S+) (\S+)')


@dataclass(slots=True)
class _Rows:
    """Columns that grow row by row."""

    days: "array[float]" = field(default_factory=lambda: array("d"))
    objects: "array[int]" = field(default_factory=lambda: array("q"))
    ops: "array[int]" = field(default_factory=lambda: array("b"))
    op_bytes: "array[int]" = field(default_factory=lambda: array("q"))
    numbers: dict[str, int] = field(default_factory=dict)
    sizes: "array[int]" = field(default_factory=lambda: array("q"))
    kinds: "array[int]" = field(default_factory=lambda: array("q"))
    kind_numbers: dict[str, int] = field(default_factory=dict)

    def add(self, day: float, name: str, op: int, op_bytes: int | None, *, size: int | None, kind: str) -> None:
        """Append a row; the size of an object is the largest that was said of it, or read or written at once."""
        number = self.numbers.setdefault(name, len(self.numbers))
        if number == len(self.sizes):
            self.sizes.append(0)
            self.kinds.append(self.kind_numbers.setdefault(kind, len(self.kind_numbers)))
        known = size if size is not None else op_bytes or 0
        self.sizes[number] = max(self.sizes[number], known)
        self.days.append(day)
        self.objects.append(number)
        self.ops.append(op)
        self.op_bytes.append(-1 if op_bytes is None else op_bytes)

    def trace(self, tick_days: float) -> Trace:
        """Return the history; a read that said no bytes read the whole object. Raises TraceError where empty."""
        if not self.days:
            raise TraceError("no rows")
        objects = np.array(self.objects, np.int64)
        sizes = np.array(self.sizes, np.int64)
        op_bytes = np.array(self.op_bytes, np.int64)
        accesses = Accesses(
            days=np.array(self.days, np.float64),
            objects=objects,
            ops=np.array(self.ops, np.int64),
            op_bytes=np.where(op_bytes < 0, sizes[objects], op_bytes),
        )
        return make_trace(accesses, sizes, np.array(self.kinds, np.int64), list(self.kind_numbers), tick_days=tick_days)


def read_trace(path: Path, *, tick_days: float = 1.0) -> Trace:
    """Return the history in a file, told by its name: .csv, .tsv (also .gz), .parquet, else an S3 access log.

    Raises TraceError naming file and row where it cannot be read as such, OSError where it cannot be opened.
    """
    name = path.name.removesuffix(".gz")
    try:
        if name.endswith((".csv", ".tsv")):
            with _text(path) as file:
                return read_rows(csv.DictReader(file, delimiter="\t" if name.endswith(".tsv") else ","), tick_days)
        if name.endswith(".parquet"):
            return read_rows(_parquet(path), tick_days)
        with _text(path) as file:
            return read_access_log(file, tick_days)
    except (TraceError, csv.Error, EOFError, UnicodeDecodeError) as error:
        raise TraceError(f"{path}: {error}") from None


def read_rows(rows: Iterable[Mapping[str, object]], tick_days: float = 1.0) -> Trace:
    """Return the history in rows with `time` (seconds or ISO 8601) and `object`, if given `bytes`, `op`, `size`,
    `kind`.

    Op is read (default), write or delete. The kind of an object is told by its name where no column says it.
    """
    columns = _Rows()
    for number, row in enumerate(rows, start=1):
        try:
            name = str(row["object"])
            op = OPS[str(row.get("op") or "read").lower()]
            op_bytes, size = _whole(row.get("bytes")), _whole(row.get("size"))
            kind = str(row.get("kind") or kind_of(name.rpartition("/")[2]))
            columns.add(_day(row["time"]), name, op, op_bytes, size=size, kind=kind)
        except KeyError as error:
            raise TraceError(f"row {number}: {_missing(error)}") from None
        except (ValueError, OverflowError) as error:
            raise TraceError(f"row {number}: {error}") from None
    return columns.trace(tick_days)


def read_access_log(lines: Iterable[str], tick_days: float = 1.0) -> Trace:
    """Return the history in S3 server access logs: successful object reads, writes and deletes; the rest is skipped."""
    columns = _Rows()
    for line in lines:
        match = _LOG.match(line)
        if match is None:
            continue
        bucket, when, operation, key, status, sent, size = match.groups()
        parts = operation.split(".")
        if len(parts) < 3 or parts[2] not in {"OBJECT", "PART", "COPY"} or not status.startswith("2") or key == "-":
            continue
        op = LOG_OPS.get(parts[1])
        if op is None or (parts[2] == "PART" and op == WRITE):
            continue
        day = datetime.strptime(when, "%d/%b/%Y:%H:%M:%S %z").timestamp() / DAY_S
        kind = kind_of(key.rpartition("/")[2])
        columns.add(day, f"{bucket}/{key}", op, _dash(sent) if op == READ else None, size=_dash(size), kind=kind)
    return columns.trace(tick_days)


def read_swim(path: Path, *, stretch: float) -> Trace:
    """Return a SWIM workload (tab-separated jobs with input paths), its clock slowed down by *stretch*.

    A path is born when it is first named: somebody wrote it before the first job read it. Its size is the largest
    input read from it.
    """
    columns = _Rows()
    with _text(path) as file:
        for line in file:
            fields = line.rstrip("\n").split("\t")
            day, name, read_bytes = float(fields[1]) / DAY_S * stretch, fields[6], int(fields[3])
            op = READ if name in columns.numbers else WRITE
            columns.add(day, name, op, read_bytes, size=None, kind="input")
    return columns.trace(1.0)


def read_downloads(path: Path, *, keep: float, seed: int, objects: int | None = None) -> Trace:
    """Return accesses drawn from monthly counts (snapshot_date, project, downloads_30d), each kept with *keep*.

    Projects present in the first month were born then, others in the month they appear. Sizes are drawn: the source
    has none. *objects* takes a random part of the projects.
    """
    numbers: dict[str, int] = {}
    months, owners, counts = array("d"), array("q"), array("d")
    with _text(path) as file:
        for row in csv.DictReader(file):
            months.append(_day(row["snapshot_date"]))
            owners.append(numbers.setdefault(row["project"], len(numbers)))
            counts.append(float(row["downloads_30d"]))
    days, who, much = np.array(months), np.array(owners, np.int64), np.array(counts)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(numbers))[:objects])
    place = np.full(len(numbers), -1)
    place[chosen] = np.arange(len(chosen))
    born = np.full(len(chosen), np.inf)
    kept = place[who] >= 0
    np.minimum.at(born, place[who[kept]], days[kept])
    return from_counts(
        days[kept], place[who[kept]], much[kept], born,
        sizes=draw_sizes(rng, len(chosen)), month_days=30.0, keep=keep, seed=seed,
    )  # fmt: skip


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    if path.name.endswith(".gz"):
        with gzip.open(path, "rt", encoding="utf-8", newline="") as packed:
            yield packed
    else:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as plain:
            yield plain


def _parquet(path: Path) -> Iterator[Mapping[str, object]]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise TraceError("reading Parquet needs pyarrow: pip install pyarrow, or convert the file to CSV") from None
    for batch in parquet.ParquetFile(path).iter_batches(batch_size=65_536):
        yield from batch.to_pylist()


def _day(value: object) -> float:
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, int | float):
        return float(value) / DAY_S
    else:
        said = str(value)
        try:
            return float(said) / DAY_S
        except ValueError:
            moment = datetime.fromisoformat(said)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() / DAY_S


def _whole(value: object) -> int | None:
    if value is None or value == "":
        return None
    return int(float(str(value)))


def _dash(said: str) -> int | None:
    return None if said == "-" else int(said)


def _missing(error: KeyError) -> str:
    key = str(error.args[0])
    return f'no column "{key}"' if key in COLUMNS else f'op "{key}" is not {", ".join(OPS)}'
