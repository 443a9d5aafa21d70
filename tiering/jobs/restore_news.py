"""Hears of restores from the queues that the operator named, and notes what they tell in the catalog.

Used by advance, which asks the buckets where nothing was heard. A message is deleted when the catalog knows what it
says; one that comes again, late or out of order changes nothing. An event is never the only evidence that a copy is
gone, and bytes are verified whatever it says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from urllib.parse import urlsplit

from tiering.catalog import packs
from tiering.catalog import tickets as ticket_rows
from tiering.catalog.tickets import RestoreRow
from tiering.clock import NS_PER_S
from tiering.errors import StoreError
from tiering.jobs.charges import charge_meters
from tiering.jobs.context import Context
from tiering.jobs.restore_cost import promised_ns
from tiering.stores.metered import Meter
from tiering.stores.restore_events import EventQueue, Message, News, RestoreEvent

RECEIVES = 500  # of one queue in one round, ten messages each; the rest is for the next
LATE_NS = 900 * NS_PER_S  # S3 sends events within minutes; a restore that is due and of which nothing is heard is asked

Completed = Callable[[RestoreRow, RestoreEvent], None]
"""Notes that the copy of a pack is there."""


@dataclass(slots=True)
class Heard:
    """What came of listening."""

    is_listening: bool
    """Every queue answered."""
    gone: set[int] = field(default_factory=set)
    """Numbers of the packs whose copies are said to be gone: to be looked at."""
    trouble: list[str] = field(default_factory=list)

    def is_due(self, row: RestoreRow, now_ns: int, *, ends_before_ns: int) -> bool:
        """Return whether the store must be asked how *row* is; copies that go before *ends_before_ns* are extended."""
        if not self.is_listening or row.pack_no in self.gone:
            return True
        if row.state == "warm":
            return row.warm_until_ns is None or row.warm_until_ns < ends_before_ns
        return row.requested_ns is None or now_ns >= promised_ns(row) + LATE_NS


def listen(ctx: Context, completed: Completed) -> Heard:
    """Take what the queues have; tell *completed* of each copy that is there and was not known of."""
    urls = ctx.config.recall.restore_events
    remote = [name for name, tier in ctx.config.tiers.items() if not tier.is_local]
    tier = next((name for name in remote if ctx.config.tiers[name].is_archive), "".join(remote[:1]))
    heard = Heard(is_listening=bool(urls and tier))
    if not heard.is_listening:
        return heard
    meter = Meter()
    # boto3 takes a third of a second to load: only who has a queue pays for it.
    open_queue = import_module("tiering.stores.sqs").open_queue
    for url in urls:
        try:
            queue = open_queue(url, meter=meter, profile=ctx.config.tiers[tier].profile)
            _take_all(ctx, queue, heard, completed)
        except StoreError as error:
            heard.is_listening = False
            heard.trouble.append(f"the buckets are asked instead: {error.what}")
    charge_meters(ctx.catalog, ctx.config, [(tier, meter)], reason="restore events")
    return heard


def _take_all(ctx: Context, queue: EventQueue, heard: Heard, completed: Completed) -> None:
    unread = 0
    for _ in range(RECEIVES):
        messages = [] if ctx.stop.is_set() else queue.receive()
        if not messages:
            break
        known = [message for message in messages if message.events is not None]
        unread += len(messages) - len(known)
        _note(ctx, known, heard, completed)
        ctx.step("events.noted")
        queue.delete(known)
        if not known:
            break  # they come again, and are left to the queue's own retention
    if unread:
        heard.trouble.append(f"{unread} messages in {queue.url} are nothing that S3 sends: they were left there")


def _note(ctx: Context, messages: Sequence[Message], heard: Heard, completed: Completed) -> None:
    for row, event in _of_packs(ctx, [event for message in messages for event in message.events or ()]):
        if event.news is News.EXPIRED:
            heard.gone.add(row.pack_no)
        elif event.news is News.COMPLETED and event.until_ns > ctx.clock.now_ns():
            completed(row, event)


def _of_packs(ctx: Context, events: Sequence[RestoreEvent]) -> list[tuple[RestoreRow, RestoreEvent]]:
    """Return the events that are about packs somebody waited for, each with its pack's restore."""
    places: list[tuple[str, str, RestoreEvent]] = []
    for name, tier in ctx.tiers.items():
        parts = urlsplit(tier.store.url)
        prefix = parts.path.strip("/") + "/" if parts.path.strip("/") else ""
        for event in events:
            if event.bucket == parts.netloc and event.key.startswith(prefix):
                places.append((name, event.key[len(prefix) :], event))
    with ctx.catalog.read() as tx:
        numbers = {row.key: row.pack_no for row in packs.by_keys(tx, {key for _, key, _ in places}).values()}
        known = ticket_rows.restores_of(tx, list(numbers.values()))
    found = [(known.get(numbers.get(key, 0)), name, event) for name, key, event in places]
    return [(row, event) for row, name, event in found if row is not None and row.tier == name]
