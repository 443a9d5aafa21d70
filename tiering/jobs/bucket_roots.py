"""The buckets whose objects are stored like files, as open roots. Known from the catalog, so that what is stored can be
read also when its bucket is configured no more.
"""

from dataclasses import replace

from tiering.catalog import roots as root_rows
from tiering.catalog.accounts import CARE
from tiering.catalog.open import Catalog
from tiering.config import Config
from tiering.jobs.context import OpenRoot

SCHEME = "s3://"


def open_bucket_roots(catalog: Catalog) -> tuple[OpenRoot, ...]:
    """Return every bucket that has, or had, an object stored."""
    with catalog.read() as tx:
        rows = [row for row in root_rows.all_roots(tx) if row.name.startswith(CARE)]
    return tuple(OpenRoot(row.root_id, row.name, row.path, "") for row in rows)


def short(root: OpenRoot) -> OpenRoot:
    """Return the root under the bucket's own name, as a folder would bear it."""
    return replace(root, name=root.name.removeprefix(CARE))


def url_of(config: Config, path: str) -> str:
    """Return *path* as the URL of an object where it is one, or NAME/KEY of a bucket in mode ingest; else ""."""
    if path.startswith(SCHEME):
        return path
    name, slash, key = path.partition("/")
    for bucket in config.buckets:
        if bucket.mode == "ingest" and bucket.name == name:
            return bucket.url.rstrip("/") + slash + key
    return ""
