"""Hints from people and schedulers: files that are needed soon, or must stay, until a moment.

Any *.toml in the drop-in folder is read at every plan; EXAMPLE is one.
"""

import os
import tomllib
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from tiering.clock import NS_PER_S
from tiering.config.load import explain
from tiering.config.models import Config
from tiering.config.policy import Hint
from tiering.config.section import Section, as_list, known_globs
from tiering.errors import ConfigError

MAX_BYTES = 1 << 20
EXAMPLE = """\
[[hints]]
match = ["runs/exp7/**"]       # globs on the path below the root, as in a rule
root = ["data"]                # names of roots; without it: all
until = 2026-03-01T08:00:00Z   # without it: as long as the file is there
reason = "exp7 resumes on Monday"
"""


class _HintEntry(Section):
    match: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field(min_length=1)
    root: Annotated[tuple[str, ...], BeforeValidator(as_list)] = ()
    until: datetime | None = None
    reason: str = "resume imminent"

    @field_validator("match")
    @classmethod
    def _globs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return known_globs(value)


class _HintFile(Section):
    hints: tuple[_HintEntry, ...] = ()


def read_hints(config: Config, now_ns: int) -> tuple[Hint, ...]:
    """Return the hints in force, by file name and order; none where the folder is not there.

    A file that cannot be understood raises ConfigError naming it: what somebody wanted kept is not guessed.
    """
    folder = config.planning.hints_dir or os.path.join(config.catalog.state_dir, "hints.d")
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".toml"))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigError(f"the hints in {folder} cannot be read: {error.strerror}") from error
    return tuple(hint for name in names for hint in _of_file(os.path.join(folder, name), now_ns))


def _of_file(path: str, now_ns: int) -> list[Hint]:
    try:
        with open(path, "rb") as source:
            parsed = _HintFile.model_validate(tomllib.loads(source.read(MAX_BYTES).decode("utf-8")))
    except OSError as error:
        raise ConfigError(f"the hints {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigError(explain(error, path), hint="mend or remove the file; docs/config.md#hints") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not TOML: {error}", hint="mend or remove the file") from None
    name = os.path.basename(path)
    return [
        Hint(f"hint:{name}:{number}", entry.match, entry.root, entry.reason)
        for number, entry in enumerate(parsed.hints, start=1)
        if entry.until is None or _ns(entry.until) > now_ns
    ]


def _ns(moment: datetime) -> int:
    """Return a moment in ns; one without a zone is UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(aware.timestamp()) * NS_PER_S
