"""Histories are read from CSV, access logs and public traces; what cannot be read names its row."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from policies.trace import TraceError
from tiering.jobs.trace_files import read_access_log, read_downloads, read_swim, read_trace

CSV = """time,object,bytes,op,size
2024-01-01T00:00:00,a/x.pt,,write,1000
2024-01-02T12:00:00Z,a/x.pt,400,read,
1704283200,b.parquet,50,read,60
2024-01-05T01:00:00+01:00,a/x.pt,,read,
"""


def test_csv_rows_become_a_history(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(CSV)
    trace = read_trace(path)

    assert trace.kind_names == ("checkpoint", "dataset")
    assert trace.sizes.tolist() == [1000, 60]
    assert trace.births.tolist() == [0, 2]
    assert trace.ticks.tolist() == [1, 4, 2]
    assert trace.read_bytes.tolist() == [400, 1000, 50]


def test_a_packed_file_and_another_tick(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(CSV.encode()))

    assert read_trace(path, tick_days=0.5).ticks.tolist() == [3, 8, 5]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("object\nx\n", 'row 1: no column "time"'),
        ("time,object,op\n1,x,eat\n", 'row 1: op "eat" is not read, write, delete'),
        ("time,object\nyesterday,x\n", "row 1"),
        ("time,object,bytes\n5,x,many\n", "row 1"),
        ("time,object\n", "no rows"),
    ],
)
def test_what_cannot_be_read_says_where(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)

    with pytest.raises(TraceError, match=said):
        read_trace(path)


def test_s3_access_logs_count_object_operations_that_succeeded() -> None:
    def line(day: int, operation: str, key: str, status: int, sent: str, size: str) -> str:
        return (
            f"owner bucket [{day:02}/Feb/2019:00:00:38 +0000] 192.0.2.3 arn:x 3E57 {operation} {key} "
            f'"GET /bucket/{key} HTTP/1.1" {status} - {sent} {size} 7 - "-" "S3Console/0.4" - h SigV4 - AuthHeader'
        )

    trace = read_access_log([
        line(1, "REST.PUT.OBJECT", "a.bin", 200, "-", "100"),
        line(3, "REST.GET.OBJECT", "a.bin", 206, "40", "100"),
        line(4, "REST.GET.OBJECT", "a.bin", 404, "1", "-"),
        line(4, "REST.HEAD.OBJECT", "a.bin", 200, "-", "100"),
        line(5, "REST.GET.VERSIONING", "-", 200, "113", "-"),
        line(9, "REST.DELETE.OBJECT", "a.bin", 204, "-", "-"),
        "not a log line",
    ])  # fmt: skip

    assert trace.sizes.tolist() == [100]
    assert trace.ticks.tolist() == [2]
    assert trace.read_bytes.tolist() == [40]
    assert trace.deaths.tolist() == [8]


def test_a_swim_workload_is_born_at_first_sight(tmp_path: Path) -> None:
    path = tmp_path / "swim.tsv.gz"
    lines = ["job0\t0\t1\t500\t0\t1\tp1\t\t", "job1\t43200\t1\t700\t0\t1\tp1\t\t", "job2\t86400\t1\t9\t0\t1\tp2\t\t"]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    trace = read_swim(path, stretch=10)

    assert trace.sizes.tolist() == [700, 9]
    assert trace.ticks.tolist() == [5]
    assert trace.births.tolist() == [0, 10]


def test_downloads_are_thinned_the_same_for_the_same_seed(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text(
        "snapshot_date,project,downloads_30d\n2020-01-01,a,100000\n2020-02-01,a,100000\n2020-02-01,b,100000\n"
    )
    one, two = (read_downloads(path, keep=1e-3, seed=3) for _ in range(2))

    assert one.births.tolist() == [0, 31]
    assert np.array_equal(one.ticks, two.ticks)
    assert one.counts.sum() == pytest.approx(300, abs=80)
    assert read_downloads(path, keep=1e-3, seed=3, objects=1).objects == 1


def test_parquet_is_read_where_pyarrow_is(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1")

    with pytest.raises((TraceError, ValueError)):
        read_trace(path)
