"""A laboratory whose tiers have prices: S3 classes, served by moto."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from tests.jobs.lab import Lab, open_lab
from tests.stores.servers import S3Server


@contextmanager
def open_priced(base: Path, server: S3Server) -> Iterator[Lab]:
    """Build an installation with two tiers in one bucket, STANDARD (which recipes and segments go to) and STANDARD_IA
    ("rare"); what init asked is not charged. The caller sets the server's credentials.
    """
    bucket = server.bucket(f"b-{uuid4().hex}")
    reach = {"endpoint_url": server.endpoint, "region": "us-east-1", "path_style": True}
    tiers = {
        "standard": {"store": f"s3://{bucket}/std", **reach},
        "rare": {"store": f"s3://{bucket}/ia", "storage_class": "STANDARD_IA", **reach},
    }
    with open_lab(base, tiers=tiers) as opened:
        for tier in opened.context.tiers.values():
            tier.meter.take()
        yield opened
