"""Trees for whole-program tests: one with every oddity a file system allows, one of many files; and their snapshots.

Built with raw os calls, never with frostline's own code, so that the tests do not check frostline with itself.
"""

import hashlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

YEAR_NS = 365 * 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Seen:
    """What a stranger can observe of one path."""

    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    nlink: int
    digest: str
    """Of the content, or the target of a link."""
    xattrs: tuple[tuple[str, bytes], ...]


def write(path: bytes, data: bytes, *, mode: int = 0o644, mtime_ns: int | None = None) -> None:
    """Create one file with its folders."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(data)
    os.chmod(path, mode)
    if mtime_ns is not None:
        os.utime(path, ns=(mtime_ns, mtime_ns))


def noise(seed: int, length: int) -> bytes:
    """Return *length* incompressible bytes, the same for the same seed."""
    return random.Random(seed).randbytes(length)


def text(seed: int, length: int) -> bytes:
    """Return *length* bytes of compressible text."""
    words = [b"shard", b"epoch", b"loss", b"tensor", b"token", b"weight", b"stream", b"frost"]
    rng = random.Random(seed)
    out = bytearray()
    while len(out) < length:
        out += rng.choice(words) + b" %d\n" % rng.randrange(1000)
    return bytes(out[:length])


def odd_tree(root: Path, *, as_root: bool) -> None:
    """Fill *root* with what usually breaks: names, holes, links, times, modes, attributes, near-copies."""
    top = os.fsencode(root)
    base = noise(1, 700_000)
    write(top + b"/runs/a/step-1000.pt", base)
    write(top + b"/runs/a/step-2000.pt", base[:300_000] + b"edited in the middle" + base[300_000:])
    write(top + b"/runs/a/copy-of-1000.pt", base)
    write(top + b"/empty", b"")
    write(top + b"/one-byte", b"x", mode=0o600)
    write(top + b"/read-only", text(2, 40_000), mode=0o444)
    write(top + b"/world", text(3, 40_000), mode=0o666)
    write(top + b"/sticky-mode", text(4, 9_000), mode=0o1755)
    write(top + b"/names/\xff\xfe not utf-8 \x80", text(5, 20_000))
    write(top + "/names/ünïcødé 雪 🧊.jsonl".encode(), text(6, 20_000))
    write(top + b"/names/new\nline \x1b[31m and tab\t", text(7, 20_000))
    write(top + b"/names/" + b"n" * 255, text(8, 20_000))
    write(top + b"/names/-rf *", text(9, 20_000))
    deep = top + b"/deep" + b"/d" * 40
    write(deep + b"/file", text(10, 20_000))
    with open(top + b"/sparse", "wb") as out:
        out.write(b"head" * 1000)
        out.seek(5_000_000)
        out.write(b"tail" * 1000)
        out.truncate(9_000_000)
    write(top + b"/all-hole", b"")
    os.truncate(top + b"/all-hole", 3_000_000)
    write(top + b"/ancient", text(11, 30_000), mtime_ns=1)
    write(top + b"/odd-ns", text(12, 30_000), mtime_ns=1_234_567_890_123_456_789)
    write(top + b"/linked/one", text(13, 50_000))
    os.link(top + b"/linked/one", top + b"/linked/two")
    os.symlink(b"runs/a/step-2000.pt", top + b"/latest")
    os.symlink(b"/nonexistent/target", top + b"/dangling")
    write(top + b"/xattrs", text(14, 30_000))
    os.setxattr(top + b"/xattrs", b"user.comment", b"kept \x00\xff")
    for i in range(300):
        write(top + b"/tiny/%03d.json" % i, b'{"i": %d, "kind": "tiny", "pad": "%s"}' % (i, b"p" * (i % 50)))
    os.makedirs(top + b"/empty-folder")
    if as_root:
        give_away(top)
    for folder, _, _ in os.walk(top, topdown=False):
        os.utime(folder, ns=(YEAR_NS, 40 * YEAR_NS + len(folder)))


def give_away(top: bytes) -> None:
    """Set what only root can set: another owner, an ACL, a trusted attribute."""
    os.chown(top + b"/world", 1234, 2345)
    acl = shutil.which("setfacl")
    if acl:
        subprocess.run([acl, "-m", "u:1234:r--", os.fsdecode(top + b"/xattrs")], check=True)
    os.setxattr(top + b"/xattrs", b"trusted.note", b"root's")


def walk(root: Path) -> Iterator[bytes]:
    """Yield every path below *root* (relative, bytes), folders included, links not followed."""
    top = os.fsencode(root)
    for folder, dirs, names in os.walk(top):
        for name in sorted(dirs) + sorted(names):
            yield os.path.relpath(os.path.join(folder, name), top)


def look(path: bytes) -> Seen:
    """Return what can be observed at *path*."""
    st = os.lstat(path)
    kind, digest, size = "other", "", 0
    if os.path.islink(path):
        kind, digest = "link", os.fsdecode(os.readlink(path))
    elif os.path.isdir(path):
        kind = "folder"
    elif os.path.isfile(path):
        kind, size = "file", st.st_size
        with open(path, "rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
    names = sorted(os.listxattr(path, follow_symlinks=False)) if kind != "link" else []
    pairs = tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)
    nlink = st.st_nlink if kind == "file" else 0
    return Seen(kind, st.st_mode, st.st_uid, st.st_gid, size, st.st_mtime_ns, nlink, digest, pairs)


def snapshot(root: Path, *, ignore: frozenset[bytes] = frozenset({b".frostline-root"})) -> dict[bytes, Seen]:
    """Return path -> Seen for everything below *root* but frostline's own marker."""
    top = os.fsencode(root)
    return {path: look(os.path.join(top, path)) for path in walk(root) if path not in ignore}


def differences(before: dict[bytes, Seen], after: dict[bytes, Seen]) -> list[str]:
    """Return one line per path that differs; empty when nothing does."""
    lines = []
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            lines.append(f"{path!r}\n    before {before.get(path)}\n    after  {after.get(path)}")
    return lines
