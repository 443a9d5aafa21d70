"""More peers of frostline, each driven in a child process: zstd by file, zstd -19 --long, hf-xet, zipnn.

Imported by the benchmarks; and run by them as the child (`python peers.py zstd-in TREE STORE`), in an interpreter that
has what the peer needs: FROSTLINE_PEERS names one with hf_xet, zipnn and torch (none of which frostline depends on).
"""

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from measured import Remote, Step, Tool, run, size_of, tools

PYTHON = os.environ.get("FROSTLINE_PEERS", sys.executable)
# What runs in the interpreter of the benchmark itself, which has zstandard.
OWN = ("zstd", "long")
# One commit to the Xet store for each file, as `git lfs` or an upload of one file makes; from here on one a folder.
COMMITS = 200
# The window of --long: what zstd itself decodes without being told.
WINDOW_LOG = 27


class Peer:
    """One tool: its store is the folder `store` below *base*."""

    def __init__(self, name: str, verb: str, base: Path, root: Path, *, python: str = "") -> None:
        """Work below *base*, which is made; on *root*. *verb* names the child's functions, *python* its interpreter."""
        self.name, self.verb, self.base, self.root = name, verb, base, root
        self._python = sys.executable if verb in OWN else python or PYTHON
        self.store = base / "store"
        self._env: dict[str, str] = {"HF_HOME": str(base / "home"), "HF_XET_CACHE": str(base / "cache")}
        self._env["OMP_NUM_THREADS"] = "1"

    def prepare(self) -> None:
        """Make the folders."""
        self.store.mkdir(parents=True)

    def ingest(self) -> list[Step]:
        """Store the whole root."""
        return [self._run(f"{self.verb}-in", self.root)]

    def restore(self, to: Path) -> list[Step]:
        """Copy everything out."""
        return [self._run(f"{self.verb}-out", to)]

    def stored_bytes(self) -> int:
        """Return the bytes in the store; of the Xet store xorbs and shards, not its look-up table."""
        if self.verb == "xet":
            xorbs = [path for path in self.store.rglob("default.*") if path.suffix != ".tagset"]
            return sum(path.stat().st_size for path in [*xorbs, *self.store.rglob("shards/*.mdb")])
        return size_of(self.store)

    def _run(self, verb: str, tree: Path) -> Step:
        return run(verb, [self._python, __file__, verb, str(tree), str(self.store)], env=self._env)


def each(base: Path, root: Path) -> Peer:
    """Return zstd -3 of every file by itself."""
    return Peer("zstd-3 per file", "zstd", base, root)


def long(base: Path, root: Path) -> Peer:
    """Return one zstd -19 --long stream of a tar."""
    return Peer("zstd -19 --long", "long", base, root)


def xet(base: Path, root: Path, python: str = "") -> Peer | None:
    """Return the real Xet client on a store of its own; None where the interpreter has none."""
    return Peer("hf-xet", "xet", base, root, python=python) if _has("hf_xet", python) else None


def zipnn(base: Path, root: Path, dtype: str) -> Peer | None:
    """Return zipnn, told the element; a file that it cannot take is kept as it is. None where it is not installed."""
    if not dtype or not _has("zipnn"):
        return None
    return Peer("zipnn", f"zipnn-{dtype}", base, root)


def everyone(args: argparse.Namespace, base: Path, tree: Path, remote: Remote | None = None) -> list[Tool]:
    """Return what the options of measured.tree_options() ask for and is here."""
    found = tools(args, base, tree, remote)
    if "xet" in args.tools.split(",") and remote is None and (peer := xet(base / "xet", tree, args.xet_python)):
        found.append(peer)
    return found


