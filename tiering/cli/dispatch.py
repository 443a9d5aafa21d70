"""Finds the command, runs it, and turns every outcome into a documented exit code and, where something is wrong, a
sentence.

Used by tiering.cli.main(). Modules of commands are loaded when called (tiering.cli.commands).
"""

import gc as collector  # tiering.cli.gc is a command
import importlib
import io
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import typer

from tiering.cli import INTERRUPTED, SENTENCE, interrupt, leave, was_interrupted
from tiering.cli.commands import COMMANDS
from tiering.errors import FrostlineError, UsageError

USAGE = """\
Usage: frostline [--config FILE] [--json] COMMAND [ARGS]...

Tier datasets and checkpoints from fast disks to object storage: deduplicated, proven, accounted for.

Options (they may also follow the command):
  --config FILE  else $FROSTLINE_CONFIG, /etc/frostline/frostline.toml, ~/.config/frostline/frostline.toml
  --json         print one JSON document instead of text
  --version      print the version
  --help         this text, or that of a command

Commands:
"""
EXIT_CODES = """
Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 done but some items skipped (listed), 4 waiting on an archive
restore, 10 audit or verification found a discrepancy, 20 integrity error, 75 try again (unreachable, locked),
130 interrupted.
"""


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command line, taken apart."""

    command: str
    """A key of COMMANDS, or "" for the overview."""
    args: tuple[str, ...]
    config: str | None
    as_json: bool
    shows_version: bool = False


def said(arguments: Sequence[str]) -> int:
    """Run one command, with its output written out, and return its exit code."""
    # Paths are bytes: those that are not UTF-8 go out as they came in.
    sys.stderr.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]  # both are TextIOWrappers here
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _Answer.instead_of(sys.stdout)
    try:
        code = run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _mute()  # whoever read our output has seen enough
        code = 1
    except FrostlineError as error:  # of the last words
        code = _say(error.sentence(), error.exit_code)
    return code


class _Answer(io.TextIOWrapper):
    """Standard output, of whose own trouble the sentence says what it is. Raises FrostlineError, BrokenPipeError."""

    @classmethod
    def instead_of(cls, stream: io.TextIOWrapper) -> "_Answer":
        """Take over what *stream* writes to."""
        encoding, buffering, through = stream.encoding, stream.line_buffering, stream.write_through
        buffer = stream.detach()
        return cls(buffer, encoding, "surrogateescape", line_buffering=buffering, write_through=through)

    def write(self, text: str, /) -> int:
        """See TextIOBase."""
        try:
            return super().write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unheard(error) from error

    def flush(self) -> None:
        """See IOBase."""
        try:
            super().flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unheard(error) from error


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; whatever went wrong has been said on stderr."""
    try:
        code = _run(arguments)
    except (KeyboardInterrupt, typer.Abort):
        return _say(SENTENCE, INTERRUPTED)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  # the last line of defence: a bug gets a sentence too
        return _say(SENTENCE, INTERRUPTED) if was_interrupted() else _failed(error, arguments)
    # A library that tries an import swallows what interrupts it, and the command goes on.
    return _say(SENTENCE, INTERRUPTED) if was_interrupted() else code


def _run(arguments: Sequence[str]) -> int:
    invocation = parse(arguments)
    if invocation.shows_version:
        print(f"frostline {_version()}")
        return 0
    if not invocation.command:
        print(overview(), end="")
        return 0 if arguments else UsageError.exit_code
    return _call(invocation)


def _failed(error: Exception, arguments: Sequence[str]) -> int:
    if isinstance(error, FrostlineError):
        return _say(error.sentence(), error.exit_code)
    if isinstance(error, typer.exceptions.TyperException):
        command = parse(arguments).command
        return _say(f"{error.format_message()}\n  next: frostline {command} --help", UsageError.exit_code)
    if isinstance(error, OSError):
        where = f": {error.filename!s}" if error.filename else ""
        return _say(f"{error.strerror or error}{where}", FrostlineError.exit_code)
    return _not_whole(error) if isinstance(error, ImportError) else _bug(error)


def parse(arguments: Sequence[str]) -> Invocation:
    """Take the global options out of *arguments*, wherever they stand before `--`, and find the command.

    Raises UsageError for an unknown command, naming the nearest.
    """
    rest: list[str] = []
    config: str | None = None
    as_json = shows_version = False
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == "--json":
            as_json = True
        elif word == "--config":
            config = next(words, None)
            if config is None:
                raise UsageError("--config needs the path of a file")
        elif word.startswith("--config="):
            config = word.removeprefix("--config=")
        elif word == "--version" and not rest:
            shows_version = True
        else:
            rest.append(word)
    command, args = _command(rest)
    return Invocation(command, tuple(args), config, as_json, shows_version)


