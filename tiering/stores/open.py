"""Opens a store by its URL, with its wrappers: the one function that knows how many there are and in which order.

    provider -> metered (every attempt is billed) -> limit (waiting is not retried) -> retry -> read-only, if asked for

URLs: file:///dir, memory://name (this process, for tests), s3://bucket/prefix?endpoint_url=...&region=...&path_style=1.
sign_payload=0 leaves uploads over plain http unsigned: for a network that nobody else is on.
"""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, unquote, urlsplit

from tiering.clock import Clock
from tiering.errors import ConfigError
from tiering.stores.base import Store
from tiering.stores.keys import check_key
from tiering.stores.limit import limited
from tiering.stores.local import open_local
from tiering.stores.memory import MemoryStore
from tiering.stores.metered import Meter, metered
from tiering.stores.options import SMALLEST_PART_BYTES, StoreOptions
from tiering.stores.readonly import read_only as without_changes
from tiering.stores.retry import retrying

_TEXT_OPTIONS = frozenset({"endpoint_url", "region", "profile"})
_TRUTHS = frozenset({"path_style", "sign_payload"})
_TRUE = frozenset({"1", "true", "yes"})


def open_store(
    url: str,
    *,
    options: StoreOptions,
    clock: Clock,
    meter: Meter | None = None,
    read_only: bool = False,
    create: bool = False,
) -> Store:
    """Return the store at *url*, ready for use by many threads. Nothing needs closing.

    *create* makes a local store's directory (for init; without it a missing one is StoreUnavailable). An S3 store is
    not contacted yet. Raises ConfigError for a URL that cannot be meant, StoreUnavailable, StoreDenied, NoSpace.
    """
    store, part_size = open_provider(url, options=options, clock=clock, create=create and not read_only)
    store = metered(store, meter=meter or Meter(), part_size=part_size, clock=clock)
    store = limited(
        store,
        max_concurrency=options.max_concurrency,
        bandwidth_bytes_per_s=options.bandwidth_bytes_per_s,
        clock=clock,
    )
    store = retrying(store, clock=clock, deadline_s=options.deadline_s)
    return without_changes(store) if read_only else store


def open_provider(url: str, *, options: StoreOptions, clock: Clock, create: bool = False) -> tuple[Store, int]:
    """Return the bare store at *url*, and above which size it sends an object in parts (0: never)."""
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise ConfigError(
            f"the store {parts.scheme}://{parts.hostname} has credentials in its URL",
            now="they were not used",
            hint="put them into the environment (AWS_ACCESS_KEY_ID ...) or a profile, and out of this URL",
        )
    if parts.scheme == "file":
        return open_local(_folder(url), create=create), 0
    if parts.scheme == "memory" and parts.netloc:
        return MemoryStore(parts.netloc + parts.path, clock=clock), 0
    if parts.scheme == "s3" and parts.netloc:
        chosen = _s3_options(url, options)
        prefix = unquote(parts.path).strip("/")
        if prefix:
            check_key(prefix)
        # boto3 takes a third of a second to load: only who has an S3 store pays for it.
        open_s3 = import_module("tiering.stores.s3").open_s3
        return cast(Store, open_s3(parts.netloc, prefix + "/" if prefix else "", chosen)), chosen.part_size
    raise ConfigError(
        f'"{url}" is not a store',
        now="nothing was opened",
        hint="a store is file:///absolute/directory or s3://bucket/prefix",
    )


def _folder(url: str) -> Path:
    parts = urlsplit(url)
    folder = Path(unquote(parts.path))
    if parts.netloc not in {"", "localhost"} or not folder.is_absolute() or folder == Path("/") or ".." in folder.parts:
        raise ConfigError(
            f'"{url}" does not name an absolute directory of this machine',
            now="nothing was opened",
            hint="write file:///srv/frostline (three slashes), without ..",
        )
    return folder


def _s3_options(url: str, options: StoreOptions) -> StoreOptions:
    for name, value in parse_qsl(urlsplit(url).query):
        if name in _TEXT_OPTIONS:
            options = replace(options, **{name: value})  # type: ignore[arg-type]  # the names are checked above
        elif name in _TRUTHS:
            options = replace(options, **{name: value.lower() in _TRUE})  # type: ignore[arg-type]  # checked as above
        else:
            known = ", ".join(sorted(_TEXT_OPTIONS | _TRUTHS))
            raise ConfigError(f'the store "{url}" has an unknown option "{name}"', hint=f"known are: {known}")
    if options.part_size < SMALLEST_PART_BYTES or options.max_concurrency < 1:
        raise ConfigError(f"{url}: parts must be at least 5 MiB and max_concurrency at least 1")
    return options
