"""Estimate: close to what storing really takes, honest when it samples, and read-only to the byte."""

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dedup.fingerprint import fingerprint
from dedup.ingest import Pieces
from dedup.values import ChunkPart, Digest, Region, Span
from policies.amounts import NANO
from policies.values import NS_PER_DAY
from tests.jobs.lab import Lab
from tiering.catalog import ledger
from tiering.clock import FakeClock
from tiering.errors import UsageError
from tiering.hot.evidence import mount_quality
from tiering.hot.syscalls import cached_pages
from tiering.jobs.estimate import Estimate, EstimateOptions, estimate
from tiering.jobs.estimate_look import FirstNames
from tiering.jobs.estimate_reduction import ReductionMeter
from tiering.jobs.items import MigrateItem
from tiering.jobs.migrate import migrate
from tiering.jobs.scan import scan_root

NOW_NS = 1_800_000_000 * 10**9
REPOSITORY = Path(__file__).resolve().parents[2]


def run(*paths: Path | str, **options: object) -> Estimate:
    chosen = EstimateOptions(**options)  # type: ignore[arg-type]
    return estimate([str(path) for path in paths], clock=FakeClock(NOW_NS), options=chosen)


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def put(path: Path, data: bytes, *, days: float = 400) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    at_ns = NOW_NS - int(days * NS_PER_DAY)
    os.utime(path, ns=(at_ns, at_ns))
    return path


def test_two_equal_files_count_once_and_noise_does_not_shrink(tmp_path: Path) -> None:
    put(tmp_path / "a", noise(1, 3_000_000))
    put(tmp_path / "b/copy", noise(1, 3_000_000))
    found = run(tmp_path)

    assert (found.files, found.logical_bytes, found.unique_bytes) == (2, 6_000_000, 3_000_000)
    assert 3_000_000 < found.stored_bytes < 3_030_000
    assert found.read_bytes == 6_000_000
    assert not found.is_sampled


def test_an_edited_copy_costs_the_edit(tmp_path: Path) -> None:
    data = noise(2, 4_000_000)
    put(tmp_path / "a", data)
    put(tmp_path / "b", data[:1_000_000] + b"inserted" + data[1_000_000:])
    found = run(tmp_path)

    assert 4_000_000 < found.unique_bytes < 4_600_000


def test_text_is_compressed(tmp_path: Path) -> None:
    put(tmp_path / "log", b"".join(b"line %d of a log\n" % i for i in range(100_000)))
    found = run(tmp_path)

    assert found.stored_bytes < 0.5 * found.unique_bytes
    assert found.reduction_ratio == found.stored_bytes / found.logical_bytes


def test_p10_a_long_file_that_is_cold_is_read_and_stays_cold(tmp_path: Path) -> None:
    path = put(tmp_path / "cold", noise(1, 5_000_001))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        try:
            before = cached_pages(file.fileno())
        except OSError:
            pytest.skip("this kernel does not tell what is in the page cache")
        found = run(tmp_path)
        assert (found.read_bytes, found.unique_bytes) == (5_000_001, 5_000_001)
        assert cached_pages(file.fileno()) == before


