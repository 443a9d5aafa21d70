"""What a bucket of the cloud is set to: versions, locks, lifecycle, replication, archive access tiers.

Configurations are kept as they were sent and given back so; those that mean something here are read as well.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from xml.etree import ElementTree

from policies.cooling import ArchiveDays
from tests.cloud import lifecycle
from tests.cloud.answers import NAMESPACE, Refused, text_of
from tests.cloud.lifecycle import Rule
from tests.cloud.locks import Lock
from tests.cloud.wire import Answer, Request
from tiering.clock import NS_PER_DAY

# Sub-resource -> what S3 answers where it is not set.
SETTINGS = {
    "lifecycle": "NoSuchLifecycleConfiguration",
    "object-lock": "ObjectLockConfigurationNotFoundError",
    "replication": "ReplicationConfigurationNotFoundError",
    "intelligent-tiering": "NoSuchConfiguration",
}


@dataclass(slots=True)
class BucketSettings:
    """Of one bucket."""

    is_versioned: bool = False
    can_lock: bool = False
    rules: tuple[Rule, ...] = ()
    archiving: dict[str, tuple[str, ArchiveDays]] = field(default_factory=dict)
    """Configuration -> (prefix, after how many days)."""
    retention: tuple[str, int] = ("", 0)
    """Mode and length in ns that new versions get."""
    raw: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """(sub-resource, id) -> document."""

    def archive_days(self, key: str) -> ArchiveDays:
        """Return when an object of Intelligent-Tiering is archived here."""
        return next((days for prefix, days in self.archiving.values() if key.startswith(prefix)), ArchiveDays())

    def default_lock(self, now_ns: int) -> Lock:
        """Return the lock of a new version that names none."""
        mode, length_ns = self.retention
        return Lock(mode, now_ns + length_ns if mode else 0)


def answer(request: Request, name: str, settings: BucketSettings) -> Answer:
    """Set, read or drop the setting *name* of the request's bucket."""
    place = (name, request.query.get("id", ""))
    if request.method == "PUT":
        _SET.get(name, _nothing)(settings, request)
        settings.raw[place] = request.body
        return Answer(200, {"content-length": "0"}, b"")
    if request.method == "DELETE":
        settings.raw.pop(place, None)
        if name == "lifecycle":
            settings.rules = ()
        settings.archiving.pop(place[1], None)
        return Answer(204, {}, b"")
    if name == "intelligent-tiering" and "id" not in request.query:
        return _xml(_listed(settings))
    if place not in settings.raw:
        raise Refused(SETTINGS[name])
    return _xml(settings.raw[place])


def _xml(body: bytes) -> Answer:
    return Answer(200, {"content-type": "application/xml", "content-length": str(len(body))}, body)


def _listed(settings: BucketSettings) -> bytes:
    root = ElementTree.Element("ListBucketIntelligentTieringConfigurationsOutput", xmlns=NAMESPACE)
    ElementTree.SubElement(root, "IsTruncated").text = "false"
    for (name, _), body in settings.raw.items():
        if name == "intelligent-tiering":
            element = ElementTree.fromstring(body)
            element.tag = "IntelligentTieringConfiguration"
            for child in element.iter():
                child.tag = child.tag.rpartition("}")[2]
            root.append(element)
    return ElementTree.tostring(root)


def _nothing(settings: BucketSettings, request: Request) -> None:
    pass


def _lifecycle(settings: BucketSettings, request: Request) -> None:
    settings.rules = lifecycle.parse(request.body)


def _object_lock(settings: BucketSettings, request: Request) -> None:
    if not settings.is_versioned:
        said = "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
        raise Refused("InvalidBucketState", said)
    settings.can_lock = True
    days = int(text_of(request.body, "Days") or 0) + 365 * int(text_of(request.body, "Years") or 0)
    settings.retention = (text_of(request.body, "Mode"), days * NS_PER_DAY)


def _replication(settings: BucketSettings, request: Request) -> None:
    if not settings.is_versioned:
        said = "Versioning must be 'Enabled' on the bucket to apply a replication configuration"
        raise Refused("InvalidRequest", said)


def _archiving(settings: BucketSettings, request: Request) -> None:
    root = ElementTree.fromstring(request.body)
    days = {"ARCHIVE_ACCESS": 0, "DEEP_ARCHIVE_ACCESS": 0}
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    for tier in root.iter("Tiering"):
        name, wanted = tier.findtext("AccessTier") or "", int(tier.findtext("Days") or 0)
        if name not in days or not {"ARCHIVE_ACCESS": 90, "DEEP_ARCHIVE_ACCESS": 180}[name] <= wanted <= 730:
            raise Refused("InvalidArgument", f"{name} after {wanted} days is not offered")
        days[name] = wanted
    if root.findtext("Status") == "Enabled":
        found = ArchiveDays(days["ARCHIVE_ACCESS"], days["DEEP_ARCHIVE_ACCESS"])
        settings.archiving[request.query["id"]] = (text_of(request.body, "Prefix"), found)
    else:
        settings.archiving.pop(request.query["id"], None)


_SET: dict[str, Callable[[BucketSettings, Request], None]] = {
    "lifecycle": _lifecycle,
    "object-lock": _object_lock,
    "replication": _replication,
    "intelligent-tiering": _archiving,
}
