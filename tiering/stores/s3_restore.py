"""Restores and class changes: the part of S3 that takes hours, or moves an object between prices."""

from typing import Any

from tiering.errors import StoreError
from tiering.stores.base import ObjectInfo, Readability
from tiering.stores.s3_errors import code_of

_ONE_COPY_BYTES = 5 * 2**30  # CopyObject's limit


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


def change_class(client: Any, bucket: str, key: str, *, info: ObjectInfo, storage_class: str) -> None:
    """Copy *key* onto itself with another class, provided it is still the version of *info*."""
    if info.size_bytes > _ONE_COPY_BYTES:
        raise StoreError(
            f"{key} has {info.size_bytes} bytes; a class change in one request stops at 5 GiB",
            now="it stays in its class",
            hint="lower chunking.pack_bytes",
        )
    client.copy_object(
        Bucket=bucket,
        Key=key,
        CopySource={"Bucket": bucket, "Key": key},
        CopySourceIfMatch=info.etag,
        StorageClass=storage_class,
        MetadataDirective="REPLACE",  # some servers refuse a copy onto itself that seems to change nothing
        ChecksumAlgorithm="CRC64NVME",
    )
