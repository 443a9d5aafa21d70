"""A simulation, and a sensitivity analysis, as self-contained HTML pages: charts first, then the same in numbers."""

from collections.abc import Iterable, Sequence
from html import escape

from policies.amounts import say_bytes, say_dollars
from policies.sensitivity import Swing
from policies.simulator import Dollar, Outcome
from tiering.jobs.simulate import Simulation
from tiering.report.audit_html import STYLE
from tiering.report.charts import Bar, Span, stacked_bars, tornado_chart

KINDS = tuple(dollar.name.lower().replace("_", " ") for dollar in Dollar)


def simulation_html(seen: Simulation) -> str:
    """Return the page of `simulate --html`: dollars by what they were paid for, then by kind of file, per policy."""
    trace = seen.trace
    ranked = sorted(seen.outcomes, key=lambda outcome: outcome.usd_total)
    facts = (
        f"{trace.objects:,} objects, {say_bytes(int(trace.sizes.sum()))}, {int(trace.counts.sum()):,} reads in "
        f"{trace.days:,.0f} days. Prices {seen.book_id}; classes {', '.join(offer.name for offer in seen.offers)}. "
        f"The optimum knew the future: {say_dollars(seen.optimum_usd)}."
    )
    by_dollar = [
        Bar(it.policy, [float(it.usd_by_kind[dollar].sum()) for dollar in Dollar], _note(seen, it)) for it in ranked
    ]
    largest, names = _largest_kinds(seen)
    by_file = [Bar(it.policy, _by_file(it, largest), say_dollars(it.usd_total)) for it in ranked]
    rows = [
        [it.policy, *(say_dollars(float(it.usd_by_kind[dollar].sum())) for dollar in Dollar), say_dollars(it.usd_total),
         f"{seen.ratio(it):.3f}", f"{it.recalls:,}", f"{it.waited_h:,.0f}", f"{it.moved_gib:,.0f}"]
        for it in ranked
    ]  # fmt: skip
    head = ["policy", *KINDS, "total", "/ optimum", "recalls", "waited, h", "moved, GiB"]
    return _page(
        "frostline simulate",
        f"<p>{escape(facts)}</p><h2>By what it was paid for</h2>"
        f"{stacked_bars(by_dollar, KINDS, title='Dollars by policy and purpose', mark=seen.optimum_usd)}"
        f"<h2>By kind of file</h2>{stacked_bars(by_file, names, title='Dollars by policy and kind of file')}"
        f"<h2>In numbers</h2>{_table(head, rows)}",
    )


def sensitivity_html(swings: Sequence[Swing], *, policy: str, history: str) -> str:
    """Return the page of `sensitivity --html`: the tornado, then its rows. *history* says what was replayed."""
    spans = [
        Span(it.factor.name, it.low_usd_day, it.high_usd_day, f"x{it.factor.low:g} .. x{it.factor.high:g}")
        for it in swings
    ]
    middle = swings[0].base_usd_day
    rows = [
        [it.factor.name, f"x{it.factor.low:g}", f"x{it.factor.high:g}", f"{it.low_usd_day:.4g}",
         f"{it.base_usd_day:.4g}", f"{it.high_usd_day:.4g}", f"{it.swing:.4g}"]
        for it in swings
    ]  # fmt: skip
    said = f"{history} Policy {policy}. Dollars per day; one factor at a time, the others as they are."
    return _page(
        "frostline sensitivity",
        f"<p>{escape(said)}</p>{tornado_chart(spans, middle, title='Dollars per day by assumption')}<h2>In numbers</h2>"
        f"{_table(['factor', 'low', 'high', '$/day low', 'now', '$/day high', 'swing'], rows)}",
    )


def _note(seen: Simulation, outcome: Outcome) -> str:
    return f"{say_dollars(outcome.usd_total)}  x{seen.ratio(outcome):.2f}"


def _largest_kinds(seen: Simulation) -> tuple[list[int], list[str]]:
    """Return the kinds that cost most, as many as there are colours but one, and the names of the legend."""
    totals = [max(float(it.usd_by_kind[:, kind].sum()) for it in seen.outcomes) for kind in range(_kinds(seen))]
    order = sorted(range(len(totals)), key=lambda kind: -totals[kind])[:5]
    return order, [*(seen.trace.kind_names[kind] for kind in order), "others"]


def _kinds(seen: Simulation) -> int:
    return len(seen.trace.kind_names)


def _by_file(outcome: Outcome, largest: Sequence[int]) -> list[float]:
    parts = [float(outcome.usd_by_kind[:, kind].sum()) for kind in largest]
    return [*parts, max(0.0, outcome.usd_total - sum(parts))]


def _table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr><td style='white-space:nowrap'>{escape(first)}</td>{''.join(map(_cell, rest))}</tr>"
        for first, *rest in rows
    )
    return f'<div style="overflow-x:auto"><table style="font-size:.8rem"><tr>{top}</tr>{body}</table></div>'


def _cell(said: str) -> str:
    return f'<td class="n">{escape(said)}</td>'


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
        f"<h1>{escape(title)}</h1>{body}</html>\n"
    )
