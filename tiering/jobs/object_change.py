"""One object's change of class: looked at, changed if it still is what the plan saw, and booked with its batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from policies.amounts import GIB
from policies.prices import MONTH_HOURS, PriceBook
from tiering.catalog import object_moves
from tiering.catalog.object_moves import Moved
from tiering.catalog.objects import CLASS_NO, packed_etag
from tiering.catalog.transaction import Tx
from tiering.clock import NS_PER_S
from tiering.errors import FrostlineError, ObjectArchived, ObjectExists, ObjectMissing, StoreError
from tiering.jobs.bucket_care import Care, book_usage
from tiering.jobs.context import Context
from tiering.jobs.object_plan import Action
from tiering.stores.options import ONE_COPY_BYTES, StoreOptions
from tiering.stores.retry import retries
from tiering.stores.s3_bucket import Changed, Look

DAY_S = 86_400
MONTH_S = MONTH_HOURS * 3600
GONE = "it is gone"
CHANGED = "it changed since the scan"
FAULTY = "it cannot be changed in place"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one action."""

    action: Action
    changed: Changed | None = None
    look: Look | None = None
    kind: str = ""
    """Why it was skipped, for counting."""
    reason: str = ""
    """The same in full."""
    error: FrostlineError | None = None
    """The store failed: whether the change was made is not known, and its claim stays."""


class Changer:
    """Changes objects of one bucket. Thread-safe."""

    def __init__(self, ctx: Context, care: Care, *, one_copy_bytes: int = ONE_COPY_BYTES) -> None:
        """Objects above *one_copy_bytes* are copied in parts."""
        self._ctx = ctx
        self._care = care
        self._one_copy_bytes = one_copy_bytes

    def change(self, action: Action) -> Outcome:
        """Do one action, or say why not. Raises nothing of a store's; see Outcome.error."""
        key = action.key.decode()
        was_tried = False

        def attempt() -> Outcome:
            nonlocal was_tried
            look = self._care.remote.look(key)
            if was_tried and look.storage_class == action.target:
                self._care.remote.count("copy", action.target)  # done, and its answer lost
                return Outcome(action, Changed(look.etag, look.modified_s), look)
            kind, reason = unfit(action, look)
            if kind:
                return Outcome(action, None, look, kind, reason)
            was_tried = True
            done = self._care.remote.change_class(look, action.target, one_copy_bytes=self._one_copy_bytes)
            return Outcome(action, done, look)

        try:
            return retries(self._ctx.clock, StoreOptions().deadline_s)(attempt)
        except ObjectMissing:
            return Outcome(action, kind=GONE, reason=GONE)
        except ObjectExists:
            return Outcome(action, kind=CHANGED, reason="it was changed by somebody just now; it was left as it is")
        except ObjectArchived as error:
            return Outcome(action, kind=FAULTY, reason=error.what)
        except StoreError as error:
            return Outcome(action, error=error)

    def refuse_careless_server(self, batch: Sequence[Action]) -> None:
        """Raise StoreError where the server would replace a version that somebody wrote while ours was copied."""
        for action in batch:
            try:
                look = self._care.remote.look(action.key.decode())
            except ObjectMissing:
                continue
            if unfit(action, look)[0] or look.size_bytes > self._one_copy_bytes:
                continue
            if self._care.remote.respects_conditions(look):
                return
            raise StoreError(
                f"{self._care.config.url}: the server does not heed If-Match on a copy's destination: a change of "
                "class could undo what somebody writes at the same moment",
                now="one object was copied onto itself in its own class; nothing else was changed",
                hint="keep mode = report for this bucket, or use the provider's own lifecycle rules",
            )


def unfit(action: Action, look: Look) -> tuple[str, str]:
    """Return (kind, reason) for which an object that was looked at is left alone; ("", "") for none."""
    if look.fault:
        return FAULTY, look.fault
    if packed_etag(look.etag) != action.etag:
        return CHANGED, CHANGED
    if look.storage_class != action.source:
        return CHANGED, f"it is in {look.storage_class} by now"
    return "", ""


def settle(ctx: Context, care: Care, outcomes: Sequence[Outcome], *, op_id: str) -> int:
    """Commit what became of a batch, and its costs, in one transaction; return nano-dollars."""
    usage = care.meter.take()
    try:
        with ctx.catalog.write() as tx:
            done = [it for it in outcomes if it.changed is not None]
            moved = [_moved(it) for it in done]
            settled = [it.action.key for it in outcomes if it.error is None]
            object_moves.settle(tx, care.row.bucket_id, settled, moved)
            _note_skipped(tx, care, outcomes)
            now_s = tx.now_ns // NS_PER_S
            return book_usage(
                tx,
                care,
                usage,
                reason=f"class changes of {len(done)} objects",
                retrieval=int(sum(_retrieval(care.book, it.action) for it in done)),
                early=int(sum(_early(care.book, it.action, now_s) for it in done)),
                op_id=op_id,
            )
    except FrostlineError:
        care.meter.give_back(usage)
        raise


def once(book: PriceBook, *, source: str, size: int, since_s: int, now_s: int) -> tuple[Fraction, Fraction]:
    """Return nano-dollars of (reading an object out of its class, the rest of its minimum stay), exactly."""
    price = book.price(source)
    retrieval = Fraction(price.retrieval_nano_per_gib * size, GIB)
    left_s = max(0, price.min_days * DAY_S - max(0, now_s - since_s))
    month = Fraction(price.storage[0].nano_per_gib * max(size, price.min_billed_bytes), GIB)
    for other, overhead_bytes in price.overhead:
        if other == source:
            month += Fraction(price.storage[0].nano_per_gib * overhead_bytes, GIB)
    return retrieval, month * Fraction(left_s, MONTH_S)


def _retrieval(book: PriceBook, action: Action) -> Fraction:
    return once(book, source=action.source, size=action.size, since_s=action.since_s, now_s=0)[0]


def _early(book: PriceBook, action: Action, now_s: int) -> Fraction:
    return once(book, source=action.source, size=action.size, since_s=action.since_s, now_s=now_s)[1]


def _moved(outcome: Outcome) -> Moved:
    assert outcome.changed is not None
    action, changed = outcome.action, outcome.changed
    return Moved(
        key=action.key,
        source_no=CLASS_NO[action.source],
        target_no=CLASS_NO[action.target],
        etag=packed_etag(changed.etag),
        modified_s=changed.modified_s,
    )


def _note_skipped(tx: Tx, care: Care, outcomes: Sequence[Outcome]) -> None:
    for it in outcomes:
        if it.changed is not None or it.error is not None:
            continue
        if it.kind == GONE:
            object_moves.forget(tx, care.row.bucket_id, it.action.key)
        elif it.kind == CHANGED and it.look is not None:
            object_moves.refresh(
                tx,
                care.row.bucket_id,
                it.action.key,
                size=it.look.size_bytes,
                class_no=CLASS_NO.get(it.look.storage_class, CLASS_NO["OTHER"]),
                etag=packed_etag(it.look.etag),
                modified_s=it.look.modified_s,
            )
