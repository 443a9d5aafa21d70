"""doctor: looks at an installation from all sides and says, for each thing that is not right, what to do.

Changes nothing but for two hidden files at the top of each root (written and removed, to try leases and exchanges) and,
with *probes*, a few objects under probe/ in each store. An audit proves the books; this looks at what surrounds them.
"""

import json
import os
import secrets
from collections.abc import Iterator

from policies.amounts import say_bytes, say_time
from policies.values import NS_PER_DAY
from tiering.catalog import journal, ledger, roots, runs, scans, segments
from tiering.catalog.totals import totals_of
from tiering.catalog.values import FileState
from tiering.config.hints import read_hints
from tiering.errors import ConfigError, FrostlineError
from tiering.hot import names
from tiering.hot.evidence import is_network, mount_quality
from tiering.hot.marker import check_marker
from tiering.hot.space import free_bytes
from tiering.hot.walk import find_ours
from tiering.jobs.context import Context, OpenRoot, OpenTier
from tiering.jobs.doctor_bucket import bucket_findings
from tiering.jobs.doctor_restores import restore_findings
from tiering.jobs.finding import Finding, Weight
from tiering.jobs.outdated import refuse_outdated
from tiering.jobs.preflight import preflight
from tiering.jobs.processes import is_dead
from tiering.jobs.upload_choice import sentences
from tiering.stores import ownership
from tiering.stores.base import Capabilities
from tiering.stores.probe import probe

STALE_SCAN_NS = 7 * NS_PER_DAY
STALE_SEGMENT_RECORDS = 100_000
LEFT_SHOWN = 5


def doctor(ctx: Context, *, probes: bool = False) -> Iterator[Finding]:
    """Yield findings, as they are made. Never raises for what it finds."""
    yield from _catalog(ctx)
    yield from _hints(ctx)
    yield from _places(ctx)
    for root in ctx.roots:
        yield from _root(ctx, root)
    yield from _lost_roots(ctx)
    asked: set[str] = set()
    for tier in ctx.tiers.values():
        if tier.store.url not in asked:
            asked.add(tier.store.url)
            yield from _store(ctx, tier, probes=probes)
            yield from bucket_findings(ctx, tier)
    yield from (Finding(Weight.GOOD, said) for said in sentences(ctx))
    yield from restore_findings(ctx)
    yield from _work(ctx)


def _catalog(ctx: Context) -> Iterator[Finding]:
    with ctx.catalog.read() as tx:
        number, _ = ledger.last(tx)
        waiting = segments.waiting(tx)
    yield Finding(Weight.GOOD, f"catalog {ctx.catalog.shown_url}: opens, {number:,} ledger entries")
    if waiting > STALE_SEGMENT_RECORDS:
        yield Finding(
            Weight.BAD,
            f"{waiting:,} records wait for a segment: losing the catalog now would lose them",
            "see whether the store can be written; frostline reconcile writes them",
        )


def _hints(ctx: Context) -> Iterator[Finding]:
    try:
        read_hints(ctx.config, ctx.clock.now_ns())
    except ConfigError as error:
        yield Finding(Weight.BAD, f"no plan can be made: {error.what}", error.hint)


def _places(ctx: Context) -> Iterator[Finding]:
    found = False
    for missing in preflight(ctx):
        found = True
        line = f"for the service: {missing.line}" if missing.line else ""
        yield Finding(Weight.NOTE, missing.what, line)
    if not found:
        yield Finding(Weight.GOOD, "this process may do everything that exact restoring needs")
    free = free_bytes(os.fsencode(ctx.config.catalog.state_dir))
    need = 4 * ctx.config.chunking.pack_bytes
    if free < need:
        yield Finding(
            Weight.BAD,
            f"{ctx.config.catalog.state_dir} has {say_bytes(free)} free; packs being built need {say_bytes(need)}",
            "free space there, or lower chunking.pack_bytes",
        )


def _root(ctx: Context, root: OpenRoot) -> Iterator[Finding]:
    shown = os.fsdecode(root.path)
    try:
        if root.marker:
            check_marker(root.path, root.marker)
        quality = mount_quality(root.path)
        network = is_network(root.path)
    except FrostlineError as error:
        yield Finding(
            Weight.BAD,
            error.what,
            f"mount it; if it is the right tree without its marker: frostline init --root {shown}",
        )
        return
    except OSError as error:
        yield Finding(Weight.BAD, f"{shown}: {error.strerror}", "mount it")
        return
    yield Finding(Weight.GOOD, f"root {root.name} ({shown}): mounted, reading known by: {quality}")
    if not quality.is_evidence:
        yield Finding(
            Weight.NOTE,
            f"{shown} records no reading: only rules by age move its files",
            "mount it with relatime, or set open_counter = true",
        )
    if network:
        yield Finding(
            Weight.NOTE,
            f"{shown} is on a network or FUSE file system: files are stored and not released",
            'see release_without_lease in docs/config.md, e.g. "7d"',
        )
    yield from _scan_of(ctx, root)
    yield from _leftovers(ctx, root)


