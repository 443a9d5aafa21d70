"""P1 and P4 of buckets in mode ingest: no original goes before the store alone could give it back; cut off anywhere,
the next run ends what was begun.
"""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.cloud.intake import DELETING, body, context, keys, states, stored_bytes, take_in
from tests.cloud.lake import MIB, Killed, Lake
from tests.jobs.rebuilding import lose_catalog, rebuilt
from tiering.catalog import files, objects, segments
from tiering.catalog.values import FileState
from tiering.hot.paths import split
from tiering.jobs.audit import audit
from tiering.jobs.bucket_roots import open_bucket_roots
from tiering.jobs.gc import collect
from tiering.jobs.object_ingest import ingest_bucket
from tiering.jobs.object_return import return_objects
from tiering.jobs.reconcile import reconcile
from tiering.jobs.restore import cat
from tiering.stores.memory import shelf

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("aws_credentials")]
STEPS = (
    *("objects.claimed", "migrate.packed", "migrate.pending", "migrate.uploaded", "objects.read"),
    *("migrate.recipes_uploaded", "objects.recipes", "objects.committed", "segments.pending", "segments.uploaded"),
    *("segments.durable", "objects.proven", "objects.offline", "objects.flushed", "objects.deleted", "objects.booked"),
)
FEW = ("migrate.uploaded", "objects.recipes", "objects.committed", "objects.offline", "objects.deleted")
AFTER_PROOF = STEPS[-4:]


@pytest.fixture
def bucket_rules() -> Sequence[Mapping[str, Any]]:
    """None: everything."""
    return []


@pytest.fixture
def bucket_settings() -> Mapping[str, Any]:
    """Originals go."""
    return DELETING


def killed_at(lake: Lake, step: str, *, owner: str) -> None:
    """Take in, by a process of its own that is cut off at *step*."""

    def stop(name: str) -> None:
        if name == step:
            raise Killed(name)

    lake.scan()
    with pytest.raises(Killed):
        ingest_bucket(context(lake, step=stop, owner=owner), "lake")


