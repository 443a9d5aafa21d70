"""What `simulate`, `sensitivity` and `tune` have in common: the history they replay, the terms, and where pages go."""

from pathlib import Path

from policies.amounts import say_bytes
from policies.trace import Trace
from tiering.cli.session import Session
from tiering.config.quantities import parse_duration_ns
from tiering.errors import UsageError
from tiering.jobs.simulate import history_in, own_history

NS_PER_DAY = 86_400 * 10**9


def chosen_history(session: Session, trace: Path | None, *, tick: str = "1d") -> Trace:
    """Return the history in the file *trace*, or without one what this installation has recorded (day by day)."""
    tick_days = days_of("--tick", tick)
    if trace is not None:
        return history_in(trace, tick_days=tick_days)
    if tick_days != 1.0:
        raise UsageError("--tick: what is recorded here is recorded by the day; only a --trace has finer ticks")
    with session.looking() as context:
        return own_history(context.catalog)


def said_of(trace: Trace) -> str:
    """Return a history's size in words."""
    return (
        f"{trace.objects:,} objects, {say_bytes(int(trace.sizes.sum()))}, {int(trace.counts.sum()):,} reads "
        f"in {trace.days:,.0f} days"
    )


def days_of(option: str, said: str) -> float:
    """Return a duration in days. Raises UsageError where it is none, or not positive."""
    try:
        days: float = parse_duration_ns(said) / NS_PER_DAY
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
    if days <= 0:
        raise UsageError(f"{option}: must be positive (got {said!r})")
    return days


def write_page(path: Path, page: str) -> None:
    """Write an HTML page to a file. Raises UsageError where that cannot be written."""
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--html: {path} cannot be written: {error.strerror}") from None
