"""What every command starts from: the configuration, the output, and an open installation that can be interrupted."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from types import FrameType

import typer

from tiering.app.memory import keep_memory_small
from tiering.app.open import open_context
from tiering.cli import interrupt
from tiering.cli.output import Output
from tiering.cli.progress import open_progress
from tiering.clock import Clock, SystemClock
from tiering.config import Loaded, find_config, load_config
from tiering.errors import UsageError
from tiering.hot.lease import ignore_sigio
from tiering.jobs.context import Context


class Session:
    """One invocation. Handed to commands as typer's `ctx.obj`."""

    def __init__(self, config: str | None, out: Output, clock: Clock, *, command: str = "") -> None:
        """Remember what the command line said; nothing is read yet."""
        self._config = config
        self._command = command
        self.out = out
        self.clock = clock
        self.stop = Event()

    @property
    def config_path(self) -> str:
        """Where the configuration is, or would be written."""
        return find_config(self._config)

    def load(self) -> Loaded:
        """Read the configuration. Raises ConfigError."""
        return load_config(self.config_path)

    @contextmanager
    def looking(self) -> Iterator[Context]:
        """Give the installation for commands that change nothing and ask no store."""
        with self._open(check_owner=False) as context:
            yield context

    @contextmanager
    def reading(self) -> Iterator[Context]:
        """Give the installation for commands that read stores, whose ownership is checked."""
        with self._open(check_owner=True) as context:
            yield context

    @contextmanager
    def _open(self, *, check_owner: bool) -> Iterator[Context]:
        ignore_sigio()
        keep_memory_small()
        config = self.load().config
        progress = open_progress(self.clock, quiet=self.out.as_json)
        with (
            self.interruptible(),
            open_context(
                config,
                clock=self.clock,
                progress=progress,
                stop=self.stop,
                check_owner=check_owner,
                reason=self._command or "requests",
            ) as context,
        ):
            try:
                yield context
            finally:
                progress.finish()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let the first Ctrl-C (or SIGTERM) end the job after the step in hand, and the second end the program."""

        def ask(number: int, frame: FrameType | None) -> None:
            if self.stop.is_set():
                interrupt(number, frame)
            self.stop.set()
            self.out.note("stopping after the step in hand; once more to stop at once")

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.stop.is_set():
            raise KeyboardInterrupt


def open_session(config: str | None, *, as_json: bool, command: str = "") -> Session:
    """Return the session of one invocation of *command*, on the machine's clock."""
    return Session(config, Output(as_json=as_json), SystemClock(), command=command)


def session_of(ctx: typer.Context) -> Session:
    """Return the session of a running command."""
    session = ctx.obj
    assert isinstance(session, Session)
    return session


def needs_yes(session: Session, *, yes: bool, what: str) -> bool:
    """Return *yes*; where it is not given, say that nothing was done and how to do it."""
    if not yes:
        session.out.text(f"nothing was done: add --yes to {what}")
    return yes


def some(paths: Sequence[str], what: str) -> list[str]:
    """Return *paths*; raises UsageError where there are none."""
    if not paths:
        raise UsageError(f"name at least one {what}")
    return list(paths)
