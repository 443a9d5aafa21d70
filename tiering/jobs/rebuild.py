"""rebuild: recover a lost catalog from the stores alone, then bring it to what stands on the disk (P3).

Order: take the stores over (epoch + 1, so that a catalog that comes back is refused), replay the segments,
compare with what the stores list, read the packs' trailers and the recipes, post one entry for what the ledger
does not explain, put interrupted swaps right, scan. Nothing is deleted in a store. Killed at any step, it is
run again from the beginning.
"""

import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from threading import Event

from tiering.catalog import recovery, replay, segments
from tiering.catalog import roots as root_rows
from tiering.catalog import stores as store_rows
from tiering.catalog.open import Catalog
from tiering.catalog.replayed import Replayed, split
from tiering.catalog.segments import SegmentRow
from tiering.catalog.totals import totals_of
from tiering.catalog.transaction import Tx
from tiering.catalog.values import FileState
from tiering.clock import Clock
from tiering.config import Config
from tiering.errors import ConfigError, FrostlineError, IntegrityError, ObjectMissing
from tiering.hot import names
from tiering.hot.marker import check_marker, write_marker
from tiering.jobs import rebuild_disk, rebuild_objects
from tiering.jobs import segments as segment_job
from tiering.jobs.bucket_roots import open_bucket_roots
from tiering.jobs.charges import charge
from tiering.jobs.context import Context, NoProgress, OpenRoot, OpenTier, Progress, no_step
from tiering.jobs.devices import follow_device
from tiering.jobs.findings import Findings
from tiering.jobs.rebuild_segments import Chain, read_chain
from tiering.jobs.recipe_packs import RecipePacks
from tiering.jobs.scan import ScanReport, scan_root
from tiering.stores import ownership
from tiering.stores.base import Store
from tiering.stores.metered import Meter
from tiering.stores.probe import probe


@dataclass(slots=True)
class RebuildReport:
    """What was recovered, and what was not."""

    store_id: str = ""
    epoch: int = 0
    segments: int = 0
    complete_through: int = 0
    """Number of the segment up to which nothing is missing."""
    records: int = 0
    ledger_entries: int = 0
    packs_indexed: int = 0
    recipes_indexed: int = 0
    objects_unnamed: int = 0
    """Packs in the stores that no segment names."""
    placeholders_unnamed: int = 0
    """Files released, of which no segment says so."""
    recipes_salvaged: int = 0
    """Found in the store, named by no segment."""
    recipes_held: int = 0
    """Named by no file: kept as versions as long as missing files are."""
    hidden_settled: int = 0
    scans: list[ScanReport] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What could not be recovered; a sentence each."""
    problem_count: int = 0
    """All of them; *problems* lists the first 1,000."""
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """20 when stored data is missing or damaged, 3 with notes (among them: last segments are lost), else 0."""
        if self.problem_count:
            return 20
        return 3 if self.notes else 0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What rebuild is given besides configuration, catalog and stores."""

    clock: Clock
    owner: str
    meters: Mapping[str, Meter] = field(default_factory=dict)
    """By tier name, of the stores' wrappers; none: nothing is charged."""
    progress: Progress = field(default_factory=NoProgress)
    stop: Event = field(default_factory=Event)
    step: Callable[[str], None] = no_step


