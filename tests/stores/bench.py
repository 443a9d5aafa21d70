"""A store under test beside a raw view of the same objects that does not go through the store."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.stores.servers import S3Server
from tiering.stores.base import Store, Upload
from tiering.stores.checksum import checksum_of
from tiering.stores.memory import Held, Shelf


class Raw(Protocol):
    """What the provider itself holds."""

    def read(self, key: str) -> bytes:
        """The object's bytes."""

    def write(self, key: str, body: bytes) -> None:
        """Put bytes there behind the store's back."""

    def keys(self) -> list[str]:
        """Every key, sorted by its bytes."""

    def begin_upload(self, key: str) -> None:
        """Leave an unfinished upload, as a killed process would."""

    def uploads(self) -> int:
        """How many unfinished uploads there are."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What the conformance suite works on."""

    store: Store
    raw: Raw
    verifies_checksum: bool = True
    archives: bool = False
    orders_by_component: bool = False
    """Lists a/b, a/b/c, a/b-c: "/" sorts first. frostline's own keys sort the same either way."""
    keeps_class: bool = True


class RawMemory:
    """The shelf of a MemoryStore."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def read(self, key: str) -> bytes:
        return self._shelf.held[key].body

    def write(self, key: str, body: bytes) -> None:
        self._shelf.held[key] = Held(body, "STANDARD", checksum_of(body), "raw", 1)

    def keys(self) -> list[str]:
        return sorted(self._shelf.held, key=str.encode)

    def begin_upload(self, key: str) -> None:
        self._shelf.uploads["u1"] = Upload(key, "u1", 1)

    def uploads(self) -> int:
        return len(self._shelf.uploads)


class RawFolder:
    """The directory of a LocalStore."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, key: str) -> bytes:
        return (self._root / key).read_bytes()

    def write(self, key: str, body: bytes) -> None:
        (self._root / key).parent.mkdir(parents=True, exist_ok=True)
        (self._root / key).write_bytes(body)

    def keys(self) -> list[str]:
        paths = (path for path in self._root.rglob("*") if path.is_file() and ".tmp" not in path.parts)
        return sorted((str(path.relative_to(self._root)) for path in paths), key=str.encode)

    def begin_upload(self, key: str) -> None:
        (self._root / ".tmp" / f"00ff.{key.replace('/', '%2F')}").write_bytes(b"half an obj")

    def uploads(self) -> int:
        return len(list((self._root / ".tmp").iterdir()))


class RawBucket:
    """The bucket of an S3Store, by a client of its own."""

    def __init__(self, server: S3Server, bucket: str, prefix: str) -> None:
        self._client: Any = server.client()
        self._bucket = bucket
        self._prefix = prefix

    def read(self, key: str) -> bytes:
        body = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)["Body"]
        with body:
            return bytes(body.read())

    def write(self, key: str, body: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=body)

    def keys(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        found = [item["Key"].removeprefix(self._prefix) for page in pages for item in page.get("Contents", [])]
        return sorted(found, key=str.encode)

    def begin_upload(self, key: str) -> None:
        target = {"Bucket": self._bucket, "Key": self._prefix + key}
        upload = self._client.create_multipart_upload(**target)["UploadId"]
        self._client.upload_part(**target, UploadId=upload, PartNumber=1, Body=b"half an object")

    def uploads(self) -> int:
        found = self._client.list_multipart_uploads(Bucket=self._bucket).get("Uploads", [])
        return sum(item["Key"].startswith(self._prefix) for item in found)
