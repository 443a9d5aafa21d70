"""Restores: the part of S3 that takes hours."""

from typing import Any

from tiering.stores.base import ObjectInfo, Readability
from tiering.stores.s3_errors import code_of


def request_restore(client: Any, bucket: str, key: str, *, info: ObjectInfo, days: int, speed: str) -> Readability:
    """Send RestoreObject; returns WARMING, WARM or INSTANT. *info* is the object's head.

    The speed of a running restore can be raised, never lowered: a request that would lower it changes nothing.
    """
    order: dict[str, Any] = {"GlacierJobParameters": {"Tier": speed.capitalize()}}
    if info.storage_class != "INTELLIGENT_TIERING":  # its archive tiers move back for good, and refuse Days
        order["Days"] = days
    try:
        answer = client.restore_object(Bucket=bucket, Key=key, RestoreRequest=order)
    except client.exceptions.ClientError as error:
        if code_of(error) == "RestoreAlreadyInProgress":
            return Readability.WARMING
        if code_of(error) == "InvalidObjectState":  # not archived (any more)
            return Readability.INSTANT
        raise
    # 202: accepted; 200: a restored copy is there and its expiry has been moved.
    return Readability.WARM if answer["ResponseMetadata"]["HTTPStatusCode"] == 200 else Readability.WARMING
