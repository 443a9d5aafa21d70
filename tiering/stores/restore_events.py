"""What S3 tells of restores, as it stands in a queue's messages: pure parsing, and the queue as the jobs see it.

Three forms are read: S3's own event notifications, the same inside a message of SNS, and EventBridge's. Sources:
docs.aws.amazon.com, "Event message structure", "Amazon S3 event types", "EventBridge ... Object Restore Completed".
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Protocol
from urllib.parse import unquote_plus

from tiering.clock import NS_PER_S


class News(Enum):
    """What became of a restore."""

    INITIATED = "initiated"
    COMPLETED = "completed"
    EXPIRED = "expired"
    """The readable copy is gone."""


@dataclass(frozen=True, slots=True)
class RestoreEvent:
    """One event. They come late, twice, and in any order."""

    bucket: str
    key: str
    news: News
    at_ns: int
    until_ns: int
    """When the copy goes, of COMPLETED; 0 where the event does not say."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a queue."""

    receipt: str
    """With which it is deleted."""
    events: tuple[RestoreEvent, ...] | None
    """None: nothing that can be read. Empty: of something else, such as the test message of a new notification."""


class EventQueue(Protocol):
    """A queue that is read by one installation alone."""

    url: str

    def receive(self) -> list[Message]:
        """Return up to ten messages, after a second if there are none. They are seen again unless deleted soon.

        Raises store errors.
        """

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages that were received. Raises store errors; then some may come again."""


_S3_NAMES = {
    "ObjectRestore:Post": News.INITIATED,
    "ObjectRestore:Completed": News.COMPLETED,
    "ObjectRestore:Delete": News.EXPIRED,
}
_BRIDGE_NAMES = {
    "Object Restore Initiated": News.INITIATED,
    "Object Restore Completed": News.COMPLETED,
    "Object Restore Expired": News.EXPIRED,
}


def events_in(body: str) -> tuple[RestoreEvent, ...] | None:
    """Return the restore events that a message tells of, others left out; None if it cannot be read."""
    try:
        told = json.loads(body)
        if isinstance(told, dict) and told.get("Type") == "Notification" and "Message" in told:
            told = json.loads(told["Message"])
        if told.get("Event") == "s3:TestEvent":
            return ()
        if "detail-type" in told:
            return _of_bridge(told)
        return tuple(event for record in told["Records"] if (event := _of_record(record)) is not None)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _of_record(record: Any) -> RestoreEvent | None:
    news = _S3_NAMES.get(record["eventName"].removeprefix("s3:"))
    if news is None:
        return None
    data = record.get("glacierEventData", {}).get("restoreEventData", {})
    return RestoreEvent(
        bucket=record["s3"]["bucket"]["name"],
        key=unquote_plus(record["s3"]["object"]["key"]),
        news=news,
        at_ns=_moment(record["eventTime"]),
        until_ns=_moment(data.get("lifecycleRestorationExpiryTime", "")),
    )


def _of_bridge(told: Any) -> tuple[RestoreEvent, ...]:
    news = _BRIDGE_NAMES.get(told["detail-type"])
    if news is None:
        return ()
    detail = told["detail"]
    at_ns, until_ns = _moment(told["time"]), _moment(detail.get("restore-expiry-time", ""))
    return (RestoreEvent(detail["bucket"]["name"], detail["object"]["key"], news, at_ns, until_ns),)


def _moment(text: str) -> int:
    """Return the ns of an ISO 8601 time in UTC; 0 for none. Raises ValueError."""
    if not text:
        return 0
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * NS_PER_S
