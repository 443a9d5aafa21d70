"""The systemd drop-in that opens exactly the paths of this installation to the hardened service."""

import os

from tiering.app.placement import local_stores
from tiering.config import Config

DROP_IN = "frostlined.service.d/50-paths.conf"
SYSTEMD_DIR = "/etc/systemd/system"
HOMES = ("/home", "/root", "/run/user")
TEMPS = ("/tmp", "/var/tmp")  # names of places the unit hides, not places to write to


def drop_in(config: Config, config_path: str) -> str:
    """Return the text of the drop-in: ReadWritePaths for roots, local stores and state, and what hides them undone."""
    writable = [
        config.catalog.state_dir,
        *(root.path for root in config.roots if not root.read_only),
        *sorted({path for _, path in local_stores(config)}),
    ]
    lines = [
        "# Written by `frostline init`; run it again after changing roots, local stores or the state folder.",
        "[Service]",
        f"Environment={_quoted(f'FROSTLINE_CONFIG={config_path}')}",
        *(f"ReadWritePaths={_quoted(path)}" for path in writable),
    ]
    everything = [*writable, *(root.path for root in config.roots), config_path]
    if any(_is_below(path, HOMES) for path in everything):
        lines += [
            "# a path lies in a home: homes can be read, and only the paths above written",
            "ProtectHome=read-only",
        ]
    if any(_is_below(path, TEMPS) for path in everything):
        lines += ["# a path lies in /tmp or /var/tmp, which a private one would hide", "PrivateTmp=no"]
    return "\n".join(lines) + "\n"


def write_drop_in(folder: str, text: str) -> str:
    """Write it below *folder* (a systemd unit directory) and return its path."""
    path = os.path.join(folder, DROP_IN)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    temp = path + ".new"
    with open(temp, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temp, path)
    return path


def _is_below(path: str, places: tuple[str, ...]) -> bool:
    return any(path == place or path.startswith(place + "/") for place in places)


def _quoted(text: str) -> str:
    """Quote for a unit file: C escapes inside double quotes, % doubled because it begins a specifier."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
