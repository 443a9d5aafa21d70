"""audit: the documented keys, exact numbers, and a sentence for everything that disagrees."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.jobs.debris import keys, put
from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import items, learn, rows
from tiering.catalog import accounts, ledger
from tiering.jobs.accrue import accrue
from tiering.jobs.audit import audit
from tiering.jobs.migrate import migrate
from tiering.jobs.release import release
from tiering.jobs.scan import scan_root
from tiering.stores import ownership

DOCUMENTED = {
    *("ok", "files", "logical_bytes", "hot_bytes", "dual_bytes", "offline_bytes", "stored_bytes", "dead_bytes"),
    *("retained_bytes", "metadata_bytes", "dedup_saved_bytes", "compression_saved_bytes", "overhead_bytes", "usd"),
    "discrepancies",
}
SIZE = 100_000


def filled(lab: Lab) -> None:
    """Three files: offline, dual with a twin's content, and regular."""
    data = os.urandom(SIZE)
    lab.write("offline.bin", data)
    lab.write("dual.bin", data)
    learn(lab)
    migrate(lab.context, items(lab))
    release(lab.context, items(lab, paths=[b"offline.bin"]), wait_parked=True)
    lab.write("regular.bin", b"x" * 1000)
    scan_root(lab.context, lab.context.roots[0])


def said(lab: Lab) -> str:
    """All discrepancies of an audit that must find some."""
    seen = audit(lab.context)
    assert not seen.ok
    assert seen.exit_code == 10
    assert seen.discrepancy_count >= len(seen.discrepancies) > 0
    return "\n".join(seen.discrepancies)


def test_the_documented_keys_and_exact_numbers(lab: Lab) -> None:
    filled(lab)
    seen = audit(lab.context)
    shown = json.loads(json.dumps(seen.as_json()))
    assert set(shown) >= DOCUMENTED
    assert set(shown["usd"]) >= {"baseline", "actual", "saved_realised", "saved_avoided"}
    assert (seen.ok, seen.exit_code, seen.discrepancies) == (True, 0, ())
    assert (seen.files, seen.logical_bytes, seen.hot_bytes) == (3, 2 * SIZE + 1000, SIZE + 1000)
    assert (seen.dual_bytes, seen.offline_bytes, seen.dedup_saved_bytes) == (SIZE, SIZE, SIZE)
    held = seen.dual_bytes + seen.offline_bytes + seen.retained_bytes
    assert held == seen.stored_bytes + seen.dedup_saved_bytes + seen.compression_saved_bytes - seen.overhead_bytes
    assert seen.bucket_bytes == seen.stored_bytes + seen.dead_bytes + seen.metadata_bytes
    listed = [info.size_bytes for tier in ("standard", "archive") for info in lab.context.tiers[tier].store.list()]
    assert seen.bucket_bytes == sum(listed)


@pytest.mark.parametrize("refundable", [True, False])
def test_p6_realised_and_avoided_are_kept_apart(tmp_path: Path, refundable: bool) -> None:
    with open_lab(tmp_path / "lab", hot={"refundable": refundable}) as lab:
        filled(lab)
        lab.clock.advance(3600 * 24 * 30)
        accrue(lab.context)
        usd = audit(lab.context).usd
        other, saved = (
            (usd.saved_avoided, usd.saved_realised) if refundable else (usd.saved_realised, usd.saved_avoided)
        )
        assert usd.baseline > usd.actual > 0
        assert other == 0
        assert usd.baseline - usd.actual == pytest.approx(saved)
        assert audit(lab.context, since_ns=lab.clock.now_ns() + 1).usd.baseline == 0


def lose_pack(lab: Lab) -> None:
    lab.context.tiers["standard"].store.delete(keys(lab, "packs/")[0])


def swell_pack(lab: Lab) -> None:
    store, key = lab.context.tiers["standard"].store, keys(lab, "packs/")[0]
    body = store.get(key)
    store.delete(key)
    put(lab, key, body + b"more")


def lose_segment(lab: Lab) -> None:
    lab.context.metadata.store.delete(keys(lab, "segments/")[0])


