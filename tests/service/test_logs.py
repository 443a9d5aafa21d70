"""Log lines stay one line, in both formats, and notifications reach the operator's command."""

import io
import json
import logging
import os
import sys
from pathlib import Path

import pytest

from tiering.logs import Log, open_log
from tiering.notify import CommandNotifier


def test_text_is_one_line_with_a_priority_for_journald() -> None:
    out = io.StringIO()
    open_log(stream=out).error("duty_failed", what='a "quoted"\nthing', count=3)
    assert out.getvalue() == '<3>duty_failed what="a \\"quoted\\"\\nthing" count=3\n'


def test_json_is_one_object_a_line_with_the_traceback_inside() -> None:
    out = io.StringIO()
    log = open_log(format="json", stream=out)
    try:
        1 // 0  # noqa: B018  # raises
    except ZeroDivisionError as error:
        log.bug("bug", error, path="/x")
    line = json.loads(out.getvalue())
    assert (line["event"], line["level"], line["path"]) == ("bug", "error", "/x")
    assert "ZeroDivisionError" in line["traceback"]


def test_less_than_the_level_is_not_written() -> None:
    out = io.StringIO()
    open_log(level="warning", stream=out).info("quiet")
    assert out.getvalue() == ""


def test_what_libraries_say_is_an_event_like_any_other() -> None:
    out = io.StringIO()
    open_log(stream=io.StringIO())
    open_log(format="json", stream=out)
    logging.getLogger("botocore.somewhere").warning("it is %s\nin the %s", "late", "evening")
    logging.getLogger("botocore.somewhere").info("never mind")
    assert json.loads(out.getvalue()) == {
        "event": "library", "level": "warning", "logger": "botocore.somewhere", "what": "it is late\nin the evening",
    }  # fmt: skip


@pytest.mark.parametrize(("is_journal", "first"), [(True, "<4>{"), (False, '{"')])
def test_json_tells_the_journal_its_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_journal: bool, first: str
) -> None:
    with (tmp_path / "log").open("w") as out:
        status = os.fstat(out.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino if is_journal else 1}")
        open_log(format="json", stream=out).warning("odd")
    assert (tmp_path / "log").read_text().startswith(first)


def record(to: Path) -> tuple[str, ...]:
    """A command that keeps what it is told."""
    return (sys.executable, "-c", f"import sys; open({str(to)!r}, 'w').write(sys.stdin.read())")


def quiet() -> tuple[Log, io.StringIO]:
    """A log and what was written to it."""
    out = io.StringIO()
    return open_log(stream=out), out


def test_a_notification_is_one_json_object_on_stdin(tmp_path: Path) -> None:
    log, out = quiet()
    CommandNotifier(record(tmp_path / "told"), log).tell("gc_failed", "what", now="now", hint="next")
    told = json.loads((tmp_path / "told").read_text())
    assert {key: told[key] for key in ("event", "what", "now", "next")} == {
        "event": "gc_failed", "what": "what", "now": "now", "next": "next",
    }  # fmt: skip
    assert out.getvalue() == ""


def test_a_failing_or_missing_command_is_logged_and_raises_nothing() -> None:
    log, out = quiet()
    CommandNotifier(("/nonexistent/frostline-test",), log).tell("e", "w")
    CommandNotifier((sys.executable, "-c", "raise SystemExit(3)"), log).tell("e", "w")
    CommandNotifier((), log).tell("e", "w")
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert "exit_code=3" in lines[1]
