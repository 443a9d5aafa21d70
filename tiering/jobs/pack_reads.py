"""Notes when packs were read whose price follows it: those in classes that cool by themselves.

Used by charges and accrue. The hours until a read are booked before it is noted, so that each is priced by what was
known to be so in it. A read is known when the process that made it books its requests: hours that another process has
booked meanwhile stand as they are.
"""

from collections import defaultdict
from collections.abc import Sequence

from policies.prices import PriceBook
from tiering.catalog import pack_notes, packs
from tiering.catalog.open import Catalog
from tiering.config import Config
from tiering.jobs.storage_hours import HOUR_NS, book_hours
from tiering.jobs.storage_rates import coolings
from tiering.stores.metered import Meter


def note_reads(config: Config, catalog: Catalog, book: PriceBook, meters: Sequence[tuple[str, Meter]]) -> int:
    """Note the reads that *meters* saw since they were last asked; return of how many packs."""
    read: dict[int, dict[str, int]] = defaultdict(dict)
    for _, meter in meters:
        for key, at_ns in meter.take_reads():
            of_hour = read[at_ns // HOUR_NS]
            of_hour[key] = max(at_ns, of_hour.get(key, 0))
    cooling = {(it.tier, it.storage_class) for it in coolings(config, book)} if read else set()
    if not cooling:
        return 0
    count = 0
    for hour, found in sorted(read.items()):
        with catalog.read() as tx:
            rows = packs.by_keys(tx, found).values()
        noted = {row.pack_no: found[row.key] for row in rows if (row.tier, row.storage_class) in cooling}
        if noted:
            book_hours(config, catalog, book, until_ns=hour * HOUR_NS)
            with catalog.write() as tx:
                pack_notes.note_reads(tx, noted)
            count += len(noted)
    return count