def rebuild(config: Config, catalog: Catalog, stores: Mapping[str, Store], *, around: Surroundings) -> RebuildReport:
    """Recover *catalog* (open_catalog(..., create=True, rebuilding=True)) from *stores* (by tier name).

    On return the catalog is in use, its books balance, and what could not be recovered is named. Raises
    UsageError when the catalog is not lost, ConfigError when a store holds nothing of frostline's, and what the
    stores raise; the catalog is then refused by everybody but the next rebuild.
    """
    recovery.begin(catalog)
    report = RebuildReport()
    chain, done, problems = Chain(), Replayed(), Findings()
    packed = RecipePacks(stores[config.metadata_tier])
    around.step("rebuild.begun")
    _replay(catalog, stores[config.metadata_tier], config.metadata_tier, chain=chain, done=done, packed=packed)
    report.store_id = _store_id(stores[config.metadata_tier], done)
    report.epoch = _take_over(catalog, stores, done, store_id=report.store_id, clock=around.clock)
    around.step("rebuild.owned")
    ctx = _context(config, catalog, stores, around, report)
    _note_stores(ctx)
    ctx = replace(ctx, roots=_roots(ctx, report), buckets=open_bucket_roots(catalog))
    around.step("rebuild.indexing")
    _index(ctx, packed, done, report, problems)
    with catalog.write() as tx:
        problems.add_all(replay.finish(tx, done))
        recovery.adjust(tx, op_id=f"rebuild:{report.epoch}", reason="what no segment held any more")
    around.step("rebuild.adjusted")
    before = _offline(catalog)
    _settle_disk(ctx, report)
    report.placeholders_unnamed = max(0, _offline(catalog) - before)
    with catalog.write() as tx:
        replay.apply_pins(tx, done)
        _restore_tickets(tx, done)
        recovery.end(tx)
    segment_job.flush(ctx)
    charge(ctx, reason="rebuild")
    report.segments, report.complete_through = chain.last_number, chain.complete_through
    report.records, report.ledger_entries = done.records, done.entries
    problems.add_all(chain.problems)
    report.problems, report.problem_count = problems.sentences, problems.count
    report.notes += [*done.notes, *_after_the_last(report)]
    return report


def _after_the_last(report: RebuildReport) -> list[str]:
    """Say by which signs records are known to be lost that followed the last segment there is."""
    signs = {
        "objects that no record names": report.objects_unnamed,
        "recipes that no record names": report.recipes_salvaged,
        "placeholders of files that the records call dual": report.placeholders_unnamed,
    }
    seen = [f"{count} {what}" for what, count in signs.items() if count]
    if not seen:
        return []
    lost = f"what was recorded after segment {report.complete_through} is lost: there are {', '.join(seen)}"
    return [f"{lost}. All of it was taken in; what else those records said (versions, pins, the ledger) is not known"]


def _replay(catalog: Catalog, store: Store, tier: str, *, chain: Chain, done: Replayed, packed: RecipePacks) -> None:
    for found in read_chain(store, chain):
        row = SegmentRow(
            segment_no=found.segment.number,
            key=found.info.key,
            state="durable",
            size=found.info.size_bytes,
            hash=found.segment.hash,
            last_seq=0,
            created_ns=found.info.modified_ns,
            tier=tier,
        )
        with catalog.write() as tx:
            replay.apply(tx, found.segment.records, done, packed)
            segments.restore(tx, row)


def _store_id(home: Store, done: Replayed) -> str:
    try:
        return ownership.read(home).store_id
    except (ObjectMissing, IntegrityError) as error:
        recorded = {str(record["store_id"]) for record in done.stores.values()}
        if len(recorded) == 1:
            return recorded.pop()
        raise ConfigError(
            f"{home.url} holds nothing that frostline could be rebuilt from: {error}",
            now="nothing was changed",
            hint="check tiers and metadata in the configuration",
        ) from error


def _take_over(catalog: Catalog, stores: Mapping[str, Store], done: Replayed, *, store_id: str, clock: Clock) -> int:
    """Own every store under one epoch, later than any there was; return it."""
    distinct = {store.url: store for store in stores.values()}
    epochs = [int(str(record["epoch"])) for record in done.stores.values()]
    owned: dict[str, int] = {}
    for url, store in distinct.items():
        try:
            owned[url] = ownership.read(store).epoch
        except (ObjectMissing, IntegrityError):
            store.delete(ownership.KEY)  # damaged: its bytes say nothing, and a new one must take its place
            owned[url] = ownership.claim(store, catalog.catalog_id, store_id, clock.now_ns()).epoch
    epoch = max([*owned.values(), *epochs]) + 1
    for url, store in distinct.items():
        while owned[url] < epoch:
            owned[url] = ownership.take_over(store, catalog.catalog_id, clock.now_ns()).epoch
    return epoch


