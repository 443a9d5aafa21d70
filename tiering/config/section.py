"""What every section of the configuration is built from: the base model and checks of single values."""

import os
import re
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from policies.globs import GlobError, compile_glob

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Section(BaseModel):
    """What all sections share: unknown keys are refused and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def as_list(value: Any) -> Any:
    """Return a single text or number as a list, anything else as it is."""
    return [value] if isinstance(value, str | int) and not isinstance(value, bool) else value


def absolute_path(value: str) -> str:
    """Return *value* normalised; raises ValueError unless it is absolute."""
    if not value.startswith("/"):
        raise ValueError("must be an absolute path")
    if "\0" in value:
        raise ValueError("must not contain a NUL character")
    return os.path.normpath("/" + value.lstrip("/"))


def plain_name(value: str) -> str:
    """Return *value*; raises ValueError unless it is 1-64 letters, digits, dots, dashes and underscores."""
    if not _NAME.fullmatch(value):
        raise ValueError("must be 1 to 64 letters, digits, dots, dashes or underscores")
    return value


def known_timezone(value: str) -> str:
    """Return *value*; raises ValueError unless the machine knows the zone."""
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError('must be a zone like "UTC" or "Europe/Berlin"') from None
    return value


def known_globs(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Return *patterns*; ValueError, in the words of the glob's own refusal, for one that cannot be meant."""
    for pattern in patterns:
        try:
            compile_glob(pattern)
        except GlobError as error:
            raise ValueError(str(error)) from None
    return patterns
