"""Writes the configuration file that init was asked for: a new one, or one more root in the one there is."""

import errno
import os
import re
import secrets
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pydantic import ValidationError

from tiering.app.stores import open_tier_store
from tiering.clock import Clock
from tiering.config import Config, Loaded, parse_config
from tiering.config.load import explain
from tiering.config.sample import render_config, render_root
from tiering.config.sections import RootConfig, TierConfig
from tiering.errors import ConfigError, ObjectMissing, StoreDenied, StoreError, StoreUnavailable, UsageError
from tiering.stores import ownership
from tiering.stores.probe import probe

SYSTEM_STATE = "/var/lib/frostline"
STANDARD, ARCHIVE = "standard", "archive"
ARCHIVE_CLASS = "GLACIER"
"""Readable within hours at the standard speed; DEEP_ARCHIVE is cheaper and takes half a day: the operator's choice."""


@dataclass(frozen=True, slots=True)
class InitRequest:
    """What `frostline init` was told."""

    roots: tuple[str, ...]
    """Paths, made absolute."""
    store: str
    """"" only where a configuration exists."""
    state_dir: str
    read_only: bool = False
    endpoint_url: str = ""
    region: str = ""
    profile: str = ""
    path_style: bool = False
    archive_class: str = ""
    """Class of an archive tier on the same store; "" for none."""
    catalog_url: str = ""
    """Database of the catalog, without a password; "" is SQLite in the state folder."""


def new_config(request: InitRequest) -> Config:
    """Return the configuration that *request* describes, everything else at its default. Raises ConfigError."""
    tier: dict[str, object] = {
        "store": request.store,
        "endpoint_url": request.endpoint_url,
        "region": request.region,
        "profile": request.profile,
        "path_style": request.path_style,
    }
    tiers = {STANDARD: tier}
    if request.archive_class:
        tiers[ARCHIVE] = {**tier, "storage_class": request.archive_class}
    catalog = request.catalog_url or f"sqlite:///{os.path.join(request.state_dir, 'catalog.db')}"
    try:
        return Config.model_validate(
            {
                "catalog": {"url": catalog, "state_dir": request.state_dir},
                "roots": [root.model_dump() for root in new_roots(request, ())],
                "tiers": tiers,
            }
        )
    except ValidationError as error:
        raise ConfigError(explain(error, "init"), now="nothing was created or changed") from None


def without_password(url: str) -> str:
    """Return the URL of a database as it may stand in a file."""
    return re.sub(r"^([\w+]+://[^:@/]*):[^@/]*@", r"\1@", url)


def new_roots(request: InitRequest, known: Sequence[RootConfig]) -> list[RootConfig]:
    """Return the roots of *request* that are not among *known* by path, under names that are free."""
    added: list[RootConfig] = []
    for path in request.roots:
        try:
            path.encode("utf-8")
        except UnicodeEncodeError:
            shown = path.encode("utf-8", "backslashreplace").decode()
            raise UsageError(
                f"the path of the root {shown} is not UTF-8 text",
                now="nothing was created or changed",
                hint="paths below a root may be any bytes; its own path must be text: use a bind mount or a symlink",
            ) from None
        taken = {root.name for root in (*known, *added)}
        if path not in {root.path for root in (*known, *added)}:
            added.append(RootConfig(name=_free_name(path, taken), path=path, read_only=request.read_only))
    return added


def extend(loaded: Loaded, request: InitRequest) -> tuple[str, Config]:
    """Return the text of the configuration file with the roots of *request* added at its end, and its value."""
    with open(loaded.path, encoding="utf-8") as file:
        text = file.read()
    for root in new_roots(request, loaded.config.roots):
        text = text.rstrip("\n") + "\n\n" + render_root(root)
    return text, parse_config(text, path=loaded.path).config


def check_config_place(path: str) -> None:
    """Make the folder of the file; raise ConfigError where the file could not be written there."""
    folder = os.path.dirname(os.path.realpath(path))
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):  # capabilities count
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise ConfigError(
            f"the configuration cannot be written to {path}: {error.strerror}",
            now="nothing was created or changed",
            hint="name another place with --config, or run this as a user who may write there",
        ) from error


def write_config(path: str, text: str) -> None:
    """Write the file durably, whole or not at all, where check_config_place() has been.

    A new one is kept from other users. One that is replaced keeps its mode, owner and group, and the link to it, if it
    stands elsewhere.
    """
    path = os.path.realpath(path)
    temp = f"{path}.{secrets.token_hex(4)}.new"
    before = os.stat(path) if os.path.exists(path) else None
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    try:
        with open(fd, "w", encoding="utf-8") as file:
            if before is not None:
                with suppress(PermissionError):  # not root: then it is ours now
                    os.fchown(fd, before.st_uid, before.st_gid)
                os.fchmod(fd, stat.S_IMODE(before.st_mode))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temp, path)
    except BaseException:
        os.unlink(temp)
        raise
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def config_text(config: Config) -> str:
    """Return the complete, commented text of a new configuration."""
    return render_config(config)


def archive_class_of(config: Config, *, clock: Clock) -> str:
    """Return ARCHIVE_CLASS where the first tier's store was seen to archive objects and restore them; else "".

    Asks with real requests (see tiering.stores.probe), and only a store that nobody owns.
    """
    tier: TierConfig = next(iter(config.tiers.values()))
    if not tier.store.startswith("s3://"):
        return ""
    store = open_tier_store(tier, clock=clock, create=True)
    try:
        ownership.read(store)
    except ObjectMissing:
        pass
    else:
        return ""
    try:
        seen = probe(store, storage_classes=[ARCHIVE_CLASS], nonce=secrets.token_hex(8))
    except (StoreUnavailable, StoreDenied):
        raise
    except StoreError:
        return ""
    return ARCHIVE_CLASS if seen.archives and seen.keeps_class else ""


def default_state_dir(environ: Mapping[str, str] = os.environ) -> str:
    """Return where the state goes unless told: the system's place for root, the user's for others."""
    if os.geteuid() == 0:
        return SYSTEM_STATE
    base = environ.get("XDG_STATE_HOME", "") or os.path.join(environ.get("HOME", "/"), ".local", "state")
    return os.path.join(base, "frostline")


def _free_name(path: str, taken: set[str]) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", os.path.basename(path)).strip("-._")[:48] or "root"
    names = (plain, *(f"{plain}-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)
