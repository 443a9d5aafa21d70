"""One HTTP request to S3, read; and what its body must agree with."""

import base64
import hashlib
import io
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

from awscrt import checksums

from tests.cloud.answers import Refused

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Request:
    """A path-style request."""

    method: str
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def is_copy(self) -> bool:
        """Whether its bytes come from another object."""
        return "x-amz-copy-source" in self.headers

    @property
    def source(self) -> tuple[str, str]:
        """(bucket, key) of a copy's source."""
        bucket, _, key = unquote(self.headers["x-amz-copy-source"]).lstrip("/").partition("/")
        return bucket, key.partition("?")[0]

    def header(self, name: str, default: str = "") -> str:
        """Return a header's value."""
        return self.headers.get(name, default)


@dataclass(slots=True)
class Answer:
    """What goes back."""

    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def is_ok(self) -> bool:
        """Whether the request did what it says."""
        return 200 <= self.status < 300


def read_request(environ: Environ) -> Request:
    """Return the request in a WSGI environ; its body is read whole."""
    bucket, _, key = environ["PATH_INFO"].encode("latin-1").decode().lstrip("/").partition("/")
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"], keep_blank_values=True).items()}
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name in {"CONTENT_TYPE", "CONTENT_LENGTH"}
    }
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return Request(environ["REQUEST_METHOD"], bucket, key, query, headers, body)


def forward(app: Application, environ: Environ, body: bytes) -> Answer:
    """Ask *app* the same with *body*; return its answer whole."""
    said: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]], _info: Any = None) -> Any:
        said["status"] = int(status.split(maxsplit=1)[0])
        said["headers"] = {name.lower(): value for name, value in headers}

    changed = environ | {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    parts = app(changed, start_response)
    try:
        answered = b"".join(parts)
    finally:
        close = getattr(parts, "close", None)
        if close:
            close()
    return Answer(said["status"], said["headers"], answered)


def check_body(request: Request, body: bytes) -> None:
    """Refuse a body that is not the one a checksum header promises (BadDigest). AWS does; moto does not."""
    for name, compute in _CHECKSUMS.items():
        promised = request.header(name)
        if promised and base64.b64decode(promised) != compute(body):
            raise Refused("BadDigest")


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


_CHECKSUMS: dict[str, Callable[[bytes], bytes]] = {
    "x-amz-checksum-crc64nvme": lambda data: checksums.crc64nvme(data).to_bytes(8, "big"),
    "x-amz-checksum-crc32c": lambda data: checksums.crc32c(data).to_bytes(4, "big"),
    "x-amz-checksum-crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "x-amz-checksum-sha256": lambda data: hashlib.sha256(data).digest(),
    "content-md5": _md5,
}
