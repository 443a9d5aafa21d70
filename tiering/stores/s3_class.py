"""Class changes: an object moved between prices by a copy onto itself, inside the provider.

CopyObject stops at 5 GB; larger objects are copied in parts, which re-send what a multipart upload does not take over:
metadata, encryption and tags. Both are conditional on the version that was looked at.
"""

from collections.abc import Mapping
from typing import Any

from tiering.stores.base import ObjectInfo
from tiering.stores.options import COPY_PART_BYTES
from tiering.stores.s3_dress import copied
from tiering.stores.s3_upload import abort


def change_class(
    client: Any, target: dict[str, str], *, info: ObjectInfo, storage_class: str, dress: Mapping[str, Any]
) -> None:
    """Copy *target* ({"Bucket", "Key"}) onto itself in one request, provided it is still the version of *info*."""
    client.copy_object(
        **target,
        **copied(dress),
        CopySource=target,
        CopySourceIfMatch=info.etag,
        StorageClass=storage_class,
        MetadataDirective="REPLACE",  # some servers refuse a copy onto itself that seems to change nothing
        ChecksumAlgorithm="CRC64NVME",
    )


def change_class_in_parts(
    client: Any,
    target: dict[str, str],
    *,
    info: ObjectInfo,
    attributes: Mapping[str, Any],
    part_bytes: int = COPY_PART_BYTES,
) -> None:
    """Copy *target* onto itself in parts of *part_bytes*; *attributes* are class, encryption and tags.

    The object changes at the completion, which is conditional on the version of *info*. Whatever is raised, the
    upload is aborted first; only a killed process leaves one, for gc.
    """
    metadata = client.head_object(**target).get("Metadata", {})
    started = client.create_multipart_upload(
        **target, **attributes, Metadata=metadata, ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT"
    )
    upload = {**target, "UploadId": started["UploadId"]}
    try:
        parts = []
        for number, start in enumerate(range(0, info.size_bytes, part_bytes), start=1):
            end = min(start + part_bytes, info.size_bytes) - 1
            answer = client.upload_part_copy(
                **upload,
                PartNumber=number,
                CopySource=target,
                CopySourceRange=f"bytes={start}-{end}",
                CopySourceIfMatch=info.etag,
            )["CopyPartResult"]
            part = {"PartNumber": number, "ETag": answer["ETag"]}
            if answer.get("ChecksumCRC64NVME"):
                part["ChecksumCRC64NVME"] = answer["ChecksumCRC64NVME"]
            parts.append(part)
        client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, IfMatch=info.etag)
    except BaseException:
        abort(client, upload)
        raise