def _lost_roots(ctx: Context) -> Iterator[Finding]:
    """Roots that the catalog has and the configuration no more: nobody looks at them, or brings their files back."""
    opened = {root.root_id for root in (*ctx.roots, *ctx.buckets)}
    with ctx.catalog.read() as tx:
        for row in roots.all_roots(tx):
            if row.root_id in opened or row.state != "active":
                continue
            away = totals_of(tx, root_id=row.root_id).get(FileState.OFFLINE)
            shown = f"root {row.name} ({os.fsdecode(row.path)}) is in the catalog and not in the configuration"
            if away is not None:
                said = f"{shown}: {away.files:,} files of it, {say_bytes(away.size_bytes)}, are in the store alone"
                yield Finding(Weight.BAD, said, "put its [[roots]] back under that name, or they cannot be recalled")
            else:
                yield Finding(
                    Weight.NOTE, f"{shown}: it is not scanned", "put its [[roots]] back if it is still in use"
                )


def _scan_of(ctx: Context, root: OpenRoot) -> Iterator[Finding]:
    with ctx.catalog.read() as tx:
        last = scans.last(tx, root.root_id, state="complete")
        newest = scans.last(tx, root.root_id)
    now_ns = ctx.clock.now_ns()
    if last is None:
        yield Finding(Weight.NOTE, f"root {root.name} was never scanned", "frostline scan")
    elif now_ns - (last.finished_ns or last.started_ns) > STALE_SCAN_NS:
        ago = say_time(now_ns - (last.finished_ns or last.started_ns))
        yield Finding(Weight.NOTE, f"the last complete scan of root {root.name} was {ago} ago", "does the daemon run?")
    if newest is not None and newest.state in {"refused", "awaiting_confirmation"}:
        hint = "frostline scan --confirm-missing if that is right" if newest.state != "refused" else "frostline scan"
        yield Finding(Weight.BAD, f"the last scan of root {root.name} is {newest.state}: {newest.note}", hint)


def _leftovers(ctx: Context, root: OpenRoot) -> Iterator[Finding]:
    """Look for hidden names that no operation under way explains."""
    with ctx.catalog.read() as tx:
        known = {row.op_id.rpartition(":")[2] for row in journal.every(tx)}
    found = list(find_ours(root.path))
    restores = {name: folder for folder, name in found if names.restore_of(name) is not None}
    for folder in sorted(restores.values()):
        yield Finding(
            Weight.NOTE,
            f"a restore writes to {os.fsdecode(os.path.join(root.path, folder))}, or was killed there",
            "if it was killed: the next restore into the same folder removes what it left hidden, and so does leave",
        )
    known |= {op for op in map(names.restore_of, restores) if op is not None}
    left = [
        os.fsdecode(os.path.join(root.path, folder, name))
        for folder, name in found
        if name not in restores and names.operation_of(name) not in known
    ]
    for path in left[:LEFT_SHOWN]:
        yield Finding(
            Weight.BAD,
            f"{path} is ours and no operation explains it",
            "frostline reconcile; if it stays, look before you delete it: it may be the only copy of a conflict",
        )
    if len(left) > LEFT_SHOWN:
        yield Finding(Weight.BAD, f"... and {len(left) - LEFT_SHOWN:,} more under {os.fsdecode(root.path)}")


def _store(ctx: Context, tier: OpenTier, *, probes: bool) -> Iterator[Finding]:
    try:
        ownership.check(tier.store, ctx.catalog_id, ctx.epoch)
        if tier.store.url == ctx.metadata.store.url:
            refuse_outdated(ctx)
        uploads = 0 if tier.store.url.startswith("s3:") else sum(1 for _ in tier.store.list_uploads())
        seen = _probed(ctx, tier) if probes else tier.capabilities
    except FrostlineError as error:
        yield Finding(Weight.BAD, f"tier {tier.name}: {error.what}", error.hint)
        return
    yield Finding(Weight.GOOD, f"tier {tier.name} ({tier.store.url}): reachable, ours, epoch {ctx.epoch}")
    if uploads:
        yield Finding(
            Weight.NOTE, f"{uploads:,} unfinished uploads in {tier.store.url} are billed", "frostline gc --yes"
        )
    if tier.capabilities != seen:
        yield Finding(Weight.BAD, f"{tier.store.url} behaves otherwise than at init: {seen}", "frostline init")
    if not seen.conditional_put:
        yield Finding(Weight.NOTE, f"{tier.store.url} has no conditional create: one process writes at a time")
    if not seen.verifies_checksum:
        yield Finding(Weight.NOTE, f"{tier.store.url} does not verify checksums: every upload is read back")


def _probed(ctx: Context, tier: OpenTier) -> Capabilities:
    on_store = [other for other in (*ctx.tiers.values(), ctx.metadata) if other.store.url == tier.store.url]
    classes = sorted({other.storage_class for other in on_store})
    return probe(tier.store, storage_classes=classes, nonce=secrets.token_hex(8))


def _work(ctx: Context) -> Iterator[Finding]:
    with ctx.catalog.read() as tx:
        dead = sum(1 for row in journal.every(tx) if is_dead(row.owner, mine=ctx.owner))
        failed = [row for job in ("scan", "cycle", "tickets", "accrue", "gc") if (row := runs.last(tx, job))]
    if dead:
        yield Finding(Weight.BAD, f"{dead:,} operations of dead processes are half done", "frostline reconcile")
    for row in failed:
        if row.outcome == "failed":
            what = json.loads(row.detail).get("what", "")
            yield Finding(Weight.BAD, f"the last {row.job} failed: {what}", "journalctl -u frostlined")
