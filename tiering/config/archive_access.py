"""What a tier may say of the archive access tiers of INTELLIGENT_TIERING, which the bucket's own configuration sets."""

COOLS = "INTELLIGENT_TIERING"
EARLIEST_DAYS = 90
EARLIEST_DEEP_DAYS = 180
# docs.aws.amazon.com, "PutBucketIntelligentTieringConfiguration": at least these, at most 730.


def check_archive_access(storage_class: str, days: int, deep_days: int) -> None:
    """Raise ValueError for days (0: none) that S3 would not take, or for another class."""
    if (days or deep_days) and storage_class != COOLS:
        raise ValueError("archive_access_days: only objects of INTELLIGENT_TIERING have access tiers")
    if 0 < days < EARLIEST_DAYS or 0 < deep_days < EARLIEST_DEEP_DAYS:
        raise ValueError(f"S3 archives after {EARLIEST_DAYS} days at the earliest, deeply after {EARLIEST_DEEP_DAYS}")
    if days and deep_days and deep_days <= days:
        raise ValueError("deep_archive_access_days: must be more than archive_access_days")
