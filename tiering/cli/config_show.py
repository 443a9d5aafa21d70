"""`frostline config show`: every value in force, and where it came from."""

import re
from collections.abc import Iterator
from typing import Any

import typer

from tiering.cli.session import session_of
from tiering.config.sample import spelled
from tiering.config.section import Section

EXAMPLES = (
    "frostline config show",
    "frostline --json config show | jq '.values[\"release.park_s\"]'",
)


def run(ctx: typer.Context) -> int:
    """Check the configuration and print every value with its origin: default, file, or an environment variable."""
    session = session_of(ctx)
    loaded = session.load()
    values = dict(_values(loaded.config))
    values["catalog.url"] = spelled("url", without_password(loaded.config.catalog.url))
    rows = [(key, text, loaded.origins.get(key, "default")) for key, text in values.items()]
    session.out.json(
        {"path": loaded.path, "values": {key: {"value": text, "origin": origin} for key, text, origin in rows}}
    )
    session.out.text(f"# {loaded.path}")
    session.out.table(("key", "value", "origin"), rows)
    return 0


def _values(section: Section, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted key as in the file, TOML spelling) of every value."""
    for name, info in type(section).model_fields.items():
        key = f"{prefix}{info.alias or name}"
        yield from _value(key, name, getattr(section, name))


def _value(key: str, name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Section):
        yield from _values(value, f"{key}.")
    elif isinstance(value, dict):
        for inner, section in value.items():
            yield from _value(f"{key}.{inner}", name, section)
    elif isinstance(value, tuple) and value and isinstance(value[0], Section):
        for number, section in enumerate(value):
            yield from _value(f"{key}[{number}]", name, section)
    else:
        yield key, spelled(name, value)


def without_password(url: str) -> str:
    """Return a database URL as it may be shown."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)
