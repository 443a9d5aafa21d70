"""What the operator decided: read from one TOML file, checked, explained.

Used by tiering.app, by jobs (through the Context) and by the command line. Knows no store, catalog or tree; checks that
need them are in tiering.app. The models are values: nothing here changes after loading.
"""

from tiering.config.load import Loaded, find_config, load_config, parse_config
from tiering.config.models import Config
from tiering.config.rule import RuleConfig
from tiering.config.sections import (
    PlaceholderKind,
    RootConfig,
    TierConfig,
)

__all__ = [
    "Config",
    "Loaded",
    "PlaceholderKind",
    "RootConfig",
    "RuleConfig",
    "TierConfig",
    "find_config",
    "load_config",
    "parse_config",
]