def _context(
    config: Config, catalog: Catalog, stores: Mapping[str, Store], around: Surroundings, report: RebuildReport
) -> Context:
    tiers: dict[str, OpenTier] = {}
    for rank, (name, settings) in enumerate(config.tiers.items(), start=1):
        store = stores[name]
        classes = {tier.storage_class for tier in config.tiers.values() if tier.store == settings.store}
        if config.tiers[config.metadata_tier].store == settings.store:
            classes.add(config.metadata.storage_class)
        capabilities = probe(store, storage_classes=classes, nonce=secrets.token_hex(8))
        tiers[name] = OpenTier(
            name, store, settings.storage_class, rank, capabilities, around.meters.get(name, Meter())
        )
    return Context(
        config=config,
        catalog=catalog,
        tiers=tiers,
        metadata=replace(tiers[config.metadata_tier], storage_class=config.metadata.storage_class),
        roots=(),
        clock=around.clock,
        store_id=report.store_id,
        catalog_id=catalog.catalog_id,
        epoch=report.epoch,
        owner=around.owner,
        progress=around.progress,
        stop=around.stop,
        step=around.step,
    )


def _note_stores(ctx: Context) -> None:
    seen: set[str] = set()
    for tier in (ctx.metadata, *ctx.tiers.values()):
        if tier.store.url in seen:
            continue
        seen.add(tier.store.url)
        row = store_rows.StoreRow(
            url=tier.store.url,
            store_id=ctx.store_id,
            epoch=ctx.epoch,
            capabilities=json.dumps(asdict(tier.capabilities)),
            probed_ns=ctx.clock.now_ns(),
            tier=tier.name,
            ownership_bytes=tier.store.head(ownership.KEY).size_bytes,
        )
        with ctx.catalog.write() as tx:
            store_rows.put(tx, row)


def _roots(ctx: Context, report: RebuildReport) -> tuple[OpenRoot, ...]:
    """Register the configured roots under the markers that the segments recorded; return them."""
    opened: list[OpenRoot] = []
    for settings in ctx.config.roots:
        path = settings.path_bytes
        with ctx.catalog.read() as tx:
            known = root_rows.by_name(tx, settings.name)
        marker = known.marker if known is not None else ""
        if not marker and not settings.read_only:
            if not os.path.lexists(os.path.join(path, names.ROOT_MARKER)):
                # No segment names it and it carries nothing: it may not be mounted, and init takes it up as a new one.
                report.notes.append(f"root {settings.name} carries no marker; when it is mounted run: frostline init")
                continue
            marker = write_marker(path)
        with ctx.catalog.write() as tx:
            root_id = root_rows.add(tx, name=settings.name, path=path, marker=marker)
        opened.append(OpenRoot(root_id, settings.name, path, "" if settings.read_only else marker))
    return tuple(opened)


def _index(ctx: Context, packed: RecipePacks, done: Replayed, report: RebuildReport, problems: Findings) -> None:
    ctx.progress.start("rebuild: read packs and recipes")
    try:
        added = rebuild_objects.compare_with_stores(ctx, problems)
        report.objects_unnamed = len(added)
        report.packs_indexed = rebuild_objects.index_chunks(ctx, problems)
        report.recipes_salvaged = rebuild_objects.salvage_recipes(ctx, added, packed, done, problems)
        report.recipes_indexed = rebuild_objects.index_recipes(ctx, problems)
        report.recipes_held = rebuild_objects.hold_unheld(ctx, problems)
        problems.add_all(packed.problems)
    finally:
        ctx.progress.finish()


def _offline(catalog: Catalog) -> int:
    with catalog.read() as tx:
        found = totals_of(tx).get(FileState.OFFLINE)
    return found.files if found else 0


def _settle_disk(ctx: Context, report: RebuildReport) -> None:
    """Bring the catalog to what stands on the disk; the placeholders there are believed over it."""
    for root in ctx.roots:
        try:
            if root.marker:
                check_marker(root.path, root.marker)
            follow_device(ctx, root)
            report.hidden_settled += rebuild_disk.settle_hidden(ctx, root, report.notes)
            scanned = scan_root(ctx, root)
        except FrostlineError as error:
            report.notes.append(f"root {root.name} was not compared with the disk: {error.what}; scan it later")
            continue
        report.scans.append(scanned)
        if scanned.state != "complete":
            report.notes.append(f"root {root.name}: {scanned.note}")


def _restore_tickets(tx: Tx, done: Replayed) -> None:
    ids = root_rows.names(tx)
    number_of = {name: root_id for root_id, name in ids.items()}
    for record in done.tickets.values():
        if record["state"] != "open":
            continue
        paths = [(number_of[root], *split(path)) for root, path in record["files"] if root in number_of]
        recovery.restore_ticket(tx, record, recovery.waiting_files(tx, paths))
    recovery.settle_autoincrement(tx)
