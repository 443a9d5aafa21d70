"""A queue of Amazon SQS, or of what speaks its protocol, that tells of restores.

One attempt each: who cannot hear asks the buckets instead, and listens again next time. Every request is counted as
"queue"; those that failed as well.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config as ClientConfig

from tiering.stores.metered import Meter
from tiering.stores.restore_events import Message, events_in
from tiering.stores.s3_errors import Call, translated

BATCH = 10  # messages, at most: docs.aws.amazon.com, ReceiveMessage and DeleteMessageBatch
WAIT_S = 1  # any wait makes SQS look on all of its servers ("long polling"); the daemon comes again by its schedule
_TIMEOUT_S = 10


class SqsQueue:
    """See tiering.stores.restore_events.EventQueue."""

    def __init__(self, client: Any, url: str, meter: Meter) -> None:
        """Keep the *client*; use open_queue()."""
        self.url = url
        self._client = client
        self._meter = meter

    def receive(self) -> list[Message]:
        """See EventQueue."""
        with translated(self._call("receive")):
            self._meter.add("queue")
            answer = self._client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=WAIT_S)
        return [Message(item["ReceiptHandle"], events_in(item["Body"])) for item in answer.get("Messages", [])]

    def delete(self, messages: Sequence[Message]) -> None:
        """See EventQueue."""
        for start in range(0, len(messages), BATCH):
            entries = [
                {"Id": str(number), "ReceiptHandle": message.receipt}
                for number, message in enumerate(messages[start : start + BATCH])
            ]
            with translated(self._call("delete")):
                self._meter.add("queue")
                self._client.delete_message_batch(QueueUrl=self.url, Entries=entries)

    def _call(self, verb: str) -> Call:
        parts = urlsplit(self.url)
        return Call(url=self.url, bucket="", key="messages", verb=verb, endpoint=f"{parts.scheme}://{parts.netloc}")


def open_queue(url: str, *, meter: Meter, profile: str = "") -> SqsQueue:
    """Return the queue at *url*; nothing is sent yet. Credentials as for stores. Raises StoreDenied without them."""
    parts = urlsplit(url)
    words = (parts.hostname or "").split(".")  # sqs.REGION.amazonaws.com
    region = words[1] if len(words) > 3 and words[0] == "sqs" else None
    endpoint = f"{parts.scheme}://{parts.netloc}"
    with translated(Call(url=url, bucket="", key="messages", verb="receive", endpoint=endpoint)):
        session = boto3.Session(profile_name=profile or None, region_name=region)
        client = session.client(
            "sqs",
            endpoint_url=endpoint,
            region_name=session.region_name or "us-east-1",
            config=ClientConfig(
                connect_timeout=_TIMEOUT_S, read_timeout=WAIT_S + _TIMEOUT_S, retries={"total_max_attempts": 1}
            ),
        )
    return SqsQueue(client, url, meter)
