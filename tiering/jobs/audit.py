"""audit: prove the books. Ledger chain and balances, catalog, store and disk are compared, and every difference
is a sentence.

Reads only. The numbers are the ledger's own balances, as an auditor would add them up; the checks say whether
anything else disagrees with them.
"""

import importlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from policies.values import HOT
from tiering.catalog import accounts, accruals, files, ledger, sums, temperature
from tiering.catalog.transaction import Tx
from tiering.catalog.values import PackState
from tiering.jobs import disk_check, inventory_check, store_check
from tiering.jobs.context import Context
from tiering.jobs.findings import Findings
from tiering.jobs.storage_rates import AVOIDED, REALISED

NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Dollars:
    """What storage cost, and what it would have cost on the hot tier alone. Dollars; the ledger has nano-dollars."""

    baseline: float
    actual: float
    saved_realised: float
    """What came off a bill: hot bytes given back where the hot tier is refundable, less what the cold tiers cost."""
    saved_avoided: float
    """The same where the hot tier is paid for anyway: room won, not money."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What the books say, and what disagrees with them. Bytes are exact; totals over all tiers."""

    ok: bool
    files: int
    """Names known and not missing."""
    logical_bytes: int
    hot_bytes: int
    """hot_only + dual, on the hot tier."""
    original_bytes: int
    """The same of objects of buckets, in their buckets: logical = hot + original + offline."""
    object_bytes: int
    """Of logical_bytes: all of the objects of buckets."""
    dual_bytes: int
    offline_bytes: int
    stored_bytes: int
    """Live."""
    dead_bytes: int
    """Unreferenced or doomed, still in the bucket."""
    retained_bytes: int
    metadata_bytes: int
    dedup_saved_bytes: int
    compression_saved_bytes: int
    overhead_bytes: int
    bucket_bytes: int
    in_flight_bytes: int
    """Uploads of running processes: in the bucket, not yet in the books."""
    usd: Dollars
    discrepancies: tuple[str, ...]
    discrepancy_count: int
    """All of them; the list is cut after the first thousand."""
    notes: tuple[str, ...] = ()
    """What could not be looked at (a root not mounted), and what is no fault but worth knowing."""
    by_tier: dict[str, dict[str, int]] = field(default_factory=dict)
    """tier -> account -> bytes, as in the ledger."""

    @property
    def exit_code(self) -> int:
        """0, or 10 on a discrepancy."""
        return 0 if self.ok else 10

    def as_json(self) -> dict[str, object]:
        """Return the report with the documented keys."""
        return asdict(self)


def audit(
    ctx: Context,
    *,
    since_ns: int = 0,
    until_ns: int | None = None,
    check_store: bool = True,
    check_disk: bool = True,
    inventory: str = "",
) -> AuditReport:
    """Compare everything with everything; *since_ns* and *until_ns* bound the dollars, bytes are as of now. With
    *inventory*, the manifest of an S3 Inventory on disk, the stores are not listed: it stands for that of its bucket.

    Reads the whole ledger, all chunk rows, one listing of each store and of each bucket whose objects are
    stored, and the stat of each dual or offline file.
    Raises what the stores and the catalog raise; a root that is not mounted is a note.
    """
    found = Findings()
    with ctx.catalog.read() as tx:
        found.add_all(ledger.verify_chain(tx))
        found.add_all(ledger.verify_balances(tx))
        balances = ledger.all_balances(tx)
        found.add_all(_against_rows(tx))
        found.add_all(sums.identities(balances))
        found.add_all(_misplaced(tx, ctx))
        names = files.count(tx)
        usd = _dollars(tx, ctx, since_ns=since_ns, until_ns=until_ns)
    in_flight = store_check.check_stores(ctx, found) if check_store and not inventory else 0
    if inventory:
        inventory_check.check_inventory(ctx, inventory, found)
    if check_disk:
        for root in ctx.roots:
            disk_check.check_root(ctx, root, found)
        if ctx.buckets:  # brings boto3 along
            importlib.import_module("tiering.jobs.object_check").check_buckets(ctx, found)
    if -sum(of for (account, tier), of in balances.items() if _is_of_objects(account, tier)):
        found.note(
            "dollars: what the packs of objects of buckets cost is among those of the tiers; what they would cost in "
            "their buckets is not (frostline buckets status)"
        )
    return _report(balances, names=names, usd=usd, in_flight=in_flight, found=found)


