"""What a new object is given beside bytes and class: encryption at rest, and tags for the bill.

Every request that creates an object carries it: PutObject, CreateMultipartUpload and CopyObject, which forgets tags
and encryption unless they are sent again (docs.aws.amazon.com, "Copying objects").
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from tiering.stores.options import StoreOptions


def dress_of(options: StoreOptions) -> Mapping[str, Any]:
    """Return the parameters that PutObject and CreateMultipartUpload need for *options*; empty where none is set."""
    dress: dict[str, Any] = {}
    if options.encryption:
        dress["ServerSideEncryption"] = options.encryption
    if options.encryption == "aws:kms":
        if options.kms_key:
            dress["SSEKMSKeyId"] = options.kms_key
        # One data key per bucket and hour instead of one per object: KMS requests fall by 99 %.
        dress["BucketKeyEnabled"] = options.bucket_key
    if options.tags:
        dress["Tagging"] = urlencode(options.tags)
    return dress


def copied(dress: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same for CopyObject."""
    return {**dress, "TaggingDirective": "REPLACE"} if "Tagging" in dress else dict(dress)
