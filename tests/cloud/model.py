"""The cloud's answers held against botocore's model of S3: what cannot be parsed by it, or is not in it, is a fault.

`Checker` is shown every request and answer (Cloud.watch). It finds the operation of the model that a request is, parses
the answer as botocore does, and compares the elements of the document, and its errors, with the model's shapes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from xml.etree import ElementTree

import botocore.session
from botocore.model import ListShape, OperationModel, StructureShape
from botocore.parsers import ResponseParserError, create_parser

from tests.cloud.wire import Answer, Request

MODEL = botocore.session.get_session().get_service_model("s3")
_PARSER = create_parser("rest-xml")

# Errors that every operation may answer, and KMS's through it. docs.aws.amazon.com, "Error responses" (S3 API): they
# are no shapes of the model, which names few of S3's errors.
EVERYWHERE = frozenset({
    "AccessDenied", "BadDigest", "InternalError", "SlowDown", "InvalidArgument", "InvalidRequest", "PreconditionFailed",
    "NoSuchKey", "NoSuchBucket", "NoSuchUpload", "MethodNotAllowed", "InvalidBucketState", "InvalidRange",
    "KMS.DisabledException", "KMS.KMSInvalidStateException", "KMS.NotFoundException",
})  # fmt: skip
OF_OPERATION = {
    "RestoreObject": {"RestoreAlreadyInProgress", "GlacierExpeditedRetrievalNotAvailable", "InvalidObjectState"},
    "GetObject": {"InvalidObjectState"},
    "CopyObject": {"ObjectNotInActiveTierError"},
    "UploadPartCopy": {"ObjectNotInActiveTierError"},
    "GetBucketLifecycleConfiguration": {"NoSuchLifecycleConfiguration"},
    "GetObjectLockConfiguration": {"ObjectLockConfigurationNotFoundError"},
    "GetBucketReplication": {"ReplicationConfigurationNotFoundError"},
    "GetBucketIntelligentTieringConfiguration": {"NoSuchConfiguration"},
    "GetObjectRetention": {"NoSuchObjectLockConfiguration"},
    "GetBucketOwnershipControls": {"OwnershipControlsNotFoundError"},
    "CreateBucket": {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"},
    "DeleteBucket": {"BucketNotEmpty"},
}


@dataclass(slots=True)
class Checker:
    """Gathers what is not as the model says."""

    faults: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    """Operations that were answered."""

    def __call__(self, request: Request, answer: Answer) -> None:
        """Look at one answer."""
        operation = operation_of(request)
        if operation is None:
            self.faults.append(f"{request.method} {request.query} is no operation of the model")
            return
        self.seen.add(operation.name)
        is_bytes = request.method == "HEAD" or (answer.is_ok and operation.has_streaming_output)
        body = b"" if is_bytes else answer.body
        said = {"status_code": answer.status, "headers": answer.headers, "body": body}
        try:
            parsed = _PARSER.parse(said, operation.output_shape)
        except (ResponseParserError, ValueError, KeyError, TypeError) as error:
            self.faults.append(f"{operation.name}: botocore cannot read the answer: {error!r}")
            return
        if answer.is_ok:
            self.faults += [f"{operation.name}: {fault}" for fault in _strangers(operation, answer)]
        elif request.method != "HEAD":
            code = parsed["Error"]["Code"]
            if code not in EVERYWHERE and code not in OF_OPERATION.get(operation.name, set()):
                self.faults.append(f"{operation.name}: no error {code} is documented for it")


def operation_of(request: Request) -> OperationModel | None:
    """Return the operation whose method, path and required parameters a request has; the most particular of them."""
    found = [
        (len(needed), len(headers), operation.name == "ListObjectsV2", operation)
        for needed, headers, operation in _operations().get((request.method, bool(request.key)), ())
        if needed <= request.query.keys() and headers <= request.headers.keys()
    ]
    return max(found, key=lambda it: it[:3])[3] if found else None


@cache
def _operations() -> dict[tuple[str, bool], list[tuple[set[str], set[str], OperationModel]]]:
    """Return (method, whether about a key) -> operations with the query and headers that they need."""
    found: dict[tuple[str, bool], list[tuple[set[str], set[str], OperationModel]]] = {}
    for operation in map(MODEL.operation_model, MODEL.operation_names):
        path, _, query = operation.http["requestUri"].partition("?")
        if operation.deprecated or "/{Bucket}" not in path:
            continue
        literals = {part.partition("=")[0] for part in query.split("&") if part and not part.startswith("x-id")}
        headers = {header.lower() for header in _required(operation, "header")}
        place = (operation.http["method"], "{Key+}" in path)
        found.setdefault(place, []).append((literals | _required(operation, "querystring"), headers, operation))
    return found


def _required(operation: OperationModel, place: str) -> set[str]:
    shape = operation.input_shape
    if shape is None:
        return set()
    members = ((name, member.serialization) for name, member in shape.members.items())
    wanted = {str(how["name"]) for name, how in members if how.get("location") == place}
    required = {str(shape.members[name].serialization.get("name")) for name in shape.required_members}
    return wanted & required


def _strangers(operation: OperationModel, answer: Answer) -> Iterator[str]:
    """Yield headers and elements that the model does not know."""
    shape = operation.output_shape
    members = shape.members.values() if isinstance(shape, StructureShape) else []
    known = {str(it.serialization["name"]).lower() for it in members if it.serialization.get("location") == "header"}
    for header in answer.headers:
        if header.startswith("x-amz-") and header not in known and not _is_general(header):
            yield f"no header {header}"
    if not answer.body or shape is None or operation.has_streaming_output:
        return
    payload = shape.serialization.get("payload")
    root = ElementTree.fromstring(answer.body)
    yield from _unknown(root, shape.members[payload] if payload else shape)


def _is_general(header: str) -> bool:
    return bool(re.fullmatch(r"x-amz-(request-id|id-2|meta-.*|bucket-region)", header))


def _unknown(element: ElementTree.Element, shape: Any) -> Iterator[str]:
    if not isinstance(shape, StructureShape):
        return
    by_tag: dict[str, Any] = {}
    for name, member in shape.members.items():
        if member.serialization.get("location") is None:
            is_flat = isinstance(member, ListShape) and member.serialization.get("flattened")
            by_tag[str(member.serialization.get("name", name))] = member.member if is_flat else member
    for child in element:
        tag = child.tag.rpartition("}")[2]
        if tag not in by_tag:
            yield f"no element {tag} in {shape.name}"
            continue
        member = by_tag[tag]
        if isinstance(member, ListShape):
            for item in child:
                yield from _unknown(item, member.member)
        else:
            yield from _unknown(child, member)
