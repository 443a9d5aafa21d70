"""Object code of kernels on disk: one file each, in a folder that only its owner writes, since it is executed.

Used by dedup.kernels.machine. The folder is $NUMBA_CACHE_DIR where that is set (the service's CacheDirectory), else
the package's own __pycache__, else the user's cache. A file that is damaged, or that somebody else could have written,
counts as absent; one that cannot be written is not kept. Users who share an installation do not take turns in writing
it: whose folder it is replaces what others wrote there, the others keep theirs elsewhere.

    offset  size  field
    0       32    BLAKE3 of the name it is stored under and the rest
    32      2     length of the symbol, little-endian
    34            symbol, UTF-8; then an ELF object
"""

import importlib.util
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

_SUFFIX = ".kernel"
_DIGEST = 32
_HEAD = _DIGEST + 2


class Object(NamedTuple):
    """One compiled function."""

    symbol: str
    code: bytes


def load(name: str) -> Object | None:
    """Return what was stored under *name*; None for nothing that can be trusted."""
    for folder in _folders():
        data = _read(folder / (name + _SUFFIX))
        if len(data) > _HEAD and _digest(name, data[_DIGEST:]) == data[:_DIGEST]:
            end = _HEAD + int.from_bytes(data[_DIGEST:_HEAD], "little")
            return Object(data[_HEAD:end].decode(), data[end:])
    return None


def store(name: str, found: Object) -> None:
    """Keep *found* in the first folder that can be written, if there is one. Not durable: it can be made again."""
    symbol = found.symbol.encode()
    body = len(symbol).to_bytes(2, "little") + symbol + found.code
    for folder in _folders():
        new = folder / f"{name}.{os.getpid()}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_others(folder) and _is_others(folder / (name + _SUFFIX)):
                continue
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            with os.fdopen(fd, "wb") as file:
                file.write(_digest(name, body) + body)
            new.replace(folder / (name + _SUFFIX))
        except OSError:
            with suppress(OSError):
                new.unlink()
        else:
            return


def can_be() -> bool:
    """Return whether there is a folder to keep one in, or to make."""
    return any(os.access(_nearest(folder), os.W_OK | os.X_OK) for folder in _folders())


def compiler_version() -> bytes:
    """Return what numba says of its own version, without importing it; b"" where it is not there."""
    return source("numba", "_version.py")


def source(module: str, beside: str = "") -> bytes:
    """Return the text of a module, or of the file *beside* it, without importing it; b"" where there is none."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.origin:
        return b""
    try:
        return (Path(spec.origin).parent / beside if beside else Path(spec.origin)).read_bytes()
    except OSError:
        return b""


def _read(path: Path) -> bytes:
    """Return what is in a file that nobody else can have written; b"" for any other."""
    try:
        # Not waited for: whoever may rename in the folder could have put a FIFO there.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        status = os.fstat(fd)
        if status.st_uid not in {0, os.geteuid()} or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return b""
        return os.read(fd, status.st_size) if stat.S_ISREG(status.st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(fd)


def _digest(name: str, body: bytes) -> bytes:
    """Return what confirms a file: a kernel under the name of another would be called with the other's arguments."""
    return blake3(name.encode() + body).digest()


def _folders() -> list[Path]:
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return [Path(chosen)]
    # A user without a home keeps nothing, rather than in a folder of whatever place they stand in.
    caches = (os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~/.cache"))
    cache = next(filter(os.path.isabs, caches), None)
    return [Path(__file__).parent / "__pycache__", *([Path(cache) / "frostline"] if cache else ())]


def _nearest(folder: Path) -> Path:
    """Return *folder*, or what stands above it where it is not there yet."""
    return next(filter(os.path.exists, (folder, *folder.parents)), folder)


def _is_others(path: Path) -> bool:
    """Return whether *path* is there, and somebody else's."""
    try:
        return path.stat().st_uid != os.geteuid()
    except FileNotFoundError:
        return False
