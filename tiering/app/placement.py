"""Whether roots, stores and state may stand where the configuration puts them.

Paths only (resolved through symlinks): a store that is scanned as data, or data that is deleted as debris, must be
impossible before anything is opened.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from tiering.catalog.values import RootRow
from tiering.config import Config, RootConfig
from tiering.errors import ConfigError, UsageError

UNTOUCHED = "nothing was created or changed"


@dataclass(frozen=True, slots=True)
class Place:
    """A directory with a role."""

    role: str
    """As in a sentence: "root data"."""
    path: str
    """As configured."""
    real: str
    """With symlinks resolved, as far as it exists."""


def check_placement(config: Config) -> None:
    """Raise ConfigError, naming both places, where roots, local stores and the state overlap in a harmful way.

    Roots may neither contain each other nor a store nor the state, and may not lie in a store or in the state.
    """
    roots = [_place(f"root {root.name}", root.path) for root in config.roots]
    stores = [_place(f"store of tier {name}", path) for name, path in local_stores(config)]
    state = _place("state folder", config.catalog.state_dir)
    for number, root in enumerate(roots):
        for other in roots[number + 1 :]:
            _refuse_overlap(root, other)
        for place in (*stores, state):
            _refuse_overlap(root, place)
    for store in stores:
        if _is_within(state.real, store.real):
            raise _overlap(state, store)
    check_roots_exist(config)


def check_target(config: Config, folder: str) -> None:
    """Raise UsageError where copies may not be put: in a store or in the state, or where a file stands."""
    now = "nothing was copied"
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise UsageError(f"{folder} is not a folder", now=now, hint="name a folder, or one that is to be made")
    target = _place("folder to copy into", folder)
    places = [_place(f"store of tier {name}", path) for name, path in local_stores(config)]
    for place in (*places, _place("state folder", config.catalog.state_dir)):
        if _is_within(target.real, place.real):
            raise UsageError(f"{folder} lies in the {place.role} ({place.path})", now=now, hint="name another folder")


def check_roots_exist(config: Config) -> None:
    """Raise ConfigError for a root that is not a directory. An unmounted mount point is one; its marker tells."""
    for root in config.roots:
        if os.path.lexists(root.path) and not os.path.isdir(root.path):
            raise ConfigError(f"the root {root.path} is not a directory", now=UNTOUCHED)


def refuse_new_name(root: RootConfig, known: Iterable[RootRow]) -> None:
    """Raise ConfigError where the catalog knows the path of *root* under another name."""
    for row in known:
        if row.path == root.path_bytes and row.name != root.name:
            raise ConfigError(
                f"root {root.name} ({root.path}) is known to the catalog as {row.name}",
                now="nothing was read or written there",
                hint=f'write name = "{row.name}" in [[roots]]: a root keeps its name, it stands in every record',
            )


def local_stores(config: Config) -> Iterable[tuple[str, str]]:
    """Yield (tier, directory) of every store in a directory of this machine."""
    for name, tier in config.tiers.items():
        if tier.store.startswith("file://"):
            yield name, unquote(urlsplit(tier.store).path)


def _place(role: str, path: str) -> Place:
    return Place(role, path, os.path.realpath(path))


def _refuse_overlap(first: Place, second: Place) -> None:
    if _is_within(first.real, second.real):
        raise _overlap(first, second)
    if _is_within(second.real, first.real):
        raise _overlap(second, first)


def _overlap(inner: Place, outer: Place) -> ConfigError:
    relation = "is the same folder as" if inner.real == outer.real else "lies inside"
    return ConfigError(
        f"the {inner.role} ({inner.path}) {relation} the {outer.role} ({outer.path})",
        now=UNTOUCHED,
        hint="give each a folder outside the other",
    )


def _is_within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(outer.rstrip("/") + "/")
