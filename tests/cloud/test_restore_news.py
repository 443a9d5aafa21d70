"""Restores heard of from a queue: nobody is asked, nothing is counted twice, and silence is noticed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import boto3
import pytest
from sqlalchemy import select

from tests.cloud.installation import Site
from tests.jobs.lab import Lab
from tests.jobs.outbound import Killed, StopAt, items, learn
from tests.stores.servers import KEY_ID, SECRET, moto_server
from tests.whole.tree import noise
from tiering.catalog.tables import ledger_entries
from tiering.jobs.advance import advance
from tiering.jobs.migrate import migrate
from tiering.jobs.recall import recall
from tiering.jobs.release import release

pytestmark = pytest.mark.s3
NS = 10**9


@dataclass(slots=True)
class Bell:
    """What S3 does with events: one message for what became of each restore, sent when it happens."""

    client: Any
    url: str
    sent: set[tuple[str, str, int]] = field(default_factory=set)

    def ring(self, site: Site) -> None:
        """Send what has happened since the last time."""
        now_ns = site.clock.now_ns()
        for (bucket, key), stored in site.app.objects.items():
            look = stored.look(now_ns)
            if stored.restore is None or look == "warming":
                continue
            self._once("ObjectRestore:Completed", bucket, key, stored.restore.ready_ns, stored.restore.expires_ns)
            if look == "cold":
                self._once("ObjectRestore:Delete", bucket, key, stored.restore.expires_ns, 0)

    def _once(self, name: str, bucket: str, key: str, at_ns: int, until_ns: int) -> None:
        if (name, key, at_ns) not in self.sent:
            self.sent.add((name, key, at_ns))
            self.send(event(name, bucket, key, at_ns=at_ns, until_ns=until_ns))

    def send(self, body: str) -> None:
        """Put one message into the queue."""
        self.client.send_message(QueueUrl=self.url, MessageBody=body)

    def held(self) -> int:
        """Messages in the queue, those in flight as well."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)


def event(name: str, bucket: str, key: str, *, at_ns: int, until_ns: int = 0) -> str:
    """A message as S3 writes it."""
    data = {"restoreEventData": {"lifecycleRestorationExpiryTime": iso(until_ns)}} if until_ns else {}
    where = {"bucket": {"name": bucket}, "object": {"key": key}}
    record = {"eventName": name, "eventTime": iso(at_ns), "s3": where, "glacierEventData": data}
    return json.dumps({"Records": [record]})


