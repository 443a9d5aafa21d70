"""What stands in the cloud and is billed: objects, old versions, delete markers, parts; and how it ages by itself.

moto keeps the bytes and the listings; what lifecycle rules do by the test's clock is done to its objects as well.
"""

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import TypeVar

from moto.s3.models import FakeKey, S3Backend, s3_backends

from policies.cooling import steps
from tests.cloud import lifecycle
from tests.cloud.meter import Bill
from tests.cloud.objects import ARCHIVED, StoredObject, midnight_after
from tests.cloud.settings import BucketSettings
from tiering.clock import NS_PER_DAY, Clock

K = TypeVar("K")
Place = tuple[str, str]
Version = tuple[str, str, str]
_ACCOUNT = "123456789012"


@dataclass(slots=True)
class Upload:
    """A multipart upload that is not finished."""

    place: Place
    storage_class: str
    begun_ns: int
    billed_to_ns: int
    kms_key: str = ""
    parts: dict[int, bytes] = field(default_factory=dict)
    copied: dict[int, int] = field(default_factory=dict)
    """Part -> bytes, of those copied from another object."""

    @property
    def size(self) -> int:
        """Bytes of its parts."""
        return sum(map(len, self.parts.values())) + sum(self.copied.values())


@dataclass(slots=True)
class Marker:
    """A delete marker."""

    billed_to_ns: int


