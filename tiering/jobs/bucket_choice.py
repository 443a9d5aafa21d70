"""Finds a bucket under care in the configuration. Apart from tiering.jobs.bucket_care, which brings boto3 along."""

from tiering.config.bucket import BucketConfig
from tiering.errors import UsageError
from tiering.jobs.context import Context


def bucket_config(ctx: Context, name: str) -> BucketConfig:
    """Return the configuration of a bucket; raises UsageError naming those there are."""
    for config in ctx.config.buckets:
        if config.name == name:
            return config
    known = ", ".join(config.name for config in ctx.config.buckets) or "none is configured"
    raise UsageError(f'there is no bucket "{name}" under care', hint=f"choose one of [[buckets]]: {known}")