def _has(module: str, python: str = "") -> bool:
    return (
        subprocess.run([python or PYTHON, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0
    )


def _files(tree: Path) -> Iterator[tuple[Path, Path]]:
    """Yield (path, name) of every file of *tree*, but for what frostline marks a root with."""
    for path in sorted(tree.rglob("*")):
        if path.is_file() and path.name != ".frostline-root":
            yield path, path.relative_to(tree)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _zstd_in(tree: Path, store: Path) -> None:
    zstandard = importlib.import_module("zstandard")
    compressor = zstandard.ZstdCompressor(level=3)
    for path, name in _files(tree):
        _write(store / name, compressor.compress(path.read_bytes()))


def _zstd_out(tree: Path, store: Path) -> None:
    zstandard = importlib.import_module("zstandard")
    decompressor = zstandard.ZstdDecompressor()
    for path, name in _files(store):
        _write(tree / name, decompressor.decompress(path.read_bytes()))


def _long_in(tree: Path, store: Path) -> None:
    zstandard = importlib.import_module("zstandard")
    parameters = zstandard.ZstdCompressionParameters.from_level(19, window_log=WINDOW_LOG, enable_ldm=True)
    with (store / "all.tar.zst").open("wb") as file:
        stream = zstandard.ZstdCompressor(compression_params=parameters).stream_writer(file)
        with stream, tarfile.open(fileobj=stream, mode="w|") as archive:
            for path, name in _files(tree):
                archive.add(path, str(name))


def _long_out(tree: Path, store: Path) -> None:
    zstandard = importlib.import_module("zstandard")
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << WINDOW_LOG)
    tree.mkdir(parents=True, exist_ok=True)
    with (
        (store / "all.tar.zst").open("rb") as file,
        decompressor.stream_reader(file) as stream,
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        archive.extractall(tree, filter="data")


def _xet_in(tree: Path, store: Path) -> None:
    hf_xet = importlib.import_module("hf_xet")
    files = list(_files(tree))
    commits: dict[str, list[tuple[Path, Path]]] = {}
    for path, name in files:
        commits.setdefault(str(name) if len(files) <= COMMITS else str(name.parent.parent), []).append((path, name))
    session, known = hf_xet.XetSession(), []
    for commit_files in commits.values():
        commit = session.new_upload_commit(endpoint=f"local://{store}")
        handles = [
            (name, commit.start_upload_file(str(path), sha256=hf_xet.COMPUTE_SHA256)) for path, name in commit_files
        ]
        commit.wait_to_finish()
        for name, handle in handles:
            info = handle.result().xet_info
            known.append((str(name), info.hash, info.file_size))
    (store.parent / "files.json").write_text(json.dumps(known))


def _xet_out(tree: Path, store: Path) -> None:
    hf_xet = importlib.import_module("hf_xet")
    group = hf_xet.XetSession().new_file_download_group(endpoint=f"local://{store}")
    for name, file_hash, size in json.loads((store.parent / "files.json").read_text()):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        group.start_download_file(hf_xet.XetFileInfo(file_hash, size), str(tree / name))
    group.wait_to_finish()


def _zipnn(tree: Path, store: Path, dtype: str, *, into: bool) -> None:
    """Take each file in a process of its own: zipnn 0.5.4 corrupts its memory on some lengths and aborts."""
    zipnn_module = importlib.import_module("zipnn")
    for path, name in _files(tree if into else store):
        to = (store if into else tree) / name
        to.parent.mkdir(parents=True, exist_ok=True)
        coded = to.with_name(to.name + ".znn") if into else to.with_name(to.name.removesuffix(".znn"))
        if not into and path.suffix != ".znn":
            shutil.copyfile(path, to)
            continue
        child = os.fork()
        if child == 0:
            tool = zipnn_module.ZipNN(input_format="byte", bytearray_dtype=dtype, threads=1)
            data = bytearray(path.read_bytes())
            coded.write_bytes(bytes(tool.compress(data) if into else tool.decompress(bytes(data))))
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) and into:
            coded.unlink(missing_ok=True)
            shutil.copyfile(path, to)


_CHILDREN: dict[str, Callable[[Path, Path], None]] = {
    "zstd-in": _zstd_in,
    "zstd-out": _zstd_out,
    "long-in": _long_in,
    "long-out": _long_out,
    "xet-in": _xet_in,
    "xet-out": _xet_out,
    "zipnn-bfloat16-in": lambda tree, store: _zipnn(tree, store, "bfloat16", into=True),
    "zipnn-bfloat16-out": lambda tree, store: _zipnn(tree, store, "bfloat16", into=False),
    "zipnn-float32-in": lambda tree, store: _zipnn(tree, store, "float32", into=True),
    "zipnn-float32-out": lambda tree, store: _zipnn(tree, store, "float32", into=False),
}

if __name__ == "__main__":
    _CHILDREN[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
