"""An audit as one self-contained HTML page: verdict, waterfall, dollars, discrepancies. No script, no network."""

from collections.abc import Iterable, Sequence
from html import escape

from policies.amounts import say_bytes
from tiering.report.waterfall import Step

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a2230; }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% } td, th { padding: .25rem .6rem; text-align: left }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
tr.total td { font-weight: 600; border-top: 1px solid #8895a7 }
.bar { height: .9rem; background: #4a7ba6 } .bar.less { background: #5c9a6b } .bar.total { background: #2c4460 }
.ok { color: #2e7040 } .bad { color: #a03028 }
"""


def audit_html(
    *,
    title: str,
    agreed: str,
    steps: Sequence[Step],
    facts: Iterable[tuple[str, str]],
    discrepancies: Sequence[str],
    notes: Sequence[str] = (),
) -> str:
    """Return the page. *agreed* names what was compared and agrees, "" where something does not; *facts* are (label,
    value) for people; every text is escaped.
    """
    verdict = (
        f'<p class="ok">The books balance: {escape(agreed)} agree.</p>'
        if agreed
        else '<p class="bad">The books do not balance.</p>'
    )
    faults = _list("Discrepancies", discrepancies) + _list("Notes", notes)
    rows = "".join(f'<tr><td>{escape(label)}</td><td class="n">{escape(value)}</td></tr>' for label, value in facts)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
        f"<h1>{escape(title)}</h1>{verdict}<h2>From files to bucket</h2>{_waterfall(steps)}"
        f"<h2>In numbers</h2><table>{rows}</table>{faults}</html>\n"
    )


def _list(head: str, said: Sequence[str]) -> str:
    return f"<h2>{head}</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in said)}</ul>" if said else ""


def _waterfall(steps: Sequence[Step]) -> str:
    top = max((max(step.total_bytes, step.total_bytes - step.change_bytes) for step in steps), default=0) or 1
    rows = []
    for step in steps:
        low = 0 if step.is_total else min(step.total_bytes, step.total_bytes - step.change_bytes)
        left, width = 100 * low / top, 100 * abs(step.change_bytes) / top
        kind = "total" if step.is_total else "less" if step.change_bytes < 0 else ""
        bar = f'<div class="bar {kind}" style="margin-left:{left:.2f}%;width:{width:.2f}%"></div>'
        rows.append(
            f'<tr class="{"total" if step.is_total else ""}"><td>{escape(step.label)}</td>'
            f'<td class="n" title="{step.change_bytes} bytes">{escape(say_bytes(step.change_bytes))}</td>'
            f'<td style="width:55%">{bar}</td></tr>'
        )
    return f"<table>{''.join(rows)}</table>"
