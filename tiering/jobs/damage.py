"""Says which files damaged bytes kept a job from that did everything else. Used by restore and recall."""

from tiering.errors import IntegrityError
from tiering.jobs.reports import JobReport, Skip

NAMED = 10


def naming_files(error: IntegrityError, report: JobReport) -> IntegrityError:
    """Return *error*, the first of its kind, as one that names the first files that *report* says could not be read
    from the store, and how many are done.
    """
    left = [item.path for item in report.files_skipped if item.kind is Skip.UNREADABLE]
    more = report.skipped_by_kind.get(Skip.UNREADABLE, 0) - len(left[:NAMED])
    named = ", ".join(left[:NAMED]) + (f" and {more:,} more" if more else "")
    parts = [error.now, f"without {named}" if named else "", f"files done: {report.files_done:,}"]
    return IntegrityError(error.what, now="; ".join(filter(None, parts)), hint=error.hint)