def test_holes_are_not_read_and_cost_nothing(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as out:
        out.write(noise(3, 100_000))
        out.truncate(1 << 30)
    found = run(tmp_path)

    assert found.logical_bytes == 1 << 30
    assert found.unique_bytes < 400_000
    assert found.read_bytes < 400_000


def test_hard_links_count_once(tmp_path: Path) -> None:
    put(tmp_path / "a", noise(4, 50_000))
    os.link(tmp_path / "a", tmp_path / "b")

    assert (run(tmp_path).files, run(tmp_path).logical_bytes) == (1, 50_000)


def test_nested_and_repeated_paths_count_once_and_a_file_is_a_path(tmp_path: Path) -> None:
    inner = put(tmp_path / "in/a", noise(5, 5000))

    assert run(tmp_path, tmp_path / "in", inner, tmp_path).logical_bytes == 5000
    assert run(inner).files == 1


def test_nothing_at_all_is_an_answer(tmp_path: Path) -> None:
    found = run(tmp_path)

    assert (found.files, found.logical_bytes, found.stored_bytes, found.reduction_ratio) == (0, 0, 0, 1.0)


def test_dollars_follow_from_what_is_cold(tmp_path: Path) -> None:
    if not mount_quality(os.fsencode(tmp_path)).is_evidence:
        pytest.skip("the tests' file system keeps no atime")
    put(tmp_path / "cold", noise(6, 1_000_000), days=90)
    put(tmp_path / "warm", noise(7, 1_000_000), days=2)
    found = run(tmp_path)
    shown = found.to_json()["usd_per_month"]

    assert (found.cold_files, found.cold_bytes) == (1, 1_000_000)
    assert found.now_nano_month == 80_000_000 * 2_000_000 // 2**30
    cold = round(1_000_000 * found.reduction_ratio)
    assert found.then_nano_month == 80_000_000 * 1_000_000 // 2**30 + 23_000_000 * cold // 2**30
    assert shown["saved"] == pytest.approx((found.now_nano_month - found.then_nano_month) / NANO)
    assert set(shown) == {"now", "then", "saved"}


def test_the_documented_keys_are_there(tmp_path: Path) -> None:
    keys = set(run(tmp_path).to_json())

    assert keys >= {"files", "logical_bytes", "unique_bytes", "stored_bytes", "reduction_ratio", "usd_per_month"}


def test_huge_trees_are_sampled_and_the_answer_says_so(tmp_path: Path) -> None:
    for i in range(400):
        put(tmp_path / f"d{i % 5}/f{i}", noise(i // 2, 20_000))
    whole, sample = run(tmp_path), run(tmp_path, sample_above_bytes=4_000_000)

    assert sample.is_sampled
    assert any("sample" in note for note in sample.notes)
    assert sample.read_bytes < 0.6 * whole.read_bytes
    assert sample.logical_bytes == whole.logical_bytes
    assert 0.45 * whole.logical_bytes < sample.unique_bytes <= 1.02 * whole.logical_bytes


def test_copies_of_large_files_are_sampled_together(tmp_path: Path) -> None:
    for i in range(12):
        data = noise(i, (1 << 20) + i * 1000)
        put(tmp_path / f"a/{i}", data)
        put(tmp_path / f"b/{i}", data)
    found = run(tmp_path, sample_above_bytes=6 << 20)

    assert found.is_sampled
    assert found.unique_bytes == pytest.approx(found.logical_bytes / 2, rel=0.01)


def pieces(chunks: list[bytes], kind: str = "generic") -> Pieces:
    names = [ChunkPart(fingerprint(data), Digest(b""), len(data)) for data in chunks]
    regions = [Region(Span(0, len(data)), kind) for data in chunks]
    return Pieces(names, [*chunks], regions, [0] * len(chunks), [None] * len(chunks))


def test_a_bounded_memory_still_tells_the_share_of_duplicates() -> None:
    meter = ReductionMeter(effort="fast", max_distinct=500)
    chunks = [noise(i, 1000) for i in range(5000)]
    for chunk in [*chunks, *chunks[:2500]]:
        meter.take(pieces([chunk]))
    result = meter.result()

    assert result.sampled_share < 0.2
    assert result.data_bytes == 7_500_000
    assert result.unique_bytes == pytest.approx(5_000_000, rel=0.1)


def test_compression_measured_on_a_share_is_close_to_all() -> None:
    chunks = [noise(i, 7000) + b"x" * (i % 7 * 1000 + 1) for i in range(3000)]
    results = []
    for whole in (1 << 40, 100_000):
        meter = ReductionMeter(effort="fast", coded_whole_bytes=whole)
        meter.take(pieces(chunks))
        results.append(meter.result().stored_bytes)

    assert results[1] == pytest.approx(results[0], rel=0.05)


@pytest.mark.parametrize("turned", [False, True])
def test_what_comes_first_does_not_speak_for_what_comes_later(turned: bool) -> None:
    dense, sparse = [noise(i, 64_000) for i in range(400)], [noise(i, 3_000) + bytes(61_000) for i in range(100, 500)]
    chunks = [*sparse, *dense] if turned else [*dense, *sparse]
    results = []
    for whole in (1 << 40, 2 << 20):
        meter = ReductionMeter(effort="fast", coded_whole_bytes=whole)
        for first in range(0, len(chunks), 16):
            meter.take(pieces(chunks[first : first + 16]))
        results.append(meter.result().stored_bytes)

    assert results[1] == pytest.approx(results[0], rel=0.2)


def test_classes_are_told_apart_and_add_up() -> None:
    meter = ReductionMeter(effort="fast")
    meter.take(pieces([b"some text, " * 9000, noise(1, 50_000)]))
    meter.take(pieces([noise(1, 50_000), noise(2, 30_000)], kind="media"))
    found = meter.result()

    assert [(part.kind, part.data_bytes) for part in found.classes] == [("generic", 149_000), ("media", 80_000)]
    assert [codecs[0] for codecs in (part.codecs for part in found.classes)] == ["zstd:1", "raw"]
    assert found.unique_bytes == sum(part.unique_bytes for part in found.classes)
    assert found.stored_bytes == sum(part.stored_bytes for part in found.classes)


def test_tensors_are_named_with_what_would_code_them(tmp_path: Path) -> None:
    size = 3 << 20
    head = json.dumps({"w": {"dtype": "BF16", "shape": [size // 2], "data_offsets": [0, size]}}).encode()
    exponents = bytes(random.Random(1).choice(b"\x3c\x3d\xbc") for _ in range(size // 2))
    data = bytearray(size)
    data[0::2], data[1::2] = noise(12, size // 2), exponents
    put(tmp_path / "model.safetensors", len(head).to_bytes(8, "little") + head + data)
    found = run(tmp_path)

    assert (found.classes[0].kind, found.classes[0].element) == ("tensor", "bf16")
    assert found.classes[0].codecs[0].startswith("planes")
    assert found.stored_bytes < 0.75 * found.logical_bytes
    assert found.to_json()["classes"][0]["data_bytes"] == size


def test_names_of_very_many_inodes_are_told_apart_in_fixed_memory() -> None:
    def status(ino: int, nlink: int = 2) -> os.stat_result:
        return os.stat_result((0o100644, ino, 5, nlink, 0, 0, 0, 0, 0, 0))

    names = FirstNames(exact=100)
    assert names.is_first(status(1, nlink=1))
    assert names.is_first(status(1, nlink=1))
    assert all(names.is_first(status(ino)) for ino in range(100))
    before = names.is_exact
    assert sum(names.is_first(status(ino)) for ino in range(100, 1100)) >= 995
    assert (before, names.is_exact) == (True, False)
    assert not any(names.is_first(status(ino)) for ino in range(1100))


def test_the_estimate_is_what_storing_takes(lab: Lab) -> None:
    data = noise(8, 900_000)
    lab.write("a", data)
    lab.write("b", data[:400_000] + b"edit" + data[400_000:])
    lab.write("log", b"".join(b"step %d loss %d\n" % (i, i * i) for i in range(40_000)))
    for i in range(50):
        lab.write(f"small/{i}", noise(100 + i, 300))
    root = lab.context.roots[0]
    scan_root(lab.context, root)
    names = [os.path.split(path.relative_to(lab.root)) for path in lab.root.rglob("*") if path.is_file()]
    items = [
        MigrateItem(root.root_id, os.fsencode(dir + "/" if dir else ""), os.fsencode(name), "standard")
        for dir, name in sorted(names)
        if not name.startswith(".frostline")
    ]
    assert migrate(lab.context, items).files_skipped == ()
    with lab.catalog.read() as tx:
        live = ledger.balance(tx, "store.live", "standard")

    assert run(lab.root).stored_bytes == pytest.approx(live, rel=0.03)


def test_placeholders_and_unreadable_files_are_told_apart_from_data(tmp_path: Path) -> None:
    os.symlink("/dev/null/frostline/abcdefgh/" + "0" * 26 + "/x", tmp_path / "x")
    os.symlink("/etc/passwd", tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "fifo")
    found = run(tmp_path)

    assert found.files == 0
    assert any("1 placeholders" in note for note in found.notes)


@pytest.mark.parametrize("path", ["/nonexistent/frostline", "/dev/null"])
def test_a_path_that_cannot_be_meant_gets_a_sentence(path: str) -> None:
    with pytest.raises(UsageError, match=path):
        run(path)


def test_nothing_is_written_and_no_access_time_moves(tmp_path: Path) -> None:
    path = put(tmp_path / "tree/a", noise(9, 100_000))
    os.chmod(tmp_path / "tree", 0o555)
    before = (os.stat(path), os.stat(tmp_path / "tree"), os.listdir(tmp_path / "tree"))
    run(tmp_path / "tree")

    assert (os.stat(path), os.stat(tmp_path / "tree"), os.listdir(tmp_path / "tree")) == before


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_unreadable_files_are_listed_and_the_rest_is_estimated() -> None:
    program = (
        "import json, os, sys\n"
        "from tiering.jobs.estimate import estimate\n"
        "from tiering.clock import SystemClock\n"
        "estimate([sys.argv[1]], clock=SystemClock())  # loads what the other user may not be able to\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(json.dumps(estimate([sys.argv[1]], clock=SystemClock()).to_json()))\n"
    )
    with tempfile.TemporaryDirectory() as folder:  # not below pytest's own, which others may not enter
        os.chmod(folder, 0o755)
        for name in ("open", "closed"):
            put(Path(folder) / name, noise(10, 50_000))
        os.chmod(Path(folder) / "closed", 0)
        command = [sys.executable, "-c", program, folder]
        done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["files"], found["skipped_count"], found["unique_bytes"]) == (2, 1, 100_000)
