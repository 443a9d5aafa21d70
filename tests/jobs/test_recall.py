"""recall brings files back exactly, verified, and never over anything but their own placeholder."""

import io
import os
import random
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import (
    CONTENT,
    Killed,
    StopAt,
    books_balance,
    content,
    hidden,
    items,
    learn,
    rows,
    send_away,
    states,
    under_way,
)
from tiering.catalog import journal
from tiering.catalog.values import FileState
from tiering.errors import IntegrityError, RootMissing, StoreUnavailable, WaitingOnRestore
from tiering.hot.placeholder import format_target
from tiering.jobs.context import Context
from tiering.jobs.migrate import migrate
from tiering.jobs.recall import recall, resume
from tiering.jobs.release import release
from tiering.jobs.reports import JobReport, Skip
from tiering.jobs.restore import cat, restore
from tiering.stores.memory import MemoryStore
from tiering.stores.wrapper import Wrapper


def _recall(lab: Lab, *paths: bytes, ctx: Context | None = None) -> JobReport:
    return recall(ctx or lab.context, items(lab, paths=paths), reason="asked")


def _nothing_left(lab: Lab) -> None:
    assert (hidden(lab), under_way(lab)) == ([], [])
    books_balance(lab)


def test_everything_comes_back(lab: Lab) -> None:
    place = lab.write("d/model.bin", content("d/model.bin"))
    lab.write("empty", b"")
    sparse = lab.write("sparse", b"")
    with sparse.open("wb") as out:
        out.seek(5 << 20)
        out.write(b"data" * 5000)
        out.truncate(9 << 20)
    place.chmod(0o640)
    os.setxattr(place, "user.note", b"\x00kept")
    if os.geteuid() == 0:
        os.chown(place, 1234, 4321)
    os.utime(place, ns=(1_111_111_111_111_111_111, 1_222_222_222_222_222_222))
    os.utime(place.parent, ns=(5, 6))
    before = place.stat()
    holes = sparse.stat().st_blocks
    whole = sparse.read_bytes()
    send_away(lab)
    report = _recall(lab)

    assert report.files_skipped == ()
    assert report.files_done == 3
    after = place.stat()
    for field in ("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns"):
        assert getattr(after, field) == getattr(before, field)
    assert place.read_bytes() == content("d/model.bin")
    assert os.getxattr(place, "user.note") == b"\x00kept"
    assert place.parent.stat().st_mtime_ns == 6
    assert (lab.root / "empty").read_bytes() == b""
    assert sparse.read_bytes() == whole
    assert sparse.stat().st_blocks <= holes + 8
    assert set(states(lab).values()) == {FileState.DUAL}
    _nothing_left(lab)


def test_a_recalled_file_is_released_again_for_nothing(lab: Lab) -> None:
    send_away(lab, "a")
    _recall(lab)
    objects = len(list(lab.context.tiers["standard"].store.list("packs/")))
    assert release(lab.context, items(lab), wait_parked=True).files_skipped == ()
    assert (lab.root / "a").is_symlink()
    assert len(list(lab.context.tiers["standard"].store.list("packs/"))) == objects
    books_balance(lab)


def test_what_is_on_the_hot_disk_is_done_already(lab: Lab) -> None:
    lab.write("a", b"here")
    learn(lab)
    assert _recall(lab).files_done == 1


def test_hard_links_come_back_as_hard_links(lab: Lab) -> None:
    lab.write("a", CONTENT)
    (lab.root / "d").mkdir()
    os.link(lab.root / "a", lab.root / "d/b")
    send_away(lab)
    report = _recall(lab, b"d/b")
    assert report.files_skipped == ()
    assert (lab.root / "a").samefile(lab.root / "d/b")
    assert (lab.root / "a").read_bytes() == CONTENT
    assert set(states(lab).values()) == {FileState.DUAL}
    _nothing_left(lab)
    assert release(lab.context, items(lab), wait_parked=True).files_skipped == (), "the identity noted is the true one"


def test_p5_a_users_file_at_the_path_is_never_overwritten(lab: Lab) -> None:
    send_away(lab, "a")
    (lab.root / "a").unlink()
    (lab.root / "a").write_bytes(b"mine")
    report = _recall(lab)
    assert "something else stands" in report.files_skipped[0].reason
    assert (lab.root / "a").read_bytes() == b"mine"
    _nothing_left(lab)


def test_p5_a_users_file_that_comes_during_the_recall_is_never_overwritten(lab: Lab) -> None:
    send_away(lab, "a", "b")

    def replace_it() -> None:
        (lab.root / "a").unlink()
        (lab.root / "a").write_bytes(b"mine")

    report = _recall(lab, ctx=lab.with_steps(StopAt("recall.assembled", action=replace_it)))
    assert report.files_done == 1
    assert (lab.root / "a").read_bytes() == b"mine"
    assert (lab.root / "b").read_bytes() == content("b")
    _nothing_left(lab)


