"""What explain says of files is what the ledger books for them: stored, held, moved, brought back, deleted."""

from collections import Counter

import pytest

from policies.cost import early_delete_usd
from tests.cloud.installation import Site
from tests.cloud.test_mover import live
from tests.cloud.test_planned_moves import away, put, scan
from tests.jobs.lab import Lab
from tests.jobs.outbound import items, rows
from tests.whole.tree import noise
from tiering.catalog import accounts, commit, ledger
from tiering.catalog import packs as pack_rows
from tiering.catalog.values import PackRow, PackState
from tiering.config.policy import price_book
from tiering.jobs.accrue import accrue
from tiering.jobs.advance import advance
from tiering.jobs.apply import apply_plan
from tiering.jobs.charges import charge
from tiering.jobs.explaining import explain_file
from tiering.jobs.gc import collect
from tiering.jobs.migrate import migrate
from tiering.jobs.plan import make_plan
from tiering.jobs.recall import recall
from tiering.jobs.release import release
from tiering.report.dollars import MONTH, ONCE, Line, lines_of
from tiering.report.events import COPY, DELETE, RECALL, event_lines

pytestmark = pytest.mark.s3
MONTH_H = 730
SIZE = 2_000_000
CLASSES = {"standard": "STANDARD", "rare": "STANDARD_IA", "archive": "GLACIER"}
DEEP = [{"name": "deep", "idle": "90d", "tier": "archive"}]
COLD = (accounts.COST_REQUESTS, accounts.COST_TRANSITION, accounts.COST_RETRIEVAL, accounts.COST_EARLY_DELETE)


def booked(lab: Lab, *, tier: str = "", account: str = "") -> Counter[str]:
    """Return the ledger's cold dollars so far by account, of *tier*."""
    charge(lab.context, reason="test")
    found: Counter[str] = Counter()
    with lab.catalog.read() as tx:
        for entry in ledger.entries(tx):
            for line in entry.lines:
                if line.account in COLD and line.tier in ({tier} if tier else line.tier):
                    found[line.account] += line.amount
    return found


def delta(after: Counter[str], before: Counter[str]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in COLD if after[name] != before[name]}


def explained(lab: Lab, *paths: bytes) -> list[Line]:
    """Return the lines of these files, or of all."""
    known = rows(lab)
    found: list[Line] = []
    for path in paths or known:
        found += lines_of(lab.context, known[path]) + event_lines(lab.context, known[path])
    return found


def total(lines: list[Line], when: str, tier: str) -> int:
    return sum(line.nano for line in lines if (line.when, line.tier) == (when, tier))


