"""What an object said of itself, kept in its recipe as one attribute, so that it can be put back as it was.

The attribute is JSON: etag, version_id, class, modified_s, headers, metadata, tags. A file restored to a folder carries
it as an extended attribute, where the file system takes it.
"""

import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dedup.values import FileMeta, Recipe
from tiering.clock import NS_PER_S
from tiering.stores.originals import Dress
from tiering.stores.s3_bucket import Look

ATTRIBUTE = b"user.frostline.s3"
MODE = stat.S_IFREG | 0o600
"""Of an object restored to a folder: nobody knows whom its bucket lets read it."""


@dataclass(frozen=True, slots=True)
class Original:
    """The object that a recipe was made from."""

    etag: str
    version_id: str
    storage_class: str
    modified_s: int
    dress: Dress


def meta_of(look: Look, tags: Sequence[tuple[str, str]]) -> FileMeta:
    """Return what a recipe keeps of an object."""
    headers = {name: value for name, value in look.words.items() if name != "Metadata"}
    kept = {
        "etag": look.etag, "version_id": look.version_id, "class": look.storage_class, "modified_s": look.modified_s,
        "headers": {name: _plain(value) for name, value in headers.items()},
        "metadata": dict(look.words.get("Metadata") or {}), "tags": [list(tag) for tag in tags],
    }  # fmt: skip
    at_ns = look.modified_s * NS_PER_S
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    return FileMeta(MODE, os.getuid(), os.getgid(), at_ns, at_ns, ((ATTRIBUTE, text.encode()),))


def original_of(recipe: Recipe) -> Original:
    """Return the object that *recipe* was made from. Raises KeyError for the recipe of a file."""
    kept: Mapping[str, Any] = json.loads(dict(recipe.meta.xattrs)[ATTRIBUTE])
    words: dict[str, Any] = dict(kept["headers"])
    if "Expires" in words:
        words["Expires"] = datetime.fromisoformat(words["Expires"])
    words["Metadata"] = dict(kept["metadata"])
    tags = tuple((name, value) for name, value in kept["tags"])
    dress = Dress(kept["class"], words, tags)
    return Original(kept["etag"], kept["version_id"], kept["class"], kept["modified_s"], dress)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