def test_one_name_of_a_hard_link_replaced_by_a_user(lab: Lab) -> None:
    lab.write("a", CONTENT)
    os.link(lab.root / "a", lab.root / "b")
    send_away(lab)
    (lab.root / "a").unlink()
    (lab.root / "a").write_bytes(b"mine")
    report = _recall(lab)
    assert len(report.files_skipped) == 1
    assert (lab.root / "a").read_bytes() == b"mine"
    assert (lab.root / "b").read_bytes() == CONTENT


def _forged(lab: Lab, path: str, recipe_id: str, uid: int | None = None) -> None:
    place = lab.root / path
    place.unlink(missing_ok=True)
    os.symlink(format_target("teststor", recipe_id, b"x"), os.fsencode(place))
    if uid is not None:
        os.chown(place, uid, uid, follow_symlinks=False)


def _recipe_in(lab: Lab, path: str) -> str:
    return os.readlink(lab.root / path).split("/")[5]


def test_a_forged_placeholder_gives_nothing_away(lab: Lab) -> None:
    send_away(lab, "secret", "own")
    _forged(lab, "own", _recipe_in(lab, "secret"))
    report = _recall(lab, b"own")
    assert "does not name the content that this path had" in report.files_skipped[0].reason
    assert (lab.root / "own").is_symlink()


@pytest.mark.root
def test_a_placeholder_of_a_stranger_is_refused(lab: Lab) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to make a link of another user")
    send_away(lab, "secret")
    _forged(lab, "secret", _recipe_in(lab, "secret"), uid=65534)
    assert "belongs to user 65534" in _recall(lab).files_skipped[0].reason
    assert (lab.root / "secret").is_symlink()


def test_a_path_that_the_catalog_does_not_know_is_refused(lab: Lab) -> None:
    send_away(lab, "secret")
    _forged(lab, "new", _recipe_in(lab, "secret"))
    wanted = [items(lab)[0]._replace(name=b"new")]
    report = recall(lab.context, wanted, reason="")
    assert "not known here" in report.files_skipped[0].reason
    assert (lab.root / "new").is_symlink()


def test_a_placeholder_that_was_deleted_is_not_made_again(lab: Lab) -> None:
    send_away(lab, "a")
    (lab.root / "a").unlink()
    assert "placeholder is gone" in _recall(lab).files_skipped[0].reason
    assert not (lab.root / "a").exists()


def test_a_root_without_placeholders(tmp_path: Path) -> None:
    base = tmp_path / "lab"
    with open_lab(base, roots=[{"name": "root", "path": f"{base}/root", "placeholder": "none"}]) as lab:
        send_away(lab, "a", "b")
        (lab.root / "b").write_bytes(b"mine")
        report = _recall(lab)
        assert report.files_done == 1
        assert (lab.root / "a").read_bytes() == content("a")
        assert (lab.root / "b").read_bytes() == b"mine"


def _damage(lab: Lab, prefix: str, change: Callable[[bytes], bytes]) -> None:
    """Replace the objects behind the store's back."""
    store = lab.context.tiers["standard"].store
    while isinstance(store, Wrapper):
        store = store.inner
    assert isinstance(store, MemoryStore)
    for info in list(store.list(prefix)):
        held = store.shelf.held[info.key]
        store.shelf.held[info.key] = replace(held, body=change(held.body))


def test_p7_damaged_bytes_are_never_handed_out(lab: Lab) -> None:
    lab.write("a", random.Random(1).randbytes(5000))
    lab.write("d/whole", random.Random(2).randbytes(5000))
    send_away(lab)
    _damage(lab, "packs/", lambda data: data[:2000] + bytes([data[2000] ^ 1]) + data[2001:])
    with pytest.raises(IntegrityError, match="offset") as caught:
        _recall(lab)
    (left,) = (os.fsdecode(path) for path, state in states(lab).items() if state == FileState.OFFLINE)
    assert f"without {lab.root / left}; files done: 1" in caught.value.now
    assert sorted(states(lab).values()) == [FileState.DUAL, FileState.OFFLINE]
    for path, state in states(lab).items():
        assert (lab.root / os.fsdecode(path)).is_symlink() == (state == FileState.OFFLINE)
    assert hidden(lab) == []


def test_p7_a_damaged_recipe_is_never_followed(lab: Lab) -> None:
    send_away(lab, "a")
    _damage(lab, "recipes/", lambda data: data[:150] + bytes([data[150] ^ 1]) + data[151:])
    with pytest.raises(IntegrityError):
        _recall(lab)
    assert (lab.root / "a").is_symlink()
    assert states(lab)[b"a"] == FileState.OFFLINE


def test_a_store_outage_leaves_nothing_claimed(lab: Lab) -> None:
    send_away(lab, "a", "b")
    tier = lab.context.tiers["standard"]

    class Down:
        url = tier.store.url

        def __getattr__(self, name: str) -> object:
            def fail(*args: object, **kwargs: object) -> None:
                raise StoreUnavailable("the store does not answer")

            return fail

    down = replace(tier, store=Down())  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        _recall(lab, ctx=replace(lab.context, tiers={"standard": down}))
    assert set(states(lab).values()) == {FileState.OFFLINE}
    _nothing_left(lab)
    assert _recall(lab).files_done == 2


