"""How the daemon is heard: its log, and whom it calls when it needs a person."""

from typing import Literal

from pydantic import Field

from tiering.config.section import Section


class LogsConfig(Section):
    """What the daemon tells the journal."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")
    format: Literal["text", "json"] = Field("text", description="text is key=value; json is one object a line.")


class NotifyConfig(Section):
    """Who is told when the daemon needs a person."""

    command: tuple[str, ...] = Field(
        (),
        description="Program and arguments run on trouble, with one JSON object on its standard input; empty: nobody. "
        "It has 30 seconds and the daemon's rights.",
    )
