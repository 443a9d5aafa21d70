"""What tickets ask of the catalog beside their own rows, on both engines."""

from tests.catalog.rows import Seen, Storage, add_file, add_root, recipe_of
from tiering.catalog import files, recipes, tickets
from tiering.catalog.open import Catalog
from tiering.catalog.tickets import NewTicket


def test_packs_on_their_way_come_by_key_in_pages_and_the_next_to_go_first(catalog: Catalog) -> None:
    with catalog.write() as tx:
        storage = Storage(tx)
        numbers = [storage.pending([name])[0] for name in ("x", "y", "z")]
        number = tickets.open_ticket(tx, NewTicket("bulk", "why", "me", None, "{}", (), tuple(numbers)))
        assert [row.pack_no for row in tickets.restores_in(tx, ("wanted",), limit=2)] == numbers[:2]
        assert [row.pack_no for row in tickets.restores_in(tx, ("wanted",), after_no=numbers[1])] == numbers[2:]
        assert tickets.on_the_way(tx) == []
        tickets.note_restore(tx, numbers[0], state="warming", requested_ns=5)
        tickets.note_restore(tx, numbers[1], state="warm", requested_ns=5, warm_until_ns=70)
        tickets.note_restore(tx, numbers[2], state="warm", requested_ns=5, warm_until_ns=60)

        found = tickets.on_the_way(tx)
        sizes = {row.pack_no: row.size for row in found}
        assert [row.key for row in found] == sorted(row.key for row in found)
        assert len(found) == 3
        paged = tickets.on_the_way(tx, limit=2)
        assert [*paged, *tickets.on_the_way(tx, after_key=paged[-1].key)] == found
        assert [row.warm_until_ns for row in tickets.ending(tx, 80)] == [60, 70]
        assert tickets.ending(tx, 60) == []
        assert tickets.bytes_on_the_way(tx) == sum(sizes.values())
        assert tickets.count_between(tx, found[0].tier, found[0].key, found[1].key) == 2
        assert tickets.count_between(tx, "elsewhere", found[0].key, found[2].key) == 0

        tickets.close_ticket(tx, number, state="cancelled")
        assert [row.pack_no for row in tickets.on_the_way(tx)] == [numbers[0]]  # asked for, and not seen yet
        assert tickets.bytes_on_the_way(tx) == 0


def test_a_ticket_without_files_is_found_by_all_of_its_packs(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = add_file(tx, add_root(tx), b"a", Seen(1, 5))
        storage = Storage(tx)
        numbers = tuple(storage.pending([name])[0] for name in ("x", "y", "z"))
        tickets.open_ticket(tx, NewTicket("bulk", "with a file", "me", None, "{}", (file_id,), numbers))
        wide = tickets.open_ticket(tx, NewTicket("bulk", "cat", "me", None, "{}", (), numbers))
        narrow = tickets.open_ticket(tx, NewTicket("bulk", "cat", "me", None, "{}", (), numbers[:1]))

        assert tickets.without_files(tx, numbers) == [wide]
        assert tickets.without_files(tx, numbers[:1]) == [wide, narrow]
        tickets.close_ticket(tx, wide, state="done")
        assert tickets.without_files(tx, numbers) == []


def test_a_pack_keeps_the_speed_that_it_is_given_and_a_ticket_its_terms(catalog: Catalog) -> None:
    with catalog.write() as tx:
        storage = Storage(tx)
        numbers = [storage.pending([name])[0] for name in ("x", "y")]
        new = NewTicket("expedited", "why", "me", None, "{}", (), tuple(numbers), {numbers[0]: "bulk"})
        number = tickets.open_ticket(tx, new)
        assert [row.speed for row in tickets.packs_of(tx, number)] == ["bulk", "expedited"]

        tickets.note_restore(tx, numbers[0], state="warming", requested_ns=7)
        tickets.raise_speed(tx, numbers[:1], "standard")
        tickets.set_terms(tx, number, speed="standard", quote='{"a": 1}')

        assert [(row.state, row.speed, row.requested_ns) for row in tickets.packs_of(tx, number)] == [
            ("wanted", "standard", 7),
            ("wanted", "expedited", None),
        ]
        row = tickets.get(tx, number)
        assert row is not None
        assert (row.speed, row.quote) == ("standard", '{"a": 1}')
        tickets.set_speed(tx, numbers[0], state="warming", speed="bulk")
        assert tickets.packs_of(tx, number)[0].speed == "bulk"


def test_packs_that_versions_use_themselves(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = add_file(tx, add_root(tx), b"a", Seen(1, 5))
        Storage(tx).store([(file_id, recipe_of(1, ["x"]))], ["x"])
        recipe_no = files.by_ids(tx, [file_id])[file_id].recipe_no
        assert recipe_no is not None

        used = tickets.used_packs(tx, [recipe_no])

        assert used == set(recipes.packs_of(tx, [recipe_no])[recipe_no])
        assert used