def test_p1_an_original_goes_only_when_all_of_it_is_proven_and_durable(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = {"small": os.urandom(5000), "long": os.urandom(9 * MIB)}
    for key, data in written.items():
        body(lake, key, data)
    deleting = lake.app._on_delete
    looked: list[str] = []

    def look_first(request: Any, environ: Any) -> Any:
        if request.key in written and request.bucket == "lake":
            (root,) = open_bucket_roots(lake.lab.catalog)
            with lake.lab.catalog.read() as tx:
                row = files.get(tx, root.root_id, *split(request.key.encode()))
                assert row is not None
                assert row.state is FileState.OFFLINE
                assert row.stored_seq is not None
                assert segments.next_batch(tx) is None, "what was committed is not durable"
                assert row.stored_seq <= segments.durable_through(tx)
            assert stored_bytes(lake, request.key) == written[request.key]
            assert request.header("if-match") == lake.app.objects["lake", request.key].etag
            looked.append(request.key)
        return deleting(request, environ)

    monkeypatch.setattr(lake.app, "_on_delete", look_first)
    assert take_in(lake).originals_deleted == 2
    assert sorted(looked) == ["long", "small"]


@pytest.mark.parametrize("steps", [FEW, pytest.param(STEPS, marks=pytest.mark.heavy)], ids=["a few", "every one"])
def test_p4_a_run_cut_off_at_any_step_loses_nothing_and_the_next_ends_it(lake: Lake, steps: Sequence[str]) -> None:
    written: dict[str, bytes] = {}
    for number, step in enumerate(steps):
        for key, size in ((f"{number}/a", 3000), (f"{number}/b", 1_200_000)):
            written[key] = os.urandom(size)
            body(lake, key, written[key])
        killed_at(lake, step, owner=f"test:{4_000_000 + number}:boot")
        standing = keys(lake)
        reconcile(context(lake))
        for key in (f"{number}/a", f"{number}/b"):
            assert key in standing or stored_bytes(lake, key) == written[key], (step, key)
    report = take_in(lake)
    assert report.exit_code == 0, report
    assert keys(lake) == set()
    assert set(states(lake).values()) == {FileState.OFFLINE}
    for key, data in written.items():
        assert stored_bytes(lake, key) == data, key
    collect(context(lake))
    assert audit(context(lake)).discrepancies == ()
    assert audit(context(lake)).dead_bytes == 0


@pytest.mark.parametrize(
    "step",
    [*AFTER_PROOF[:1], AFTER_PROOF[2], *(pytest.param(step, marks=pytest.mark.heavy) for step in AFTER_PROOF[1::2])],
)
def test_p3_the_store_alone_gives_back_every_object_whose_original_is_gone(lake: Lake, step: str) -> None:
    written = {"a/small": b"text\n" * 900, "long": os.urandom(2 * MIB)}
    for key, data in written.items():
        body(lake, key, data, Metadata={"k": "v"}, ContentType="x/y")
    killed_at(lake, step, owner="test:4000000:boot")
    standing = keys(lake)
    with lose_catalog(lake.lab) as (again, catalog):
        report = rebuilt(again, catalog)
        assert report.problems == []
        lake.lab = again
        assert set(states(lake)) == set(written)
        for key in written.keys() - standing:
            out = io.BytesIO()
            cat(context(lake), f"s3://lake/{key}", out)
            assert out.getvalue() == written[key]
        assert take_in(lake).exit_code == 0
        assert keys(lake) == set()
        assert audit(context(lake)).discrepancies == ()
        with lake.lab.catalog.read() as tx:
            assert objects.by_class(tx, 1) == {"FROSTLINE": (2, sum(map(len, written.values())))}
        assert return_objects(context(lake), "lake", []).objects_returned == 2
        got = lake.client.get_object(Bucket="lake", Key="long")
        assert (got["Body"].read(), got["Metadata"], got["ContentType"]) == (written["long"], {"k": "v"}, "x/y")


def test_p1_a_copy_that_does_not_read_back_keeps_its_original(lake: Lake) -> None:
    body(lake, "k", os.urandom(100_000))
    killed_at(lake, "objects.committed", owner="test:4000000:boot")
    held = shelf(lake.lab.context.tiers["standard"].store.url.removeprefix("memory://")).held
    (pack,) = [key for key in held if key.startswith("packs/")]
    damaged = bytearray(held[pack].body)
    damaged[len(damaged) // 2] ^= 1
    held[pack] = replace(held[pack], body=bytes(damaged))
    report = take_in(lake)
    assert report.originals_deleted == 0
    assert keys(lake) == {"k"}
    assert "hashes" in report.skipped_objects[0][1] or "pack" in report.skipped_objects[0][1]


def test_p1_what_somebody_writes_before_the_deletion_stays(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    body(lake, "k", b"one" * 1000)
    deleting = lake.app._on_delete

    def write_first(request: Any, environ: Any) -> Any:
        if request.key == "k":
            monkeypatch.setattr(lake.app, "_on_delete", deleting)
            lake.client.put_object(Bucket="lake", Key="k", Body=b"two" * 1000)
        return deleting(request, environ)

    lake.scan()
    monkeypatch.setattr(lake.app, "_on_delete", write_first)
    monkeypatch.setattr(lake.app, "_lock", _NoLock())
    report = ingest_bucket(context(lake), "lake")
    assert report.originals_deleted == 0
    assert report.skipped_objects == [("k", "another version stands by now; it stays")]
    assert lake.client.get_object(Bucket="lake", Key="k")["Body"].read() == b"two" * 1000
    assert stored_bytes(lake, "k") == b"one" * 1000


def test_p1_an_object_that_says_something_else_of_itself_by_now_stays(lake: Lake) -> None:
    body(lake, "k", b"one" * 1000)
    killed_at(lake, "objects.committed", owner="test:4000000:boot")
    wait_a_second(lake)
    lake.client.copy_object(
        Bucket="lake", Key="k", CopySource="lake/k", MetadataDirective="REPLACE", Metadata={"new": "word"}
    )
    report = ingest_bucket(context(lake), "lake")
    assert (report.originals_deleted, report.skipped_objects[0][1]) == (0, "another version stands by now; it stays")
    assert take_in(lake).originals_deleted == 1
    return_objects(context(lake), "lake", [])
    assert lake.client.head_object(Bucket="lake", Key="k")["Metadata"] == {"new": "word"}


def wait_a_second(lake: Lake) -> None:
    """Let the server's dates move on: they are whole seconds."""
    before = lake.client.head_object(Bucket="lake", Key="k")["LastModified"]
    while True:
        body(lake, "clock", b"")
        if lake.client.head_object(Bucket="lake", Key="clock")["LastModified"] > before:
            lake.client.delete_object(Bucket="lake", Key="clock")
            return


def test_p1_a_bucket_that_keeps_versions_keeps_its_originals_and_says_what_that_means(lake: Lake) -> None:
    lake.client.put_bucket_versioning(Bucket="lake", VersioningConfiguration={"Status": "Enabled"})
    body(lake, "k", b"one" * 1000)
    report = take_in(lake)
    assert (report.objects_stored, report.originals_deleted) == (1, 0)
    assert "keeps versions (Enabled): a deleted original would stay as a noncurrent version" in report.notes[0]
    assert keys(lake) == {"k"}


def test_p1_a_server_that_ignores_conditions_keeps_its_originals(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    body(lake, "k", b"one" * 1000)
    deleting = lake.app._on_delete

    def careless(request: Any, environ: Any) -> Any:
        environ.pop("HTTP_IF_MATCH", None)
        request.headers.pop("if-match", None)
        return deleting(request, environ)

    monkeypatch.setattr(lake.app, "_on_delete", careless)
    report = take_in(lake)
    assert (report.objects_stored, report.originals_deleted) == (1, 0)
    assert "does not heed If-Match on a deletion" in report.notes[0]
    assert keys(lake) == {"k"}


def test_p1_originals_stay_where_deletion_is_denied_and_are_dual_again(lake: Lake) -> None:
    body(lake, "k", b"one" * 1000)
    lake.app.denied["delete k"] = "AccessDenied"
    with pytest.raises(Exception, match="AccessDenied"):
        take_in(lake)
    assert states(lake) == {"k": FileState.DUAL}
    assert keys(lake) == {"k"}
    lake.app.denied.clear()
    assert take_in(lake).originals_deleted == 1


class _NoLock:
    """Lets the owner write while our request is being answered."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        return None
