"""A year of a training run: a checkpoint a month, older ones colder by rule, one kept warm, one called back; what was
asked of the packs is counted, and what stood where is written down month by month.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

from policies.prices import PriceBook
from tests.cloud.installation import BUCKET, Site
from tests.cloud.kinds import kind_of
from tests.cloud.objects import ARCHIVED
from tests.cloud.placement import hold_month
from tests.cloud.wire import Answer, Request
from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn, rows
from tests.whole import models
from tiering.catalog import packs as pack_rows
from tiering.catalog import recipes, repacking, temperature
from tiering.catalog.values import FileState, PackState
from tiering.jobs import mover
from tiering.jobs.gc import collect
from tiering.jobs.migrate import migrate
from tiering.jobs.mover import MoveReport
from tiering.jobs.pack_plans import ranks_of
from tiering.jobs.release import release

MONTH_H = 730
CLASSES = {"standard": "STANDARD", "rare": "GLACIER_IR", "archive": "DEEP_ARCHIVE"}
_PAID = {"put": "put", "copy": "put", "create": "put", "part": "put", "complete": "put", "get": "get", "head": "get"}


def path_of(number: int) -> bytes:
    """Return where a checkpoint stands."""
    return b"run/step-%05d/model.safetensors" % (1000 * number)


def content_of(number: int, words: int) -> bytes:
    """Return a checkpoint: weights that drift, and embeddings that all of the run share."""
    body = models.bf16(models.weights(1, number, words))
    shared = models.bf16(models.weights(2, 0, words // 2))
    return models.safetensors(embed=("BF16", shared), body=("BF16", body))


@dataclass(slots=True)
class Year:
    """The run, its installation, and what was seen."""

    site: Site
    lab: Lab
    words: int
    content: dict[bytes, bytes] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    """Kind -> requests for packs."""
    asked_nano: Fraction = Fraction(0)
    held_nano: Fraction = Fraction(0)
    """Of packs, months that are over."""
    history: list[dict[int, tuple[int, int]]] = field(default_factory=list)
    """By month: chunk -> (how cold it may stand, bytes), once everything of the month is done."""
    moved: list[MoveReport] = field(default_factory=list)
    also: Callable[[Request, Answer], None] | None = None

    def __post_init__(self) -> None:
        """Watch the cloud, beside whoever does."""
        self.also = self.site.app.watch
        self.site.app.watch = self.watch

    def watch(self, request: Request, answer: Answer) -> None:
        """Count what is asked about packs."""
        if self.also is not None:
            self.also(request, answer)
        if not request.key.startswith("packs/"):
            return
        kind = kind_of(request)
        self.asked[kind] += 1
        if kind in _PAID:
            stored = self.site.app.objects.get((BUCKET, request.key))
            named = request.header("x-amz-storage-class") or (stored.storage_class if stored else "STANDARD")
            price = self.book.price(named)
            self.asked_nano += price.put_nano if _PAID[kind] == "put" else price.get_nano

    @property
    def book(self) -> PriceBook:
        """The cloud's prices."""
        return self.site.app.bill.book

    @property
    def early_nano(self) -> int:
        """Return what leaving classes early and reading out of them cost."""
        billed = self.site.billed()
        billed.subtract(self.site.probing)
        return billed["early_delete"] + billed["retrieval"]

    def save(self, number: int) -> None:
        """A checkpoint is saved and stored at once; the one before is coded against it and leaves the disk."""
        path = path_of(number)
        self.content[path] = content_of(number, self.words)
        self.lab.write(path, self.content[path])
        learn(self.lab)
        migrate(self.lab.context, items(self.lab, "standard", [path]))
        if number:
            self.free([path_of(number - 1)])

    def free(self, paths: list[bytes]) -> None:
        """Free the hot bytes."""
        assert release(self.lab.context, items(self.lab, "standard", paths), wait_parked=True).files_skipped == ()

    def cool(self, tier: str, numbers: list[int]) -> None:
        """Give checkpoints to a colder tier, as `migrate --to` does."""
        if numbers:
            known = rows(self.lab)
            going = [known[path_of(number)] for number in numbers]
            self.moved.append(mover.move(self.lab.context, going, tier, reason="by age"))

    def end_month(self) -> None:
        """gc and the mover, twice, as in a daemon's weeks; what is true is written down; the month goes by."""
        for _ in range(2):
            collect(self.lab.context)
            self.moved.append(mover.tend_packs(self.lab.context))
            self.site.run(1 / 3600)
        collect(self.lab.context)
        self.look()
        self.site.run(MONTH_H - 2 / 3600)

    def look(self) -> None:
        """Write down what is needed and where it may stand; hold what must hold at every moment against the cloud."""
        ranks = ranks_of(self.lab.context)
        found: dict[int, tuple[int, int]] = {}
        with self.lab.catalog.read() as tx:
            assert list(temperature.misplaced(tx, ranks)) == []
            live = [row for row in pack_rows.in_state(tx, PackState.LIVE) if row.kind == "data"]
            for row in live:
                of_chunk = temperature.chunk_ranks(tx, row.pack_no, ranks)
                numbers = repacking.chunk_numbers(tx, row.pack_no)
                for at in pack_rows.chunks_of(tx, row.pack_no):
                    number = numbers[at.block.block_no, at.inner_offset]
                    if number in of_chunk:
                        found[number] = of_chunk[number] - 1, at.stored_len
        assert self.unreadable() == []
        self.history.append(found)
        for (bucket, key), stored in self.site.app.objects.items():
            if bucket == BUCKET and key.startswith("packs/"):
                self.held_nano += hold_month(self.book, stored.storage_class, stored.size)

    def unreadable(self) -> list[bytes]:
        """Return files of instant tiers that need an object which the cloud would refuse to give now: none."""
        wanted: dict[bytes, int] = {}
        for path, row in rows(self.lab).items():
            if row.tier != "archive" and row.recipe_no is not None and row.state is FileState.OFFLINE:
                wanted[path] = row.recipe_no
        with self.lab.catalog.read() as tx:
            needed = recipes.packs_of(tx, list(wanted.values()))
            keys = pack_rows.by_numbers(tx, {number for found in needed.values() for number in found})
        cold = {key for (_, key), stored in self.site.app.objects.items() if stored.storage_class in ARCHIVED}
        return [path for path, number in wanted.items() if any(keys[pack].key in cold for pack in needed[number])]