class Vault:
    """The books of everything that stands."""

    def __init__(self, clock: Clock, bill: Bill) -> None:
        """Start empty."""
        self.clock = clock
        self.bill = bill
        self.objects: dict[Place, StoredObject] = {}
        self.noncurrent: dict[Version, StoredObject] = {}
        self.markers: dict[Version, Marker] = {}
        self.uploads: dict[str, Upload] = {}
        self.settings: dict[str, BucketSettings] = {}

    def of(self, bucket: str) -> BucketSettings:
        """Return what a bucket is set to."""
        return self.settings.setdefault(bucket, BucketSettings())

    def version(self, bucket: str) -> None:
        """Let moto keep versions in a bucket that was made with locks."""
        _backend().put_bucket_versioning(bucket, "Enabled")

    def store(self, place: Place, stored: StoredObject) -> None:
        """Put *stored* in place; what was there is an old version now, or gone."""
        if stored.version_id:
            self.hide(place)
        else:
            self.end(place)
        self._fit(place, stored)
        self.objects[place] = stored

    def hide(self, place: Place) -> None:
        """Make the current version an old one."""
        stored = self.objects.pop(place, None)
        if stored is not None:
            now_ns = self.clock.now_ns()
            self.bill.hold(stored, now_ns)
            stored.noncurrent_ns = now_ns
            self.noncurrent[(*place, stored.version_id)] = stored

    def end(self, place: Place) -> None:
        """Let the current version go for good."""
        self._gone(self.objects, place)

    def mark(self, place: Place, version_id: str) -> None:
        """Hide the current version behind a delete marker."""
        self.hide(place)
        self.markers[(*place, version_id)] = Marker(self.clock.now_ns())

    def end_version(self, place: Place, version_id: str) -> None:
        """Let one version, or marker, go for good; the newest of those left is the current one."""
        version = (*place, version_id)
        marker = self.markers.pop(version, None)
        if marker is not None:
            self.bill.marker(len(place[1].encode()), self.clock.now_ns() - marker.billed_to_ns)
        self._gone(self.noncurrent, version)
        if place in self.objects and self.objects[place].version_id == version_id:
            self.end(place)
        newest = _backend().get_object(place[0], place[1])
        if isinstance(newest, FakeKey) and place not in self.objects:
            again = self.noncurrent.pop((*place, str(newest.version_id)), None)
            if again is not None:
                self.bill.hold(again, self.clock.now_ns())
                again.noncurrent_ns = 0
                self.objects[place] = again

    def read(self, stored: StoredObject) -> None:
        """Note that an object was read: one of Intelligent-Tiering is warm from now on."""
        if stored.ladder:
            self.bill.hold(stored, self.clock.now_ns())
            stored.warm_ns = self.clock.now_ns()

    def refit(self, bucket: str) -> None:
        """Let a bucket's objects follow a change of its archive access tiers from now on."""
        for place, stored in self._of_bucket(bucket):
            self.bill.hold(stored, self.clock.now_ns())
            self._fit(place, stored)

    def settle(self) -> Bill:
        """Let rules act that are due, and bill all that stands up to now."""
        now_ns = self.clock.now_ns()
        self.age()
        for stored in (*self.objects.values(), *self.noncurrent.values()):
            self.bill.hold(stored, now_ns)
        for (_, key, _), marker in self.markers.items():
            self.bill.marker(len(key.encode()), now_ns - marker.billed_to_ns)
            marker.billed_to_ns = now_ns
        for upload in self.uploads.values():
            self.hold_upload(upload)
        return self.bill

    def hold_upload(self, upload: Upload, until_ns: int | None = None) -> None:
        """Bill the parts of an upload."""
        until_ns = self.clock.now_ns() if until_ns is None else until_ns
        self.bill.debris(upload.size, part_class(upload.storage_class), until_ns - upload.billed_to_ns)
        upload.billed_to_ns = until_ns

    def age(self) -> None:
        """Do what lifecycle rules have had to do until now, in the order of its time."""
        now_ns = self.clock.now_ns()
        for bucket in [name for name, settings in self.settings.items() if settings.rules]:
            for place, stored in list(self._of_bucket(bucket)):
                while self._next(place, stored, now_ns):
                    pass
            self._abort_old(bucket, now_ns)

    def _next(self, place: Place, stored: StoredObject, now_ns: int) -> bool:
        """Do the next thing that is due to an object; False when there is none, or it is gone."""
        settings = self.of(place[0])
        due = lifecycle.due(settings.rules, place[1], stored)
        if due is None or due.at_ns > now_ns:
            return False
        at_ns = max(due.at_ns, stored.billed_to_ns)
        self.bill.hold(stored, at_ns)
        if not due.storage_class:
            return self._expire(place, stored, at_ns)
        self.bill.transition(due.storage_class)
        self.bill.leave(stored, at_ns)
        stored.storage_class, stored.since_ns, stored.restore, stored.warm_ns = due.storage_class, at_ns, None, at_ns
        self._fit(place, stored)
        _key(place, stored.version_id).set_storage_class(due.storage_class)
        return True

    def _expire(self, place: Place, stored: StoredObject, at_ns: int) -> bool:
        if stored.lock.forbids_deletion(at_ns, bypass=False) and stored.noncurrent_ns:
            return False
        if stored.noncurrent_ns:
            self._gone(self.noncurrent, (*place, stored.version_id), at_ns)
            _backend().delete_object(*place, version_id=stored.version_id)
        elif stored.version_id:
            _, said = _backend().delete_object(*place)
            self.mark(place, said["version-id"])
        else:
            self._gone(self.objects, place, at_ns)
            _backend().delete_object(*place)
        return False

    def _abort_old(self, bucket: str, now_ns: int) -> None:
        for rule in self.of(bucket).rules:
            for upload_id, upload in list(self.uploads.items()):
                if rule.abort_days is None or upload.place[0] != bucket or not upload.place[1].startswith(rule.prefix):
                    continue
                at_ns = midnight_after(upload.begun_ns + rule.abort_days * NS_PER_DAY)
                if at_ns <= now_ns:
                    self.hold_upload(upload, at_ns)
                    del self.uploads[upload_id]
                    _backend().abort_multipart_upload(bucket, upload_id)

    def _of_bucket(self, bucket: str) -> Iterator[tuple[Place, StoredObject]]:
        yield from [(place, stored) for place, stored in self.objects.items() if place[0] == bucket]
        yield from [((name, key), stored) for (name, key, _), stored in self.noncurrent.items() if name == bucket]

    def _fit(self, place: Place, stored: StoredObject) -> None:
        price = self.bill.book.price(stored.storage_class)
        stored.ladder = steps(price, self.of(place[0]).archive_days(place[1])) if price.access_tiers else ()

    def _gone(self, held: MutableMapping[K, StoredObject], key: K, at_ns: int | None = None) -> None:
        stored = held.pop(key, None)
        if stored is not None:
            at_ns = self.clock.now_ns() if at_ns is None else at_ns
            self.bill.hold(stored, at_ns)
            self.bill.leave(stored, at_ns)


def part_class(storage_class: str) -> str:
    """Return the class at whose price parts and the beginning of an upload are billed."""
    return "STANDARD" if storage_class in ARCHIVED else storage_class


def _backend() -> S3Backend:
    return s3_backends[_ACCOUNT]["aws"]


def _key(place: Place, version_id: str) -> FakeKey:
    found = _backend().get_object(*place, version_id=version_id or None)
    assert isinstance(found, FakeKey)
    return found
