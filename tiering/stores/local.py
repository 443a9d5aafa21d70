"""A store in a directory: a second disk, a NAS mount, or what a bucket was synced to.

An object is a file under the root, named by its key. It is written to `.tmp/` on the same file system (or, a file
without a name that lies there already, linked to it), flushed, read back from the device, past the page cache, and
given its name in one step that never replaces; then the folder is flushed. Root and `.tmp/` are made by
open_local(create=True) alone, never by a put: an unmounted disk must look unreachable, not empty. Files are 0600 and
folders 0700: they hold what every user of the machine stored.
"""

import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote

from dedup.values import Span
from tiering import direct
from tiering.errors import ChecksumRefused, ObjectExists
from tiering.stores.base import ObjectInfo, Upload, split_key
from tiering.stores.checksum import Checksum
from tiering.stores.failures import cut_off, missing, other_version, too_short
from tiering.stores.keys import RESERVED, check_key
from tiering.stores.local_errors import translated
from tiering.stores.nameless import Nameless
from tiering.stores.noreplace import name_without_replacing

_BLOCK_BYTES = 1 << 20  # 1 MiB a read: past this a disk gains nothing
_CHECKSUM_XATTR = "user.frostline.checksum"
_FOREIGN = frozenset({RESERVED, "lost+found"})  # at the root of the store, not objects