def overview() -> str:
    """Return what `frostline --help` prints."""
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name:<{width}}{command.summary}" for name, command in COMMANDS.items()]
    return USAGE + "\n".join(lines) + "\n" + EXIT_CODES


def command_app(name: str) -> typer.Typer:
    """Import the module of the command *name* and return it as a typer application with its examples."""
    module = importlib.import_module(COMMANDS[name].module)
    examples = "".join(f"  {line}\n" for line in module.EXAMPLES)
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name, epilog=f"\b\nExamples:\n{examples}")(module.run)
    return app


def _command(words: list[str]) -> tuple[str, list[str]]:
    if not words or words[0] in {"--help", "-h", "help"}:
        return ("", []) if len(words) < 2 else (*_command(words[1:])[:1], ["--help"])
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            return name, words[length:]
    family = [name for name in COMMANDS if name.startswith(words[0] + " ")]
    if family:
        raise UsageError(f"frostline {words[0]} needs one more word", hint=f"try: frostline {family[0]}")
    if words[0].startswith("-"):
        raise UsageError(f"there is no option {words[0]} before the command", hint="frostline --help")
    raise UsageError(f'there is no command "{words[0]}"', hint=_nearest(words[0]))


def _version() -> str:
    metadata = importlib.import_module("importlib.metadata")  # e-mail parsers and all: not for every command
    return str(metadata.version("frostline"))


def _nearest(word: str) -> str:
    difflib = importlib.import_module("difflib")
    close = difflib.get_close_matches(word, COMMANDS, n=1)
    return f"did you mean: frostline {close[0]}" if close else "frostline --help lists the commands"


def _call(invocation: Invocation) -> int:
    # numpy's BLAS starts a thread a core when it is loaded, which spin while nobody multiplies matrices here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # pydantic looks through every installed package for plugins of others, which have no business with our values.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # What modules make as they are loaded stays: looking through it for garbage is a tenth of the start.
    collector.disable()
    try:
        # Not for --help and --version: the session loads the database library.
        session = importlib.import_module("tiering.cli.session").open_session(
            invocation.config, as_json=invocation.as_json, command=invocation.command
        )
        app = command_app(invocation.command)
    finally:
        collector.freeze()
        collector.enable()
    with _undoing():
        code = app(
            args=list(invocation.args),
            prog_name=f"frostline {invocation.command}",
            standalone_mode=False,
            obj=session,
        )
    if code == INTERRUPTED:  # typer's own answer to Ctrl-C
        raise KeyboardInterrupt
    return int(code or 0)


@contextmanager
def _undoing() -> Iterator[None]:
    """Let Ctrl-C be an exception meanwhile, where main() lets it end the program at once."""
    is_ours = signal.getsignal(signal.SIGINT) is leave
    try:
        if is_ours:
            signal.signal(signal.SIGINT, interrupt)
        yield
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, leave)


def _say(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr)
    return code


def _unheard(error: OSError) -> FrostlineError:
    _mute()
    return FrostlineError(
        f"the answer cannot be written to standard output: {error.strerror}",
        now="what it tells of may be done all the same; frostline status shows how things stand",
        hint="run it again with its output somewhere else",
    )


def _mute() -> None:
    """Let Python not complain as well when it closes standard output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _not_whole(error: ImportError) -> int:
    """Say that a library cannot be loaded, or that a kernel cannot be compiled with what is here."""
    return _say(
        f"a part of this installation cannot be loaded: {error}\n"
        "  now:  every step is made to be cut off here; nothing was released or deleted without proof\n"
        "  next: install frostline again, with all it depends on, numba and llvmlite among it",
        FrostlineError.exit_code,
    )


def _bug(error: Exception) -> int:
    if os.environ.get("FROSTLINE_DEBUG"):
        traceback.print_exc()
    with tempfile.NamedTemporaryFile("w", prefix="frostline-bug-", suffix=".txt", delete=False) as file:
        traceback.print_exception(error, file=file)
    return _say(
        f"this is a bug in frostline: {type(error).__name__}: {error}\n"
        "  now:  every step is made to be cut off here; nothing was released or deleted without proof\n"
        f"  next: frostline reconcile; please report it with {file.name}",
        FrostlineError.exit_code,
    )