def iso(at_ns: int) -> str:
    """The time as S3 writes it."""
    return datetime.fromtimestamp(at_ns / NS, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@pytest.fixture
def bell(aws_credentials: Any) -> Iterator[Bell]:
    """An empty queue whose messages can be received again at once."""
    with moto_server() as server:
        client = boto3.client(
            "sqs",
            endpoint_url=server.endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
        )
        url = client.create_queue(QueueName=uuid4().hex, Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
        yield Bell(client, url)
        client.close()


def listening(bell: Bell) -> dict[str, Any]:
    """Settings."""
    return {"recall": {"restore_events": [bell.url], "reserve_fraction": 0}}


def send_away(lab: Lab, *names: str) -> None:
    """Put files into the archive, each in a pack of its own, and ask for them."""
    for name in names:
        lab.write(name, noise(ord(name), 100_000))
    learn(lab)
    for name in names:
        migrate(lab.context, items(lab, "archive", [name.encode()]))
    release(lab.context, items(lab, "archive"), wait_parked=True)
    assert recall(lab.context, items(lab, "archive"), reason="asked for", speed="bulk").exit_code == 4


def looks(site: Site) -> int:
    """Requests that only look."""
    return sum(times for (kind, _), times in site.app.bill.requests.items() if kind in {"head", "list"})


def queue_nano(lab: Lab) -> int:
    """What the queue cost, in the ledger."""
    query = select(ledger_entries.c.reason).where(ledger_entries.c.reason.like("restore events: %"))
    with lab.catalog.read() as tx:
        asked = [str(reason).split(": ")[1].split(" ")[0] for reason in tx.conn.execute(query).scalars()]
    return 400 * sum(map(int, asked))


def test_restores_are_heard_of_and_no_pack_is_looked_at(site: Site, bell: Bell) -> None:
    with site.lab(**listening(bell)) as lab:
        send_away(lab, "a", "b")
        bell.send('{"Service": "Amazon S3", "Event": "s3:TestEvent"}')
        before = looks(site)
        site.run(11)
        assert advance(lab.context).files_done == 0
        assert looks(site) == before
        site.run(1)
        bell.ring(site)

        report = advance(lab.context)

        assert (report.files_done, report.tickets) == (2, ())
        assert looks(site) - before == 2  # recall's own, just before it reads
        assert bell.held() == 0
        site.run(20 * 24)
        assert site.differences(lab) == {"requests": queue_nano(lab)}
        assert queue_nano(lab) >= 4 * 400


def test_messages_that_come_twice_late_or_of_others_change_nothing(site: Site, bell: Bell) -> None:
    with site.lab(**listening(bell)) as lab:
        send_away(lab, "a")
        now_ns = site.clock.now_ns()
        (key,) = [key for _, key in site.app.objects if key.startswith("packs/")]
        for _ in range(2):  # of an earlier copy, which went long ago
            bell.send(event("ObjectRestore:Completed", "vault", key, at_ns=now_ns - 9, until_ns=now_ns - 5 * NS))
            bell.send(event("ObjectRestore:Delete", "vault", key, at_ns=now_ns - 5 * NS))
        bell.send(event("ObjectRestore:Completed", "vault", "packs/no/such", at_ns=now_ns, until_ns=now_ns * 2))
        bell.send(event("ObjectRestore:Completed", "elsewhere", key, at_ns=now_ns, until_ns=now_ns * 2))
        assert advance(lab.context).tickets
        assert bell.held() == 0
        site.run(12)
        bell.ring(site)
        bell.sent.clear()
        bell.ring(site)

        assert advance(lab.context).files_done == 1

        site.run(20 * 24)
        assert site.differences(lab) == {"requests": queue_nano(lab)}


def test_what_is_no_event_is_left_in_the_queue_and_said(site: Site, bell: Bell) -> None:
    with site.lab(**listening(bell)) as lab:
        bell.send("an invoice")

        notes = advance(lab.context).notes

        assert any("nothing that S3 sends" in note for note in notes)
        assert bell.held() == 1


def test_p4_a_death_between_catalog_and_queue_hears_the_same_again(site: Site, bell: Bell) -> None:
    with site.lab(**listening(bell)) as lab:
        send_away(lab, "a")
        site.run(12)
        bell.ring(site)
        with pytest.raises(Killed):
            advance(lab.with_steps(StopAt("events.noted")))
        assert bell.held() == 1

        assert advance(lab.context).files_done == 1

        assert bell.held() == 0
        site.run(20 * 24)
        found = site.differences(lab)
        found.pop("requests")  # what was asked by a dead process and not yet booked
        assert found == {}


def test_where_the_queue_fails_the_bucket_is_asked(site: Site, bell: Bell) -> None:
    with site.lab(**listening(bell)) as lab:
        send_away(lab, "a")
        bell.client.delete_queue(QueueUrl=bell.url)
        site.run(12)

        report = advance(lab.context)

        assert report.files_done == 1
        assert any("the buckets are asked instead" in note for note in report.notes)


def test_a_restore_that_is_due_and_not_heard_of_is_asked_about(site: Site, bell: Bell) -> None:
    with site.lab(**listening(bell)) as lab:
        send_away(lab, "a")
        site.run(12.2)
        assert advance(lab.context).files_done == 0
        site.run(0.1)
        assert advance(lab.context).files_done == 1
