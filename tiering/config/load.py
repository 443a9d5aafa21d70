"""Find the configuration, read it, check it, and remember where each value came from."""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tiering.config.models import Config
from tiering.errors import ConfigError

SYSTEM_CONFIG = "/etc/frostline/frostline.toml"
# The one value that may hold a password, and so may come from a credential or an EnvironmentFile instead.
FROM_ENVIRONMENT = {"FROSTLINE_CATALOG_URL": ("catalog", "url")}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and how it came about."""

    config: Config
    path: str
    """The file it was read from."""
    origins: Mapping[str, str]
    """Dotted key of every value set outside the defaults -> "file" or the name of an environment variable."""


def find_config(given: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Return the path of the configuration to use: *given*, $FROSTLINE_CONFIG, the system's, or the user's.

    The last two only where they exist; where none does, the path at which `frostline init` would write one.
    """
    chosen = given or environ.get("FROSTLINE_CONFIG", "")
    if chosen:
        return os.path.abspath(chosen)
    user = user_config(environ)
    for path in (SYSTEM_CONFIG, user):
        if os.path.exists(path):
            return path
    return SYSTEM_CONFIG if os.geteuid() == 0 else user


def user_config(environ: Mapping[str, str]) -> str:
    """Return the place of a user's own configuration."""
    base = environ.get("XDG_CONFIG_HOME", "") or os.path.join(environ.get("HOME", "/"), ".config")
    return os.path.join(base, "frostline", "frostline.toml")


def load_config(path: str, environ: Mapping[str, str] = os.environ) -> Loaded:
    """Read and check the file at *path*. Raises ConfigError; every fault found is in its message."""
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no configuration at {path}",
            hint="frostline init --root PATH --store URL writes one, or name yours with --config",
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    return parse_config(text, path=path, environ=environ)


def parse_config(text: str, *, path: str, environ: Mapping[str, str] = os.environ) -> Loaded:
    """Check the TOML in *text*; *path* is for messages. Raises ConfigError."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", hint="mend that line") from None
    origins = {key: "file" for key, _ in _leaves(raw)}
    for variable, (section, key) in FROM_ENVIRONMENT.items():
        if value := environ.get(variable):
            raw.setdefault(section, {})[key] = value
            origins[f"{section}.{key}"] = variable
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        said = [f"{path}: {_sentence(detail)}" for detail in error.errors()]
        raise ConfigError(
            "\n".join(said), hint="docs/config.md lists every key; frostline config show prints the values"
        ) from None
    return Loaded(config, path, origins)


def explain(error: ValidationError, where: str) -> str:
    """Return one line per fault: *where*, the dotted key, what is wrong, and the value that was given."""
    return "\n".join(f"{where}: {_sentence(detail)}" for detail in error.errors())


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and value and all(isinstance(inner, Mapping) for inner in value):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{prefix}[{number}]")
    else:
        yield prefix, value


def _sentence(detail: ErrorDetails) -> str:
    where = _dotted(detail["loc"])
    kind, message, given = detail["type"], detail["msg"], detail["input"]
    if kind == "extra_forbidden":
        return f"{where}: unknown key{_meant(detail['loc'])}"
    if kind == "missing":
        return f"{where}: missing"
    message = message.removeprefix("Value error, ")
    if not where:
        return message
    if isinstance(given, Mapping) or (kind == "value_error" and not isinstance(given, str | int | float)):
        return f"{where}: {message}"
    shown = f'"{given}"' if isinstance(given, str) else repr(given)
    return f"{where}: {message[0].lower()}{message[1:]} (got {shown})"


def _dotted(location: tuple[int | str, ...]) -> str:
    shown = ""
    for part in location:
        shown += f"[{part}]" if isinstance(part, int) else f".{part}" if shown else part
    return shown


def _meant(location: tuple[int | str, ...]) -> str:
    """Return a suggestion where the unknown key is close to a known one."""
    model: Any = Config
    for part in location[:-1]:
        field = next((info for name, info in model.model_fields.items() if part in {name, info.alias}), None)
        if field is not None:  # else the number of a list or the name of a table: the model stays
            model = _inner_model(field.annotation) or model
    known = [info.alias or name for name, info in model.model_fields.items()]
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f' (did you mean "{close[0]}"?)' if close else ""


def _inner_model(annotation: Any) -> Any:
    """Return the model that an annotation is, or is a collection of."""
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
