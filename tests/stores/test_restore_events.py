"""What S3 says of restores is read in all its forms, and nothing else is taken for it."""

import json

import pytest

from tiering.stores.restore_events import News, RestoreEvent, events_in

AT_NS = 1_800_000_000 * 10**9  # 2027-01-15T08:00:00Z


def record(name: str, **more: object) -> dict[str, object]:
    """One record as S3 writes it."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2027-01-15T08:00:00.000Z",
        "eventName": name,
        "s3": {"bucket": {"name": "vault"}, "object": {"key": "packs/3f/a+b%2Bc.pack", "size": 7}},
        **more,
    }


DONE = record(
    "ObjectRestore:Completed",
    glacierEventData={
        "restoreEventData": {
            "lifecycleRestorationExpiryTime": "2027-01-23T00:00:00.000Z",
            "lifecycleRestoreStorageClass": "GLACIER",
        }
    },
)
COMPLETED = RestoreEvent("vault", "packs/3f/a b+c.pack", News.COMPLETED, AT_NS, AT_NS + (7 * 24 + 16) * 3600 * 10**9)


def test_the_records_of_a_notification() -> None:
    body = json.dumps({"Records": [DONE, record("ObjectRestore:Post"), record("ObjectRestore:Delete")]})
    found = events_in(body)
    assert found is not None
    assert found[0] == COMPLETED
    assert [event.news for event in found] == [News.COMPLETED, News.INITIATED, News.EXPIRED]


def test_the_same_inside_a_message_of_sns() -> None:
    body = json.dumps({"Type": "Notification", "Message": json.dumps({"Records": [DONE]})})
    assert events_in(body) == (COMPLETED,)


def test_what_eventbridge_sends() -> None:
    told = {
        "detail-type": "Object Restore Completed",
        "time": "2027-01-15T08:00:00Z",
        "detail": {
            "bucket": {"name": "vault"},
            "object": {"key": "packs/3f/a b+c.pack"},
            "restore-expiry-time": "2027-01-23T00:00:00Z",
            "source-storage-class": "GLACIER",
        },
    }
    assert events_in(json.dumps(told)) == (COMPLETED,)


@pytest.mark.parametrize(
    "body",
    [
        '{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "vault"}',
        json.dumps({"Records": [record("ObjectCreated:Put")]}),
        json.dumps({"detail-type": "Object Created", "detail": {}}),
    ],
)
def test_what_is_about_something_else_is_read_and_says_nothing(body: str) -> None:
    assert events_in(body) == ()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        '"text"',
        "{}",
        '{"Records": [{"eventName": "ObjectRestore:Completed"}]}',
        json.dumps({"Records": [{**DONE, "eventTime": "yesterday"}]}),
        '{"Records": 7}',
        '{"Type": "Notification", "Message": "hello"}',
    ],
)
def test_what_cannot_be_read_is_left(body: str) -> None:
    assert events_in(body) is None
