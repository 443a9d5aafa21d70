"""S3's error answers and the parts of its XML that the fake writes itself."""

from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from xml.etree import ElementTree

from tiering.clock import NS_PER_S

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

# Code -> (status, message), as botocore's model and S3's "Error responses" page name them.
ERRORS = {
    "InvalidObjectState": (403, "The operation is not valid for the object's storage class"),
    "ObjectNotInActiveTierError": (403, "The source object of the COPY action is not in the active tier"),
    "RestoreAlreadyInProgress": (409, "Object restore is already in progress"),
    "GlacierExpeditedRetrievalNotAvailable": (503, "Glacier expedited retrievals are currently not available"),
    "PreconditionFailed": (412, "At least one of the pre-conditions you specified did not hold"),
    "InvalidArgument": (400, "Invalid argument"),
    "BadDigest": (400, "The checksum you specified did not match what we received"),
    "SlowDown": (503, "Please reduce your request rate."),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "AccessDenied": (403, "Access Denied"),
    "KMS.DisabledException": (400, "The ciphertext refers to a customer master key that is disabled."),
    "KMS.KMSInvalidStateException": (400, "The key is pending deletion."),
    "KMS.NotFoundException": (400, "The key does not exist."),
    "NoSuchKey": (404, "The specified key does not exist."),
    "InvalidRequest": (400, "Invalid Request"),
    "InvalidBucketState": (409, "The request is not valid with the current state of the bucket."),
    "NoSuchLifecycleConfiguration": (404, "The lifecycle configuration does not exist"),
    "ObjectLockConfigurationNotFoundError": (404, "Object Lock configuration does not exist for this bucket"),
    "ReplicationConfigurationNotFoundError": (404, "The replication configuration was not found"),
    "NoSuchConfiguration": (404, "The specified configuration does not exist."),
    "NoSuchObjectLockConfiguration": (404, "The specified object does not have a ObjectLock configuration"),
}


class Refused(Exception):
    """A request that S3 answers with an error."""

    def __init__(self, code: str, message: str = "") -> None:
        """Keep S3's code; *message* replaces the usual one."""
        super().__init__(code)
        self.code = code
        self.status, usual = ERRORS[code]
        self.message = message or usual

    def body(self) -> bytes:
        """Return the answer's XML."""
        root = ElementTree.Element("Error")
        ElementTree.SubElement(root, "Code").text = self.code
        ElementTree.SubElement(root, "Message").text = self.message
        ElementTree.SubElement(root, "RequestId").text = "frostline-test"
        return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root)


def moment(at_ns: int) -> datetime:
    """Return *at_ns* as a datetime in UTC."""
    return datetime.fromtimestamp(at_ns // NS_PER_S, UTC)


def restore_header(look: str, expires_ns: int) -> str:
    """Return the value of x-amz-restore; "" for an object that has none."""
    if look == "warming":
        return 'ongoing-request="true"'
    if look == "warm":
        return f'ongoing-request="false", expiry-date="{format_datetime(moment(expires_ns), usegmt=True)}"'
    return ""


def with_restore_status(listing: bytes, states: Iterable[tuple[str, str, int]]) -> bytes:
    """Return a ListObjectsV2 answer with the RestoreStatus of (key, look, expiry) for those that have one."""
    known = {key: (look, expires_ns) for key, look, expires_ns in states}
    ElementTree.register_namespace("", NAMESPACE)
    root = ElementTree.fromstring(listing)
    for item in root.iter(f"{{{NAMESPACE}}}Contents"):
        look, expires_ns = known.get(item.findtext(f"{{{NAMESPACE}}}Key") or "", ("", 0))
        if look not in {"warming", "warm"}:
            continue
        status = ElementTree.SubElement(item, f"{{{NAMESPACE}}}RestoreStatus")
        ongoing = ElementTree.SubElement(status, f"{{{NAMESPACE}}}IsRestoreInProgress")
        ongoing.text = "true" if look == "warming" else "false"
        if look == "warm":
            expiry = ElementTree.SubElement(status, f"{{{NAMESPACE}}}RestoreExpiryDate")
            expiry.text = moment(expires_ns).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root)


def text_of(body: bytes, tag: str) -> str:
    """Return the text of the first element *tag* in an S3 document, whatever its namespace."""
    for element in ElementTree.fromstring(body).iter():
        if element.tag.rpartition("}")[2] == tag:
            return element.text or ""
    return ""