def add_segment(lab: Lab) -> None:
    put(lab, "segments/000000000099-0123456789abcdef", b"forged")


def lose_ownership(lab: Lab) -> None:
    lab.context.metadata.store.delete(ownership.KEY)


def change_dual(lab: Lab) -> None:
    lab.write("dual.bin", b"other")


def edit_dual_and_set_the_time_back(lab: Lab) -> None:
    place = lab.root / "dual.bin"
    before = os.stat(place)
    with open(place, "r+b") as file:
        file.write(b"edited")
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))


def lose_dual(lab: Lab) -> None:
    os.unlink(lab.root / "dual.bin")


def lose_placeholder(lab: Lab) -> None:
    os.unlink(lab.root / "offline.bin")


def bend_placeholder(lab: Lab) -> None:
    os.unlink(lab.root / "offline.bin")
    os.symlink("/elsewhere", lab.root / "offline.bin")


def replace_placeholder(lab: Lab) -> None:
    os.unlink(lab.root / "offline.bin")
    lab.write("offline.bin", b"mine")


def tamper(statement: str) -> Callable[[Lab], None]:
    def act(lab: Lab) -> None:
        with lab.catalog.write() as tx:
            tx.conn.execute(text(statement))

    return act


FAULTS = [
    pytest.param(lose_pack, "is booked in tier standard and is not there", id="pack-lost"),
    pytest.param(swell_pack, "bytes, ", id="pack-of-another-size"),
    pytest.param(lose_segment, "rebuild would be incomplete", id="segment-lost"),
    pytest.param(add_segment, "is in no book", id="segment-forged"),
    pytest.param(lose_ownership, "frostline.json", id="ownership-lost"),
    pytest.param(change_dual, "dual.bin changed since it was stored", id="dual-changed"),
    pytest.param(edit_dual_and_set_the_time_back, "dual.bin was written to", id="dual-edited-time-set-back"),
    pytest.param(lose_dual, "dual.bin is dual in the catalog and not there", id="dual-lost"),
    pytest.param(lose_placeholder, "its placeholder is not there", id="placeholder-lost"),
    pytest.param(bend_placeholder, "does not name recipe", id="placeholder-bent"),
    pytest.param(replace_placeholder, "something else than a placeholder", id="placeholder-replaced"),
    pytest.param(tamper("UPDATE files SET size = size + 1"), "by the catalog's rows", id="row"),
    pytest.param(tamper("DELETE FROM refs"), "by the catalog's rows", id="refs"),
    pytest.param(tamper("UPDATE packs SET state = 'doomed' WHERE kind = 'data'"), "is doomed, not live", id="doomed"),
    pytest.param(tamper("UPDATE balances SET amount = amount + 1"), "its lines sum to", id="balance"),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "sentence"), FAULTS)
def test_every_disagreement_is_a_sentence(lab: Lab, fault: Callable[[Lab], None], sentence: str) -> None:
    filled(lab)
    fault(lab)
    assert sentence in said(lab)


def test_an_altered_ledger_shows(lab: Lab) -> None:
    filled(lab)
    tamper("DROP TRIGGER ledger_lines_no_update")(lab)
    tamper("UPDATE ledger_lines SET amount = amount * 2 WHERE entry_no = 2")(lab)
    assert "has been altered" in said(lab)


def test_a_ledger_whose_chain_was_made_anew_shows(lab: Lab) -> None:
    """Amounts changed, and every hash from there on made to fit: the bucket remembers the old ones."""
    filled(lab)
    with lab.catalog.write() as tx:
        for table in ("ledger_entries", "ledger_lines"):
            for guard in ("no_update", "no_delete", "no_replace"):
                tx.conn.exec_driver_sql(f"DROP TRIGGER {table}_{guard}")
        tx.conn.exec_driver_sql("UPDATE ledger_entries SET reason = 'forged' WHERE entry_no = 1")
        before = ""
        for entry in list(ledger.entries(tx)):
            forged = replace(entry, prev_hash=before)
            before = ledger.hash_of(forged)
            tx.conn.exec_driver_sql(
                "UPDATE ledger_entries SET prev_hash = ?, hash = ? WHERE entry_no = ?",
                (forged.prev_hash, before, entry.entry_no),
            )
        assert list(ledger.verify_chain(tx)) == []
    found = audit(lab.context)
    assert [what for what in found.discrepancies if "it was altered since" in what] != []
    assert found.exit_code == 10