class LocalStore:
    """See tiering.stores.base.Store. There are no classes here: every object is STANDARD."""

    def __init__(self, root: Path) -> None:
        """Remember the absolute *root*; use open_local() to have it checked."""
        self.url = root.as_uri()
        self._root = root

    def put(
        self, key: str, body: BinaryIO, *, size_bytes: int, checksum: str, storage_class: str, if_absent: bool = True
    ) -> ObjectInfo:
        """See Store. The bytes are flushed and read back from the device before they get their name."""
        path = self._path(key)
        with translated(self.url, key, "store", root=self._root):
            if if_absent and path.exists():
                raise _taken(self.url, key)
            temp = self._temp(key)
            try:
                self._write(temp, body, size_bytes=size_bytes, checksum=checksum)
                self._make_folder(path.parent)
                self._name(temp, path, key, if_absent=if_absent)
            finally:
                temp.unlink(missing_ok=True)
            _flush_folder(path.parent)
        return self.head(key)

    def get(self, key: str, span: Span | None = None) -> bytes:
        """See Store. A whole object that is long comes from the device: whoever wants all of it wants to prove it."""
        path = self._path(key)
        with translated(self.url, key, "read", root=self._root):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                size_bytes = os.fstat(descriptor).st_size
                if span is None and size_bytes >= direct.LEAST_BYTES:
                    direct.turn_on(descriptor)
                    return self._whole(descriptor, size_bytes, key)
                wanted = span or Span(0, size_bytes)
                if wanted.end > size_bytes:
                    raise too_short(self.url, key, wanted, size_bytes)
                return self._read(descriptor, wanted, key)
            finally:
                os.close(descriptor)

    def head(self, key: str) -> ObjectInfo:
        """See Store."""
        path = self._path(key)
        with translated(self.url, key, "look at", root=self._root):
            stat = os.stat(path, follow_symlinks=False)
            if not _is_file(stat):
                raise missing(self.url, key)
            return _info(key, path, stat)

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See Store. Memory is bounded by one folder; an object that vanishes meanwhile is left out."""
        folder, _ = split_key(prefix)
        with translated(self.url, "", "list", root=self._root):
            os.stat(self._root)
        yield from self._list(folder, prefix, start_after)

    def delete(self, key: str, *, etag: str = "", version_id: str = "") -> None:
        """See Store. The folder is flushed: a deletion survives a power cut."""
        path = self._path(key)
        with translated(self.url, key, "delete", root=self._root):
            try:
                if etag and _etag(os.stat(path, follow_symlinks=False)) != etag:
                    raise other_version(self.url, key)
                path.unlink()
                _flush_folder(path.parent)
            except (FileNotFoundError, NotADirectoryError):
                os.stat(self._root)  # absent is fine, a missing store is not

    def list_uploads(self, prefix: str = "") -> Iterator[Upload]:
        """See Store: temporary files, of running puts and of dead ones. started_ns is their last write."""
        with translated(self.url, prefix, "list", root=self._root):
            names = sorted(os.listdir(self._root / RESERVED)) if (self._root / RESERVED).is_dir() else []
        for name in names:
            key = unquote(name.partition(".")[2])
            if not key.startswith(prefix):
                continue
            try:
                stat = os.stat(self._root / RESERVED / name)
            except FileNotFoundError:
                continue  # finished meanwhile
            yield Upload(key, name, stat.st_mtime_ns)

    def abort_upload(self, upload: Upload) -> None:
        """See Store."""
        check_key(upload.upload_id)
        with translated(self.url, upload.key, "clean up", root=self._root):
            (self._root / RESERVED / Path(upload.upload_id).name).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _temp(self, key: str) -> Path:
        # The key is for the reader of list_uploads(); 180 of NAME_MAX's 255 bytes leave room for the nonce.
        return self._root / RESERVED / f"{secrets.token_hex(8)}.{quote(key, safe='')[:180]}"

    def _write(self, temp: Path, body: BinaryIO, *, size_bytes: int, checksum: str) -> None:
        is_taken = _take_over(temp, body, size_bytes=size_bytes)
        flags = 0 if is_taken else os.O_CREAT | os.O_EXCL
        descriptor = os.open(temp, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
        try:
            if not is_taken:
                sent = _copied(body, descriptor, size_bytes)
                _refuse(temp, sent == checksum, sent, checksum)
            _set_checksum(descriptor, checksum)
            os.fsync(descriptor)
            held = _reread(descriptor, size_bytes)
            _refuse(temp, held == checksum, held, checksum)
        finally:
            os.close(descriptor)

    def _make_folder(self, folder: Path) -> None:
        made = []
        while not folder.is_dir():
            made.append(folder)
            folder = folder.parent
        for path in reversed(made):
            try:
                path.mkdir(0o700)
            except FileExistsError:
                continue  # another thread was first
            _flush_folder(path.parent)

    def _name(self, temp: Path, path: Path, key: str, *, if_absent: bool) -> None:
        if not if_absent:
            temp.replace(path)
            return
        try:
            name_without_replacing(temp, path)
        except FileExistsError as error:
            raise _taken(self.url, key) from error

    def _read(self, descriptor: int, span: Span, key: str) -> bytes:
        pieces: list[bytes] = []
        position = span.start
        while position < span.end:
            piece = os.pread(descriptor, span.end - position, position)
            if not piece:
                raise cut_off(self.url, key, expected=span.length, received=position - span.start)
            pieces.append(piece)
            position += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _whole(self, descriptor: int, size_bytes: int, key: str) -> bytes:
        found = direct.read(descriptor, 0, size_bytes)
        if len(found) < size_bytes:
            raise cut_off(self.url, key, expected=size_bytes, received=len(found))
        return found

    def _list(self, folder: str, prefix: str, start_after: str) -> Iterator[ObjectInfo]:
        with translated(self.url, folder, "list", root=self._root):
            try:
                names = self._ordered(folder)
            except (FileNotFoundError, NotADirectoryError):
                return
        for name, is_folder in names:
            key = f"{folder}/{name}" if folder else name
            if is_folder:
                inside = key + "/"
                if _may_hold(inside, prefix, start_after):
                    yield from self._list(key, prefix, start_after)
            elif key.startswith(prefix) and os.fsencode(key) > os.fsencode(start_after):
                found = self._look(key)
                if found is not None:
                    yield found

    def _look(self, key: str) -> ObjectInfo | None:
        with translated(self.url, key, "list", root=self._root):
            try:
                path = self._root / key
                return _info(key, path, os.stat(path, follow_symlinks=False))
            except FileNotFoundError:
                return None

    def _ordered(self, folder: str) -> Sequence[tuple[str, bool]]:
        found: list[tuple[bytes, str, bool]] = []
        with os.scandir(self._root / folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                if (not folder and entry.name in _FOREIGN) or not (is_folder or entry.is_file(follow_symlinks=False)):
                    continue
                # A folder sorts by its name with the slash, so that keys come out in byte order.
                found.append((os.fsencode(entry.name + "/" * is_folder), entry.name, is_folder))
        return [(name, is_folder) for _, name, is_folder in sorted(found)]


def open_local(root: Path, *, create: bool = False) -> LocalStore:
    """Return the store at the absolute *root*; with *create*, make the directory (0700) and `.tmp/`.

    Without `.tmp/` a store can be read, but every put raises StoreUnavailable. Raises StoreUnavailable if the directory
    is not there, StoreDenied if it may not be used, NoSpace.
    """
    store = LocalStore(root)
    with translated(store.url, "", "open", root=root):
        if create:
            (root / RESERVED).mkdir(0o700, parents=True, exist_ok=True)
            root.chmod(0o700)
            _flush_folder(root)
        os.stat(root)
    return store


def _take_over(temp: Path, body: BinaryIO, *, size_bytes: int) -> bool:
    """Let the file behind *body* stand at *temp*, if it has no name, lies here and is as long; else change nothing."""
    if not isinstance(body, Nameless) or body.tell() != 0:
        return False
    stat = os.fstat(body.fileno())
    if (stat.st_nlink, stat.st_size) != (0, size_bytes):
        return False
    try:
        body.give_name(temp)
    except OSError:
        return False
    os.utime(temp)  # list_uploads() says when it came here
    return True


def _copied(body: BinaryIO, descriptor: int, size_bytes: int) -> str:
    """Copy that much; return the checksum of what came, which of a body that ends early is not the one announced."""
    sent = Checksum()
    left = size_bytes
    out = direct.Appender(descriptor)
    try:
        while left > 0 and (block := body.read(min(_BLOCK_BYTES, left))):
            sent.update(block)
            left -= len(block)
            out.write(block)
        out.finish()
    finally:
        out.close()
    return sent.text() if left == 0 else f"{size_bytes - left} of {size_bytes} bytes"


def _reread(descriptor: int, size_bytes: int) -> str:
    """Return the checksum of what the device holds; the page cache, which may hold what was meant, is passed by."""
    held = Checksum()
    # For a file system that goes through the cache all the same. Costs nothing where it was not gone through before.
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    direct.turn_on(descriptor)
    for run in direct.runs(descriptor, 0, size_bytes):
        held.update(run)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return held.text()


def _may_hold(inside: str, prefix: str, start_after: str) -> bool:
    if not (inside.startswith(prefix) or prefix.startswith(inside)):
        return False
    return start_after.startswith(inside) or os.fsencode(inside) > os.fsencode(start_after)


def _info(key: str, path: Path, stat: os.stat_result) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size_bytes=stat.st_size,
        storage_class="STANDARD",
        checksum=_checksum(path),
        etag=_etag(stat),
        modified_ns=stat.st_mtime_ns,
    )


def _etag(stat: os.stat_result) -> str:
    return f"{stat.st_ino}-{stat.st_size}-{stat.st_mtime_ns}"


def _is_file(stat: os.stat_result) -> bool:
    return stat.st_mode & 0o170000 == 0o100000


def _set_checksum(descriptor: int, checksum: str) -> None:
    try:
        os.setxattr(descriptor, _CHECKSUM_XATTR, checksum.encode())
    except OSError:
        # FAT, old NFS: the checksum is then not reported, and whoever needs it reads the object.
        pass


def _checksum(path: Path) -> str:
    try:
        return os.getxattr(path, _CHECKSUM_XATTR, follow_symlinks=False).decode("ascii", "replace")
    except OSError:
        return ""


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse(temp: Path, is_right: bool, held: str, checksum: str) -> None:
    if not is_right:
        raise ChecksumRefused(
            f"{unquote(temp.name.partition('.')[2])}: {held} was written where {checksum} was announced",
            now="nothing was stored under that key",
            hint="try again; if it persists, test this machine's memory and the disk of the store",
        )


def _taken(url: str, key: str) -> ObjectExists:
    return ObjectExists(f"{key} already exists in {url}", now="it was left as it is")