def three_files(lab: Lab, tier: str, *, stay: bool = False) -> None:
    """Store and free three files, or let them *stay*; two have a chunk in common with another, one is in two packs."""
    put(lab, "a", seed=1, size=SIZE)
    put(lab, "b", seed=2, size=SIZE)
    lab.write("c", noise(1, SIZE)[: SIZE // 2] + noise(3, SIZE))
    scan(lab)
    if stay:
        migrate(lab.context, items(lab, tier))
    else:
        away(lab, tier=tier)


def test_p6_storing_and_holding_cost_what_explain_says(site: Site) -> None:
    with site.lab(CLASSES) as lab:
        charge(lab.context, reason="opening")
        before = booked(lab, tier="rare")
        three_files(lab, "rare", stay=True)
        said = explained(lab)
        stored = booked(lab, tier="rare")
        spent = delta(stored, before)
        assert abs(spent.pop(accounts.COST_REQUESTS) - total(said, ONCE, "rare")) <= len(said)
        assert spent == {}

        assert release(lab.context, items(lab, "rare"), wait_parked=True).files_skipped == ()
        heads = len(live(lab))  # whether they still stand; the most that a release costs
        assert delta(booked(lab, tier="rare"), stored) == {accounts.COST_REQUESTS: 1000 * heads}

        accrue(lab.context)
        held = storage(lab, "rare")
        site.run(MONTH_H)
        accrue(lab.context)
        assert abs(storage(lab, "rare") - held - total(said, MONTH, "rare")) <= len(said)


def storage(lab: Lab, tier: str) -> int:
    """Return what a tier's storage has cost so far."""
    with lab.catalog.read() as tx:
        lines = (line for entry in ledger.entries(tx) for line in entry.lines)
        return sum(line.amount for line in lines if (line.account, line.tier) == (accounts.COST_STORAGE, tier))


def test_p6_a_change_of_class_costs_what_explain_says(site: Site) -> None:
    with site.lab(CLASSES, rules=DEEP) as lab:
        three_files(lab, "rare")
        site.run(100 * 24)
        scan(lab)
        root = lab.context.roots[0]
        moves = [explain_file(lab.context, root, b"", name).move for name in (b"a", b"b", b"c")]
        quotes = [move.quote for move in moves if move is not None]
        assert len(quotes) == 3
        said = {
            accounts.COST_REQUESTS: sum(quote.request_nano for quote in quotes),
            accounts.COST_TRANSITION: sum(quote.transition_nano for quote in quotes),
            accounts.COST_RETRIEVAL: sum(quote.retrieval_nano for quote in quotes),
            accounts.COST_EARLY_DELETE: sum(quote.early_delete_nano for quote in quotes),
        }
        before = booked(lab)
        apply_plan(lab.context, make_plan(lab.context), wait_parked=True)
        spent = delta(booked(lab), before)
        rounded = len(live(lab))  # retrieval is rounded down per pack here, and once in the books
        assert abs(spent.pop(accounts.COST_RETRIEVAL) - said.pop(accounts.COST_RETRIEVAL)) < rounded
        assert spent == {name: nano for name, nano in said.items() if nano}


@pytest.mark.parametrize("tier", ["rare", pytest.param("standard", marks=pytest.mark.heavy)])
def test_p6_a_recall_from_an_instant_class_costs_what_explain_says(site: Site, tier: str) -> None:
    with site.lab(CLASSES) as lab:
        three_files(lab, tier)
        for path in (b"a", b"c"):
            said = explained(lab, path)
            before = booked(lab)
            assert recall(lab.context, items(lab, tier, [path]), reason="needed").exit_code == 0
            spent = sum(delta(booked(lab), before).values())
            lines = [line for line in said if line.when == RECALL]
            assert abs(spent - sum(line.nano for line in lines)) <= len(lines)


def test_p6_a_recall_from_an_archive_costs_what_explain_says(site: Site) -> None:
    with site.lab(CLASSES) as lab:
        put(lab, "a", seed=1, size=SIZE)
        scan(lab)
        away(lab, tier="archive")
        said = explained(lab)
        before = booked(lab)
        assert recall(lab.context, items(lab, "archive"), reason="needed").exit_code == 4
        site.run(6)
        advance(lab.context)
        assert str(rows(lab)[b"a"].state) == "dual"
        spent = delta(booked(lab), before)
        look_nano = price_book(lab.context.config).price("GLACIER").get_nano
        recalls = sum(line.nano for line in said if line.when == RECALL)
        copies = copy_nano(lab)
        looks = sum(spent.values()) - copies - recalls
        assert 0 < copies <= sum(line.nano for line in said if line.when == COPY)
        assert looks >= 0
        assert min(looks % look_nano, look_nano - looks % look_nano) <= len(said)
        assert looks < 12 * look_nano


def copy_nano(lab: Lab) -> int:
    """Return what readable copies have cost so far."""
    with lab.catalog.read() as tx:
        copies = [entry for entry in ledger.entries(tx) if entry.op_id.startswith("copy:")]
    return sum(line.amount for entry in copies for line in entry.lines if line.account == accounts.COST_RETRIEVAL)


@pytest.mark.parametrize("tier", ["rare", pytest.param("archive", marks=pytest.mark.heavy)])
def test_p6_deleting_costs_what_explain_says(site: Site, tier: str) -> None:
    with site.lab(CLASSES, versions={"missing_days": 0, "keep_days": 0}) as lab:
        three_files(lab, tier)
        site.run(10 * 24)
        known = rows(lab)
        said = explained(lab)
        assert abs(rest_of_stays(lab) - total(said, DELETE, tier)) <= len(said)
        before = booked(lab)[accounts.COST_EARLY_DELETE]
        with lab.catalog.write() as tx:
            commit.delete_files(tx, [row.file_id for row in known.values()], op_id="test:gone", reason="by hand")
        left = 0
        while standing(lab):  # doomed first, deleted by a later look, when less is left of the stay
            left = rest_of_stays(lab)
            collect(lab.context)
            site.run(1)
        assert booked(lab)[accounts.COST_EARLY_DELETE] - before == left


def standing(lab: Lab) -> list[PackRow]:
    """Return the data packs that stand in the store."""
    with lab.catalog.read() as tx:
        states = (PackState.LIVE, PackState.DOOMED, PackState.DELETING)
        return [pack for state in states for pack in pack_rows.in_state(tx, state) if pack.kind == "data"]


def rest_of_stays(lab: Lab) -> int:
    """Return what deleting every data pack now would cost."""
    book, now_ns = price_book(lab.context.config), lab.clock.now_ns()
    return sum(
        early_delete_usd(book, pack.storage_class, pack.size, held_hours=(now_ns - pack.created_ns) // (3600 * 10**9))
        for pack in standing(lab)
    )
