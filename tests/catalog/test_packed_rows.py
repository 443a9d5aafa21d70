"""What a commit knows of its files is compared with the rows, never believed."""

from sqlalchemy import update

from tests.catalog.rows import Seen, add_file, add_root
from tiering.catalog import commit, files, moves
from tiering.catalog.booking import load_files
from tiering.catalog.open import Catalog
from tiering.catalog.packed_rows import load_again
from tiering.catalog.tables import files as file_rows


def test_rows_seen_before_are_as_they_are_now(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        ids = [add_file(tx, root_id, b"d/%d" % number, Seen(number, 5)) for number in range(1, 300)]
        seen = list(load_files(tx, ids).values())
        moves.follow(tx, [moves.Move(ids[0], b"elsewhere/", b"renamed")], op_id="moved")
        files.set_pinned(tx, [ids[1]], True)
        files.note_access(tx, {ids[2]: 77}, "opens")
        tx.conn.execute(update(file_rows).where(file_rows.c.file_id == ids[3]).values(leader_id=ids[4], size=9))
        commit.delete_files(tx, [ids[5]], op_id="gone", reason="")

        found = load_again(tx, seen, [*ids, 10**9])

        assert found == load_files(tx, ids)
        assert found[ids[0]].path == b"elsewhere/renamed"
        assert found[ids[1]].pinned is True
        assert (found[ids[2]].last_access_ns, found[ids[3]].leader_id) == (77, ids[4])
        assert load_again(tx, (), ids[:9]) == load_files(tx, ids[:9])
