"""frostline:// for fsspec: pandas, pyarrow, datasets, PyTorch and safetensors read files under care wherever they are.

    fsspec.open("frostline:///data/runs/2023/eval.parquet")
    pandas.read_parquet("frostline:///data/runs/2023/eval.parquet")
    fsspec.open("frostline://s3://datalake/raw/eval.parquet")

Read-only. A folder shows what stands on the disk, placeholders as the files that they stand for, and files that are
stored and have no placeholder; a bucket in mode ingest, the objects that are stored. Bytes of what is offline come from
the store in ranges; nothing is recalled.
"""

import os
import stat
from datetime import UTC, datetime
from typing import Any, BinaryIO

from fsspec.spec import AbstractFileSystem

from tiering.catalog import files
from tiering.catalog.values import FileRow, FileState
from tiering.config.sections import PlaceholderKind
from tiering.errors import UsageError
from tiering.hot.paths import split
from tiering.jobs.bucket_roots import SCHEME
from tiering.jobs.stored_paths import Place, place_of
from tiering.reading.files import StoredFile, open_file, open_offline
from tiering.reading.installation import Installation, installation, is_placeholder

_AWAY = frozenset({FileState.OFFLINE, FileState.RECALLING})
_OUR_NAMES = ".frostline-"


class FrostlineFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """See the module docstring. *config* and *ask* are those of tiering.open()."""

    protocol = "frostline"
    root_marker = "/"

    def __init__(self, config: str | None = None, ask: bool = False, **storage_options: Any) -> None:
        """Open nothing yet."""
        super().__init__(config=config, ask=ask, **storage_options)
        self._config = config
        self._ask = ask

    @property
    def _where(self) -> Installation:
        return installation(self._config)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        plain = os.fspath(path).removeprefix("frostline://")
        if plain.startswith(SCHEME):
            return plain.rstrip("/")
        return os.path.abspath(plain if plain.startswith("/") else "/" + plain)

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """Return what is in a folder, or the file itself; see AbstractFileSystem.ls."""
        plain = self._strip_protocol(path)
        found = self._folder(plain)
        if found is None:
            found = {plain: self.info(plain)}
        return sorted(found.values(), key=lambda entry: str(entry["name"])) if detail else sorted(found)

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Return name, size, type, mtime (s since the epoch) and state of one path. Raises FileNotFoundError."""
        plain = self._strip_protocol(path)
        try:
            status = os.stat(plain, follow_symlinks=not is_placeholder(plain))
        except FileNotFoundError:
            status = None
        if status is not None and not stat.S_ISLNK(status.st_mode):
            return _standing(plain, status)
        row = self._row(plain)
        if row is not None and _is_read_from_store(plain, row):
            return _stored(plain, row)
        if self._folder(plain):
            return {"name": plain, "size": 0, "type": "directory"}
        raise FileNotFoundError(plain)

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> BinaryIO:
        if mode != "rb":
            raise NotImplementedError("frostline:// is read-only")
        return open_file(path, config=self._config, ask=self._ask)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Return bytes of a file, from *start* up to *end*, which may count from the end as in a slice."""
        plain = self._strip_protocol(path)
        with open_file(plain, config=self._config, ask=self._ask) as file:
            if start is None and end is None:
                return file.read()
            size = file.seek(0, os.SEEK_END)
            first, last, _ = slice(start, end).indices(size)
            raw = getattr(file, "raw", None)
            if isinstance(raw, StoredFile):
                return raw.pread(first, max(first, last))
            file.seek(first)
            return file.read(max(0, last - first))

    def modified(self, path: str) -> datetime:
        """Return when a file was changed last, as a datetime in UTC."""
        return datetime.fromtimestamp(self.info(path)["mtime"], UTC)

    def created(self, path: str) -> datetime:
        """Return when a file was changed last: nothing else is known of all of them."""
        return self.modified(path)

    def open_stored(self, path: str) -> BinaryIO:
        """Open the stored copy of a file, also where it stands on the disk: to compare, or to test."""
        return open_offline(self._where, self._strip_protocol(path))

    def _folder(self, plain: str) -> dict[str, dict[str, Any]] | None:
        """Return path -> entry of what is in a folder; None where there is none."""
        found: dict[str, dict[str, Any]] = {}
        placeholders: list[str] = []
        is_there = os.path.isdir(plain)
        if is_there:
            with os.scandir(plain) as entries:
                for entry in entries:
                    if entry.name.startswith(_OUR_NAMES):
                        continue
                    if entry.is_symlink() and is_placeholder(entry.path):
                        placeholders.append(entry.name)
                    elif os.path.exists(entry.path):
                        found[entry.path] = _standing(entry.path, entry.stat())
        place = self._place(plain)
        if place is not None:
            found |= self._stored_in(plain, place, placeholders)
        return found if is_there or found else None

    def _stored_in(self, plain: str, place: Place, placeholders: list[str]) -> dict[str, dict[str, Any]]:
        """Return the entries of placeholders, and of offline files that have none."""
        found: dict[str, dict[str, Any]] = {}
        context = self._where.context()
        under = place.path + b"/" if place.path else b""
        root_id = place.root.root_id
        has_none = any(
            root.name == place.root.name and root.placeholder is PlaceholderKind.NONE for root in context.config.roots
        )
        with context.catalog.read() as tx:
            names = [(under, os.fsencode(name)) for name in placeholders]
            rows = list(files.at_paths(tx, root_id, names).values())
            if has_none or plain.startswith(SCHEME):
                rows += [row for row in files.every(tx, root_id, under=under) if _is_read_from_store(plain, row)]
        for row in rows:
            name, slash, _ = os.fsdecode(row.path[len(under) :]).partition("/")
            shown = os.path.join(plain, name)
            folder = {"name": shown, "size": 0, "type": "directory"}
            found.setdefault(shown, folder if slash else _stored(shown, row))
        return found

    def _place(self, plain: str) -> Place | None:
        try:
            return place_of(self._where.context(), plain)
        except UsageError:
            return None

    def _row(self, plain: str) -> FileRow | None:
        place = self._place(plain)
        if place is None:
            return None
        folder, name = split(place.path)
        with self._where.context().catalog.read() as tx:
            return files.get(tx, place.root.root_id, folder, name)


def _is_read_from_store(path: str, row: FileRow) -> bool:
    """Return whether what stands for *row* is its stored copy; of an object that is so also while its original stands,
    which nobody is asked for.
    """
    return row.state in _AWAY or (path.startswith(SCHEME) and row.state is FileState.DUAL)


def _standing(path: str, status: os.stat_result) -> dict[str, Any]:
    kind = "directory" if stat.S_ISDIR(status.st_mode) else "file" if stat.S_ISREG(status.st_mode) else "other"
    size = status.st_size if kind == "file" else 0
    return {"name": path, "size": size, "type": kind, "mtime": status.st_mtime, "state": "hot"}


def _stored(path: str, row: FileRow) -> dict[str, Any]:
    return {"name": path, "size": row.size, "type": "file", "mtime": row.mtime_ns / 1e9, "state": str(row.state)}
