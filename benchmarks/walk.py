"""The whole walk on a tree of gigabytes: out, audit, rebuild, back; times, CPU, memory, and a byte-for-byte comparison.

    python benchmarks/walk.py [--gb 3] [--files 40000] [--store URL] [--endpoint-url URL] [--keep DIR] [--json]

The tree is made from files that stand on any machine with Python (sources and shared libraries of the environment),
with copies, edited copies and incompressible floats, the same for the same seed. Every step is the frostline command in
a child process. Nothing is timed in-process. The store must be empty: a folder, or an S3 prefix of your own.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from measured import built, run


def decorate(root: Path) -> None:
    """Give every seventh file another mode, time, attribute and (as root) owner than a copy would have by chance."""
    for number, path in enumerate(sorted(path for path in root.rglob("*") if path.is_file())):
        if number % 7:
            continue
        os.setxattr(path, "user.note", b"number %d" % number)
        if os.geteuid() == 0:
            os.chown(path, 1000 + number % 5, 1000 + number % 3)
        os.chmod(path, 0o400 | number % 0o100)
        os.utime(path, ns=(number, 1_500_000_000_123_456_789 + number))


def facts(path: Path) -> tuple[object, ...]:
    """Return what besides its bytes must come back."""
    st = path.lstat()
    pairs = [(name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(os.listxattr(path))]
    return st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns, 0 if path.is_dir() else st.st_size, pairs


def differs(original: Path, root: Path, *, folders: bool = True) -> str:
    """Return what `diff` and a comparison of modes, owners, times and attributes say; "" when nothing.

    *folders* False leaves those of folders out: recipes are of files.
    """
    argv = ["diff", "-r", "--no-dereference", "-x", ".frostline-root", str(original), str(root)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    said = [done.stdout[:2000] + done.stderr[:2000]]
    for path in sorted(original.rglob("*")):
        other = root / path.relative_to(original)
        if (folders or not path.is_dir()) and other.exists() and facts(path) != facts(other):
            said.append(f"{other}: {facts(other)} instead of {facts(path)}")
    return "\n".join(said[:20]).strip()


def walk(args: argparse.Namespace, base: Path) -> dict[str, object]:
    """Do the whole walk below *base*; returns what was seen."""
    root, original, config = base / "root", base / "original", base / "frostline.toml"
    count, size = built(original, args)
    decorate(original)
    subprocess.run(["cp", "-a", str(original), str(root)], check=True)
    frostline = [sys.executable, "-m", "tiering.cli", "--config", str(config)]
    store = args.store or f"file://{base}/store"
    init = ["init", "--root", str(root), "--store", store, "--state", str(base / "state")]
    init += ["--endpoint-url", args.endpoint_url] if args.endpoint_url else []
    steps = [run("init", [*frostline, *init])]
    config.write_text(config.read_text().replace("park_s = 60", "park_s = 0"))
    for name, argv in (
        ("scan", ["scan"]),
        ("migrate + release", ["migrate", str(root), "--to", "standard", "--release", "--yes"]),
        ("audit", ["audit"]),
        ("second migrate", ["migrate", str(root), "--to", "standard", "--yes"]),
    ):
        steps.append(run(name, [*frostline, *argv]))
    alone = "not run: the store is not a folder"
    if store.startswith("file://"):
        script = Path(__file__).parent.parent / "tools" / "restore.py"
        steps.append(run("restore.py", [sys.executable, str(script), store.removeprefix("file://"), str(base / "out")]))
        alone = differs(original, base / "out" / "root", folders=False)
    shutil.rmtree(base / "state")
    for name, argv in (
        ("rebuild", ["rebuild", "--yes"]),
        ("audit after rebuild", ["audit"]),
        ("recall", ["recall", str(root)]),
        ("audit at the end", ["audit"]),
    ):
        steps.append(run(name, [*frostline, *argv]))
    shown = subprocess.run([*frostline, "--json", "audit"], capture_output=True, text=True, check=False)
    return {
        "files": count,
        "bytes": size,
        "difference": differs(original, root),
        "difference_restore_script": alone,
        "audit": json.loads(shown.stdout),
        "steps": [asdict(step) for step in steps],
    }


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=3.0)
    parser.add_argument("--files", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", default="")
    parser.add_argument("--endpoint-url", default="")
    parser.add_argument("--keep", default="", help="work below this folder and leave everything there")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    base = Path(args.keep or tempfile.mkdtemp(prefix="frostline-walk-"))
    try:
        seen = walk(args, base)
    finally:
        if not args.keep:
            shutil.rmtree(base, ignore_errors=True)
    if args.json:
        print(json.dumps(seen, indent=2))
        return
    print(f"{seen['files']} files, {seen['bytes']:,} bytes; trees differ: {seen['difference'] or 'no'}")
    print(f"restored by tools/restore.py; trees differ: {seen['difference_restore_script'] or 'no'}")
    print(f"{'step':<22}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'exit':>6}")
    for step in seen["steps"]:  # type: ignore[attr-defined]
        row = f"{step['name']:<22}{step['wall_s']:>9.1f}{step['cpu_s']:>9.1f}"
        print(row + f"{step['peak_rss_mb']:>9.0f}{step['exit_code']:>6}")


if __name__ == "__main__":
    main()
