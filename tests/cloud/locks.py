"""Object Lock: retention and legal hold of a version, as S3 reads, says and enforces them.

Source: docs.aws.amazon.com, "Locking objects with Object Lock", "PutObjectRetention".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree

from tests.cloud.answers import NAMESPACE, Refused, moment, text_of
from tests.cloud.wire import Answer, Request
from tiering.clock import NS_PER_S

_MODE, _UNTIL, _HOLD = "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-object-lock-legal-hold"
LOCK_HEADERS = frozenset({_MODE, _UNTIL, _HOLD})


@dataclass(slots=True)
class Lock:
    """Of one version."""

    mode: str = ""
    """GOVERNANCE, COMPLIANCE or "" for no retention."""
    until_ns: int = 0
    hold: bool = False

    def forbids_deletion(self, now_ns: int, *, bypass: bool) -> bool:
        """Whether the version must stay; *bypass* is the right to pass over governance, used."""
        retained = self.mode and now_ns < self.until_ns and not (self.mode == "GOVERNANCE" and bypass)
        return self.hold or bool(retained)

    def retain(self, mode: str, until_ns: int, *, now_ns: int, bypass: bool) -> None:
        """Set the retention; a running one can be made longer, and only governance shortened, by who may."""
        runs = self.mode and now_ns < self.until_ns
        is_weaker = until_ns < self.until_ns or (self.mode == "COMPLIANCE" and mode != self.mode)
        if runs and is_weaker and not (self.mode == "GOVERNANCE" and bypass):
            raise Refused("AccessDenied", "Access Denied because object protected by object lock.")
        self.mode, self.until_ns = mode, until_ns

    def headers(self) -> dict[str, str]:
        """Return what HEAD and GET say of it."""
        said = {_MODE: self.mode, _UNTIL: written(self.until_ns)} if self.mode else {}
        return said | ({_HOLD: "ON"} if self.hold else {})


def asked_for(headers: Mapping[str, str]) -> Lock:
    """Return the lock that a PUT names."""
    until = headers.get(_UNTIL, "")
    return Lock(headers.get(_MODE, ""), read(until) if until else 0, headers.get(_HOLD, "") == "ON")


def bypasses(request: Request) -> bool:
    """Whether it uses the right to pass over governance."""
    return request.header("x-amz-bypass-governance-retention").lower() == "true"


def answer_lock(request: Request, lock: Lock, now_ns: int) -> Answer:
    """Set or read the retention or the legal hold of a version."""
    kind = "retention" if "retention" in request.query else "legal-hold"
    if request.method == "GET":
        body = _document(lock, kind)
        return Answer(200, {"content-type": "application/xml", "content-length": str(len(body))}, body)
    if kind == "legal-hold":
        lock.hold = text_of(request.body, "Status") == "ON"
    else:
        until_ns = read(text_of(request.body, "RetainUntilDate"))
        lock.retain(text_of(request.body, "Mode"), until_ns, now_ns=now_ns, bypass=bypasses(request))
    return Answer(200, {"content-length": "0"}, b"")


def _document(lock: Lock, kind: str) -> bytes:
    """Return the answer to GetObjectRetention ("retention") or GetObjectLegalHold."""
    if kind == "legal-hold":
        root = ElementTree.Element("LegalHold", xmlns=NAMESPACE)
        ElementTree.SubElement(root, "Status").text = "ON" if lock.hold else "OFF"
    elif not lock.mode:
        raise Refused("NoSuchObjectLockConfiguration")
    else:
        root = ElementTree.Element("Retention", xmlns=NAMESPACE)
        ElementTree.SubElement(root, "Mode").text = lock.mode
        ElementTree.SubElement(root, "RetainUntilDate").text = written(lock.until_ns)
    return ElementTree.tostring(root)


def read(text: str) -> int:
    """Return the ns of an ISO 8601 date."""
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()) * NS_PER_S


def written(at_ns: int) -> str:
    """Return it as S3 writes it."""
    return moment(at_ns).strftime("%Y-%m-%dT%H:%M:%S.000Z")
