"""A report stays small whatever the number of files, and its numbers stay exact."""

from tiering.jobs.reports import NOTES_LISTED, NOTES_MERGED, SKIPS_LISTED, JobReport, Notes, Skip, Skipped, Skips

KINDS = (Skip.CHANGED, Skip.BUSY, Skip.WAITING)


def _skips(count: int, *, named: str = "f") -> Skips:
    skips = Skips()
    for number in range(count):
        skips.add(f"/{named}{number}", "why", KINDS[number % len(KINDS)])
    return skips


def test_the_first_skips_are_listed_in_order_and_the_rest_is_counted_by_kind() -> None:
    report = _skips(SKIPS_LISTED + 301).report()
    assert [item.path for item in report.files_skipped] == [f"/f{number}" for number in range(SKIPS_LISTED)]
    assert report.skipped_count == SKIPS_LISTED + 301
    every = [KINDS[number % len(KINDS)] for number in range(SKIPS_LISTED + 301)]
    assert report.skipped_by_kind == {kind: every.count(kind) for kind in KINDS}
    assert report.exit_code == 3


def test_few_skips_are_all_listed_and_none_is_counted_twice() -> None:
    report = _skips(4).report()
    assert len(report.files_skipped) == report.skipped_count == 4
    assert not report.more_skipped
    assert JobReport().skipped_by_kind == {}
    assert JobReport().exit_code == 0


def test_merged_reports_count_exactly_and_list_no_more_than_one_does() -> None:
    first, second = _skips(SKIPS_LISTED - 1, named="a").report(), _skips(SKIPS_LISTED + 5, named="b").report()
    both = first.merged(second)
    assert both.skipped_count == first.skipped_count + second.skipped_count
    assert [item.path for item in both.files_skipped[-2:]] == [f"/a{SKIPS_LISTED - 2}", "/b0"]
    assert both.skipped_by_kind == {kind: first.skipped_by_kind[kind] + second.skipped_by_kind[kind] for kind in KINDS}
    assert second.merged(first).skipped_count == both.skipped_count
    many = JobReport(files_skipped=tuple(Skipped(f"/{number}", "why") for number in range(SKIPS_LISTED + 7)))
    assert len(many.merged(JobReport()).files_skipped) == SKIPS_LISTED
    assert many.merged(JobReport()).more_skipped == {Skip.OTHER: 7}


def test_a_kind_is_left_out_of_the_list_and_of_the_numbers() -> None:
    report = _skips(SKIPS_LISTED + 30).report()
    rest = report.without(Skip.WAITING)
    assert rest.skipped_count == report.skipped_count - report.skipped_by_kind[Skip.WAITING]
    assert Skip.WAITING not in rest.skipped_by_kind


def test_skips_that_are_only_counted_still_make_the_exit_code() -> None:
    assert JobReport(more_skipped={Skip.BUSY: 1}).exit_code == 3
    assert JobReport(more_skipped={Skip.BUSY: 1}, tickets=(1,)).exit_code == 4


def test_notes_about_files_are_bounded_and_those_about_the_job_always_there() -> None:
    notes = Notes()
    for number in range(NOTES_LISTED + 9):
        notes.add_of_file(f"file {number}")
    notes.add("stopped")
    assert notes.listed[-2:] == [f"file {NOTES_LISTED - 1}", "stopped"]
    assert notes.more == 9
    report = JobReport(notes=tuple(notes.listed), more_notes=notes.more)
    total = report.merged(report).merged(report)
    assert len(total.notes) == NOTES_MERGED
    assert len(total.notes) + total.more_notes == 3 * (NOTES_LISTED + 9 + 1)
