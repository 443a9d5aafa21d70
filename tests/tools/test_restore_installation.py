"""tools/restore.py on what migrate really wrote: packs, recipes and segments of a small installation."""

import os
import subprocess
import sys
from pathlib import Path

from tests.jobs.lab import open_lab
from tests.jobs.outbound import items, learn
from tests.tools.test_restore import SCRIPT, noise
from tiering.jobs.migrate import migrate


def test_p11_the_script_restores_what_migrate_stored(tmp_path: Path) -> None:
    base = tmp_path / "lab"
    tiers = {"standard": {"store": f"file://{base}/standard"}, "archive": {"store": f"file://{base}/archive"}}
    with open_lab(base, tiers=tiers) as lab:
        for path, data in ((b"a/one", noise(1, 300_000)), (b"a/two", noise(1, 300_000)), (b"odd\xff", b"odd")):
            lab.write(path, data)
        sparse = lab.write("sparse", b"begin")
        os.truncate(sparse, 1 << 20)
        os.link(lab.root / "a" / "one", lab.root / "linked")
        os.utime(lab.root / "a" / "two", ns=(5, 1_234_567_890))
        learn(lab)
        migrate(lab.context, items(lab, "standard", [b"a/one", b"linked", b"odd\xff"]))
        migrate(lab.context, items(lab, "archive"))
        out = tmp_path / "out"
        command = [
            sys.executable,
            "-E",
            "-s",
            str(SCRIPT),
            str(base / "standard"),
            str(out),
            "--also",
            str(base / "archive"),
        ]

        done = subprocess.run(command, capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr
        assert "4 files restored, 0 not" in done.stdout
        for name in ("a/one", "a/two", "linked", os.fsdecode(b"odd\xff"), "sparse"):
            there, here = out / "root" / name, lab.root / name
            assert there.read_bytes() == here.read_bytes()
            before, after = here.stat(), there.stat()
            assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
        assert (out / "root" / "linked").samefile(out / "root" / "a" / "one")