def test_no_room_is_said_before_anything_is_fetched(tmp_path: Path) -> None:
    with open_lab(tmp_path / "lab", recall={"reserve_fraction": 0.9999999}) as lab:
        send_away(lab, "a")
        report = _recall(lab)
        assert report.files_skipped[0].kind is Skip.NO_SPACE
        assert (lab.root / "a").is_symlink()
        _nothing_left(lab)


def test_an_unmounted_root_is_left_alone(lab: Lab) -> None:
    send_away(lab, "a")
    wanted = items(lab)
    (lab.root / ".frostline-root").unlink()
    with pytest.raises(RootMissing):
        recall(lab.context, wanted, reason="")


@pytest.mark.parametrize("step", ["recall.claimed", "recall.assembled", "recall.swapped", "recall.committed"])
@pytest.mark.parametrize("is_linked", [False, True])
def test_p4_a_kill_at_any_step_is_finished_or_undone(lab: Lab, step: str, is_linked: bool) -> None:
    lab.write("a", content("a"))
    lab.write("b", content("b"))
    if is_linked:
        os.link(lab.root / "a", lab.root / "c")
    send_away(lab)
    with pytest.raises(Killed):
        _recall(lab, ctx=lab.with_steps(StopAt(step)))
    with lab.catalog.read() as tx:
        left = journal.every(tx)
    for row in left:
        resume(lab.context, row)
        resume(lab.context, row)
    _nothing_left(lab)
    for path, row in rows(lab).items():
        place = lab.root / os.fsdecode(path)
        assert (row.state == FileState.OFFLINE) == place.is_symlink(), (path, row.state)
        if not place.is_symlink():
            assert place.read_bytes() == content("a" if path == b"c" else path)
    if step != "recall.claimed":
        assert set(states(lab).values()) == {FileState.DUAL}
        assert not is_linked or (lab.root / "a").samefile(lab.root / "c")
        assert release(lab.context, items(lab), wait_parked=True).files_skipped == ()


def test_p4_a_file_changed_between_the_kill_and_the_restart_is_the_users(lab: Lab) -> None:
    send_away(lab, "a")
    with pytest.raises(Killed):
        _recall(lab, ctx=lab.with_steps(StopAt("recall.swapped")))
    (lab.root / "a").write_bytes(b"newer")
    with lab.catalog.read() as tx:
        (row,) = journal.every(tx)
    resume(lab.context, row)
    assert (lab.root / "a").read_bytes() == b"newer"
    assert hidden(lab) == []
    report = release(lab.context, items(lab), wait_parked=True)
    assert report.files_done == 0, "what is there is not what is stored"
    assert (lab.root / "a").read_bytes() == b"newer"


def test_many_small_files_cost_few_requests(lab: Lab) -> None:
    for number in range(150):
        lab.write(f"d/{number}", b"%d " % number * 500)
    send_away(lab)
    meter = lab.context.tiers["standard"].meter
    meter.take()
    asked: list[int] = []
    count = StopAt("recall.committed", number=2, action=lambda: asked.append(meter.snapshot().count("get")))
    report = _recall(lab, ctx=lab.with_steps(count))
    assert report.files_done == 150
    assert asked[0] <= 8, "two batches, each with its recipes and its chunks in a few ranges"
    assert all((lab.root / f"d/{number}").read_bytes() == b"%d " % number * 500 for number in range(150))


def test_modes_that_give_rights_to_the_group_come_back(lab: Lab) -> None:
    place = lab.write("a", CONTENT)
    place.chmod(0o2640)
    send_away(lab)
    _recall(lab)
    assert stat.S_IMODE(place.stat().st_mode) == 0o2640


def test_archived_files_are_put_on_one_ticket_and_the_others_come_back(lab: Lab) -> None:
    for path in ("cold/a", "cold/b", "warm"):
        lab.write(path, content(path))
    learn(lab)
    cold = [b"cold/a", b"cold/b"]
    assert migrate(lab.context, items(lab, tier="archive", paths=cold)).files_skipped == ()
    assert migrate(lab.context, items(lab, paths=[b"warm"])).files_skipped == ()
    assert release(lab.context, items(lab), wait_parked=True).files_skipped == ()
    report = _recall(lab)
    assert report.exit_code == 4
    assert len(report.tickets) == 1
    assert {skip.kind for skip in report.files_skipped} == {Skip.WAITING}
    assert report.files_done == 1
    assert (lab.root / "warm").read_bytes() == content("warm")
    assert (lab.root / "cold/a").is_symlink()
    assert _recall(lab).tickets == report.tickets, "asking again is the same ticket"
    with pytest.raises(WaitingOnRestore):
        cat(lab.context, str(lab.root / "cold/a"), io.BytesIO())
    assert restore(lab.context, [str(lab.root / "cold")], str(lab.base / "out")).exit_code == 4