def _is_of_objects(account: str, tier: str) -> bool:
    return account == accounts.FILES_LOGICAL and tier.startswith(accounts.CARE)


def _misplaced(tx: Tx, ctx: Context) -> Sequence[str]:
    ranks = {name: tier.rank for name, tier in ctx.tiers.items()}
    return [
        f"recipe {recipe_id} belongs to {tier} and needs {key}, which "
        + ("stands in a colder tier" if state is PackState.LIVE else f"is {state}, not live: gc may delete it")
        for recipe_id, tier, key, state in temperature.misplaced(tx, ranks)
    ]


def _against_rows(tx: Tx) -> Sequence[str]:
    return [
        f"{account} {tier}".rstrip() + f": {booked} bytes in the ledger, {counted} by the catalog's rows"
        for (account, tier), (booked, counted) in sums.differences(tx).items()
    ]


def _dollars(tx: Tx, ctx: Context, *, since_ns: int, until_ns: int | None) -> Dollars:
    booked = accruals.dollars(tx, since_ns=since_ns, until_ns=until_ns)
    baseline = {flag: booked.get((accounts.BASELINE_STORAGE, flag), 0) for flag in (REALISED, AVOIDED)}
    hot = {flag: accruals.hot_cost(tx, flag=flag, since_ns=since_ns, until_ns=until_ns) for flag in (REALISED, AVOIDED)}
    cold = sum(
        amount
        for (account, tier), amount in booked.items()
        if account.startswith("cost.")
        and (account, tier) != (accounts.COST_STORAGE, HOT)
        and not tier.startswith(accounts.CARE)
    )
    saved = {flag: baseline[flag] - hot[flag] for flag in (REALISED, AVOIDED)}
    # The cold tiers' bill is set against the saving it made possible: of the kind that the hot tier gives now.
    saved[REALISED if ctx.config.hot.refundable else AVOIDED] -= cold
    return Dollars(
        baseline=sum(baseline.values()) / NANO,
        actual=(sum(hot.values()) + cold) / NANO,
        saved_realised=saved[REALISED] / NANO,
        saved_avoided=saved[AVOIDED] / NANO,
    )


def _report(balances: sums.Balances, *, names: int, usd: Dollars, in_flight: int, found: Findings) -> AuditReport:
    of: Counter[str] = Counter()
    of_objects: Counter[str] = Counter()
    by_tier: dict[str, dict[str, int]] = {}
    for (account, tier), amount in balances.items():
        of[account] += amount
        if tier.startswith(accounts.CARE):
            of_objects[account] += amount
        if accounts.UNIT_OF[account] == accounts.BYTE and tier:
            by_tier.setdefault(tier, {})[account] = amount
    originals = of_objects[accounts.FILES_HOT_ONLY] + of_objects[accounts.FILES_DUAL]
    return AuditReport(
        ok=found.count == 0,
        files=names,
        logical_bytes=-of[accounts.FILES_LOGICAL],
        hot_bytes=of[accounts.FILES_HOT_ONLY] + of[accounts.FILES_DUAL] - originals,
        original_bytes=originals,
        object_bytes=-of_objects[accounts.FILES_LOGICAL],
        dual_bytes=of[accounts.FILES_DUAL],
        offline_bytes=of[accounts.FILES_OFFLINE],
        stored_bytes=of[accounts.STORE_LIVE],
        dead_bytes=of[accounts.BUCKET_DEAD],
        retained_bytes=-of[accounts.HELD_RETAINED],
        metadata_bytes=of[accounts.BUCKET_METADATA],
        dedup_saved_bytes=of[accounts.STORE_DEDUP_SAVED],
        compression_saved_bytes=of[accounts.STORE_COMPRESSION_SAVED],
        overhead_bytes=-of[accounts.STORE_OVERHEAD],
        bucket_bytes=-of[accounts.BUCKET_TOTAL],
        in_flight_bytes=in_flight,
        usd=usd,
        discrepancies=tuple(found.sentences),
        discrepancy_count=found.count,
        notes=tuple(found.notes),
        by_tier=by_tier,
    )
