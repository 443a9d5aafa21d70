"""Uploads in parts: each part and the whole verified by the server, completed conditionally, else aborted."""

from collections.abc import Mapping
from typing import Any

from tiering.errors import ChecksumRefused
from tiering.stores.checksum import checksum_of
from tiering.stores.s3_body import Window
from tiering.stores.s3_errors import PROVIDER_ERRORS
from tiering.stores.s3_info import checksum_text


def upload_in_parts(
    client: Any,
    target: dict[str, Any],
    body: Window,
    *,
    part_size: int,
    checksum: str,
    attributes: Mapping[str, Any],
    condition: dict[str, str],
) -> dict[str, Any]:
    """Send *body* in parts of *part_size*; returns the answer to CompleteMultipartUpload.

    *target* is {"Bucket", "Key"}; *attributes* (class, encryption, tags) go with the beginning, *condition* with the
    completion. Whatever is raised, also KeyboardInterrupt,
    the upload is aborted first, so that no parts are left to be billed; only a killed process leaves some, for gc.
    """
    started = client.create_multipart_upload(
        **target, **attributes, ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT"
    )
    upload = {**target, "UploadId": started["UploadId"]}
    try:
        parts = [
            _send(client, upload, number, body.part(start, min(part_size, len(body) - start)))
            for number, start in enumerate(range(0, len(body), part_size), start=1)
        ]
        answer: dict[str, Any] = client.complete_multipart_upload(
            **upload,
            **condition,
            MultipartUpload={"Parts": parts},
            ChecksumCRC64NVME=checksum_text(checksum),
            ChecksumType="FULL_OBJECT",
        )
    except BaseException:
        abort(client, upload)
        raise
    _compare(target, answer, checksum)
    return answer


def _send(client: Any, upload: dict[str, Any], number: int, part: Window) -> dict[str, Any]:
    text = checksum_text(checksum_of(part))
    answer = client.upload_part(
        **upload,
        PartNumber=number,
        Body=part,
        ContentLength=len(part),
        ChecksumAlgorithm="CRC64NVME",
        ChecksumCRC64NVME=text,
    )
    return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC64NVME": text}


def abort(client: Any, upload: dict[str, Any]) -> None:
    """Drop an upload that failed; what cannot be dropped now is listed and aborted by gc."""
    try:
        client.abort_multipart_upload(**upload)
    except PROVIDER_ERRORS:
        pass  # the failure that led here is the one to report


def _compare(target: dict[str, Any], answer: dict[str, Any], checksum: str) -> None:
    reported = answer.get("ChecksumCRC64NVME")
    if reported and answer.get("ChecksumType") == "FULL_OBJECT" and reported != checksum_text(checksum):
        raise ChecksumRefused(
            f"{target['Key']}: the store assembled other bytes than were sent",
            now="the damaged object stands under that key and is referred to by nothing",
            hint="run: frostline gc",
        )
