"""An empty cloud with one bucket, for an installation; every answer is held against botocore's model of S3."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from policies.prices import PriceBook
from tests.cloud.installation import BUCKET, Site
from tests.cloud.model import Checker
from tests.cloud.server import cloud
from tests.cloud.serving import empty_bucket
from tests.jobs.lab import new_clock


@contextmanager
def fresh_site(base: Path, book: PriceBook, **bucket: Any) -> Iterator[Site]:
    """Serve one for an installation in the folder *base*; leaves nothing, for moto's memory outlives its servers.
    *bucket* is said when the bucket is made.
    """
    clock = new_clock()
    with cloud(clock, book) as (server, app):
        server.client().create_bucket(Bucket=BUCKET, **bucket)
        app.watch = checker = Checker()
        yield Site(base, server, app, clock)
        app.watch = None
        app.denied.clear()
        app.keys.states.clear()
        empty_bucket(server, app, clock, BUCKET)
        assert checker.faults == [], checker.faults