def test_a_stranger_in_the_bucket_is_noted_not_booked(lab: Lab) -> None:
    filled(lab)
    put(lab, "zebra/notes.txt", b"not ours")
    put(lab, "abc", b"nor this")
    seen = audit(lab.context)
    assert seen.ok
    assert [note for note in seen.notes if "is not frostline's" in note] == [
        f"abc (8 bytes) in {lab.context.metadata.store.url} is not frostline's",
        f"zebra/notes.txt (8 bytes) in {lab.context.metadata.store.url} is not frostline's",
    ]


def test_a_touched_dual_file_is_a_note(lab: Lab) -> None:
    filled(lab)
    os.chmod(lab.root / "dual.bin", 0o600)
    seen = audit(lab.context)
    assert seen.ok
    assert any("the metadata of" in note for note in seen.notes)


def test_an_unmounted_root_is_a_note(lab: Lab) -> None:
    filled(lab)
    os.rename(lab.root, lab.base / "away")
    lab.root.mkdir()
    seen = audit(lab.context)
    assert seen.ok
    assert any("was not looked at" in note for note in seen.notes)


def test_it_changes_nothing(lab: Lab) -> None:
    filled(lab)
    with lab.catalog.read() as tx:
        before = ledger.all_balances(tx), ledger.last(tx)
    kept = rows(lab)
    audit(lab.context)
    with lab.catalog.read() as tx:
        assert (ledger.all_balances(tx), ledger.last(tx)) == before
        assert ledger.balance(tx, accounts.BUCKET_TOTAL) < 0
    assert rows(lab) == kept


def write_deep(lab: Lab, name: bytes, data: bytes) -> bytes:
    """Create a file where its path from the top of the system is longer than PATH_MAX; return its path in the root."""
    fd = os.open(lab.root, os.O_RDONLY)
    for _ in range(20):
        os.mkdir(b"d" * 250, dir_fd=fd)
        below = os.open(b"d" * 250, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    with open(os.open(name, os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=fd), "wb") as file:
        file.write(data)
    os.close(fd)
    return b"/".join([b"d" * 250] * 20 + [name])


@pytest.mark.parametrize("goes", [False, True])
def test_folders_deeper_than_a_path_may_be_long_are_looked_into(lab: Lab, goes: bool) -> None:
    path = write_deep(lab, b"f", b"deep" * 1000)
    scan_root(lab.context, lab.context.roots[0])
    migrate(lab.context, items(lab))
    if goes:
        release(lab.context, items(lab), wait_parked=True)
    seen = audit(lab.context)
    shutil.rmtree(lab.root / ("d" * 250))  # pytest itself would not
    assert (seen.ok, seen.discrepancies) == (True, ())
    assert [row.state for row in rows(lab).values() if row.path == path] == ["offline" if goes else "dual"]
    assert "not there; scan again" in said(lab)


def test_p5_a_folder_that_was_moved_elsewhere_behind_a_link_still_stands(lab: Lab) -> None:
    lab.write("folder/gone.bin", b"x" * 1000)
    lab.write("folder/dual.bin", b"y" * 1000)
    learn(lab)
    migrate(lab.context, items(lab))
    release(lab.context, items(lab, paths=[b"folder/gone.bin"]), wait_parked=True)
    os.rename(lab.root / "folder", lab.base / "elsewhere")
    os.symlink(lab.base / "elsewhere", lab.root / "folder")
    scanned = scan_root(lab.context, lab.context.roots[0])
    assert (scanned.missing, scanned.problem_count) == (0, 0)
    assert audit(lab.context).ok
    (lab.base / "elsewhere" / "gone.bin").unlink()
    assert "folder/gone.bin is offline and its placeholder is not there" in said(lab)
    assert scan_root(lab.context, lab.context.roots[0]).missing == 1
