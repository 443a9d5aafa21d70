"""What is printed is safe on a terminal, exact in JSON, and aligned in text."""

import json

import pytest

from tests.cli.recorded import Recorded
from tiering.cli.arguments import parse_deadline, parse_moment
from tiering.cli.job_output import SKIPS_SHOWN, report_json, show_report
from tiering.cli.output import Output
from tiering.cli.progress import LineProgress
from tiering.clock import FakeClock
from tiering.errors import UsageError
from tiering.jobs.reports import JobReport, Skip, Skipped

HOUR_NS = 3600 * 10**9


def test_a_terminal_is_never_obeyed_by_a_file_name(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=False)
    out.is_terminal = True
    out.text("evil\x1b[2Jname\udcff")
    assert capsys.readouterr().out == "evil\\x1b[2Jname\\xff\n"


def test_json_lists_are_streamed_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=True)
    out.json_list(iter([]))
    assert json.loads(capsys.readouterr().out) == []
    out.json_list({"n": number} for number in range(3))
    assert json.loads(capsys.readouterr().out) == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_a_json_document_may_come_in_pieces_and_is_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).json_text(iter(['{"a": [', "1, ", "2]}\n"]))
    assert capsys.readouterr().out == '{"a": [1, 2]}\n'
    Output(as_json=False).json_text(iter(["{}\n"]))
    assert capsys.readouterr().out == ""


def test_a_table_is_aligned_and_may_be_empty() -> None:
    with Recorded() as seen:
        Output(as_json=False).table(("name", "n"), [("a", 5), ("long", 1234)])
        Output(as_json=False).table(("name", "n"), [])
    assert seen.text == "name     n\na        5\nlong  1234\nname  n\n"


def test_a_report_has_the_documented_keys() -> None:
    report = JobReport(files_done=2, files_skipped=(Skipped("/a", "busy"),), bytes_read=10, bytes_stored=5, seconds=1.0)
    shown = report_json(report)
    assert {"files_done", "files_skipped", "bytes_read", "bytes_stored", "seconds"} <= shown.keys()
    assert shown["files_skipped"] == [{"path": "/a", "reason": "busy", "kind": "other"}]


def test_many_skips_are_cut_short_on_a_terminal_only() -> None:
    skipped = tuple(Skipped(f"/{number}", "busy") for number in range(SKIPS_SHOWN + 5))
    with Recorded() as seen:
        show_report(Output(as_json=False), "done", JobReport(files_skipped=skipped))
    assert "and 5 more" in seen.text
    assert len(report_json(JobReport(files_skipped=skipped))["files_skipped"]) == len(skipped)


def test_what_a_report_only_counts_is_told_on_a_terminal_and_in_json() -> None:
    skipped = tuple(Skipped(f"/{number}", "busy", Skip.BUSY) for number in range(SKIPS_SHOWN + 5))
    report = JobReport(files_skipped=skipped, more_skipped={Skip.CHANGED: 40, Skip.BUSY: 2}, more_notes=3)
    with Recorded() as seen:
        show_report(Output(as_json=False), "done", report)
    assert f"left alone: {SKIPS_SHOWN + 47}\n" in seen.text
    assert "and 47 more: --json lists 25 and counts the others by kind" in seen.text
    assert "and 3 more of this kind" in seen.text
    shown = report_json(report)
    assert (len(shown["files_skipped"]), shown["files_skipped_count"]) == (SKIPS_SHOWN + 5, SKIPS_SHOWN + 47)
    assert shown["files_skipped_by_kind"] == {"busy": SKIPS_SHOWN + 7, "changed": 40}
    assert shown["notes_not_listed"] == 3


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock()
    progress = LineProgress(clock)
    progress.start("migrate", total_bytes=100 * 2**20)
    progress.start("migrate")  # the job knows no total; the command's stands
    progress.advance(byte_count=2**20, files=1)
    clock.advance(40)
    progress.advance(byte_count=2**20, files=1)
    progress.advance(byte_count=2**20, files=1)
    progress.finish()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("migrate: 2 files, 2.00 MiB, of 100.00 MiB")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2h", 2 * HOUR_NS), ("1970-01-01T03:00", 3 * HOUR_NS), ("1970-01-01T03:00+01:00", 2 * HOUR_NS)],
)
def test_a_deadline_is_a_duration_or_a_time(text: str, expected: int) -> None:
    assert parse_deadline(text, 0) == expected


def test_a_moment_keeps_its_fraction_of_a_second_and_may_be_long_ago() -> None:
    assert parse_moment("1970-01-01T00:00:01.900001Z") == 1_900_001_000
    assert parse_moment("1969-12-31") == -24 * HOUR_NS


def test_a_deadline_that_is_neither_is_refused() -> None:
    with pytest.raises(UsageError, match="neither a duration nor a time"):
        parse_deadline("tomorrow", 0)
