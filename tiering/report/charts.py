"""Charts as inline SVG, drawn by hand: stacked bars and a tornado. No script, no network, no library.

Texts are escaped here. Widths are in pixels of a page 60 rem wide; a chart is as high as it has rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from policies.amounts import say_dollars

WIDTH, LEFT, RIGHT = 920, 230, 150
ROW, BAR, HEAD = 30, 18, 34
COLOURS = ("#2c5f8a", "#d08a2e", "#5c9a6b", "#a03028", "#7d6aa8", "#8895a7")
LOW_COLOUR, HIGH_COLOUR = "#5c9a6b", "#d08a2e"
STYLE = "text{font:13px system-ui,sans-serif;fill:#1a2230}text.s{font-size:12px;fill:#566274}line{stroke:#c6ced8}"
NARROW = 0.4
"""Thinner parts of a bar than this many pixels are left out."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a stacked chart."""

    label: str
    parts: Sequence[float]
    """In the order of the legend, none negative."""
    note: str
    """Stands at the bar's end."""


@dataclass(frozen=True, slots=True)
class Span:
    """One row of a tornado: what a factor makes of the middle."""

    label: str
    low: float
    high: float
    note: str


def stacked_bars(bars: Sequence[Bar], legend: Sequence[str], *, title: str, mark: float | None = None) -> str:
    """Return a drawing of *bars*, all to one scale, under a legend; *mark* is a vertical line (the optimum)."""
    top = max((sum(bar.parts) for bar in bars), default=0.0) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / top
    shapes = [_legend(legend)]
    for number, bar in enumerate(bars):
        y, x = HEAD + number * ROW, float(LEFT)
        shapes.append(_label(bar.label, y))
        for name, colour, part in zip(legend, COLOURS, bar.parts, strict=False):
            if part * scale >= NARROW:
                said = f"{bar.label}: {name} {say_dollars(part)}"
                shapes.append(_rect(x, y, part * scale, colour, said))
                x += part * scale
        shapes.append(_text(x + 6, y + 14, bar.note))
    bottom = HEAD + len(bars) * ROW
    if mark is not None:
        at = LEFT + mark * scale
        shapes.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{HEAD - 8}" y2="{bottom}" style="stroke:#1a2230"/>')
        shapes.append(_text(at - 4, bottom + 14, "optimum", kind="s", anchor="middle"))
    return _drawing(shapes, bottom + 24, title)


def tornado_chart(spans: Sequence[Span], middle: float, *, title: str) -> str:
    """Return a drawing of *spans* around the value *middle*, which every one of them begins from."""
    ends = [value for span in spans for value in (span.low, span.high)]
    least, most = min([middle, *ends]), max([middle, *ends])
    scale = (WIDTH - LEFT - RIGHT) / ((most - least) or 1.0)
    centre = LEFT + (middle - least) * scale
    bottom = HEAD + len(spans) * ROW
    shapes = [
        f'<line x1="{centre:.1f}" x2="{centre:.1f}" y1="{HEAD - 8}" y2="{bottom}"/>',
        _text(centre, bottom + 16, f"{middle:.4g}", kind="s", anchor="middle"),
        *_key(LEFT, "low", LOW_COLOUR), *_key(LEFT + 70, "high", HIGH_COLOUR),
    ]  # fmt: skip
    for number, span in enumerate(spans):
        y = HEAD + number * ROW
        shapes.append(_label(span.label, y))
        for value, colour, name in ((span.low, LOW_COLOUR, "low"), (span.high, HIGH_COLOUR, "high")):
            at = LEFT + (value - least) * scale
            if abs(at - centre) >= NARROW:
                shapes.append(_rect(min(at, centre), y, abs(at - centre), colour, f"{span.label}, {name}: {value:.4g}"))
        far = LEFT + (max(middle, span.low, span.high) - least) * scale
        shapes.append(_text(far + 6, y + 14, span.note, kind="s"))
    return _drawing(shapes, bottom + 24, title)


def _drawing(shapes: Sequence[str], height: float, title: str) -> str:
    box = f'viewBox="0 0 {WIDTH} {height:.0f}" role="img" style="width:100%;height:auto"'
    body = "".join(shapes)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box}><title>{escape(title)}</title>'
    return f"{head}<style>{STYLE}</style>{body}</svg>"


def _legend(names: Sequence[str]) -> str:
    parts, x = [], LEFT
    for name, colour in zip(names, COLOURS, strict=False):
        parts += _key(x, name, colour)
        x += 26 + 7 * len(name)
    return "".join(parts)


def _key(x: float, name: str, colour: str) -> list[str]:
    return [f'<rect x="{x}" y="6" width="11" height="11" fill="{colour}"/>', _text(x + 16, 16, name, kind="s")]


def _label(label: str, y: float) -> str:
    shown = label if len(label) <= 34 else f"{label[:31]}..."
    full = f"<title>{escape(label)}</title>"
    return f'<text x="{LEFT - 10}" y="{y + 14:.1f}" text-anchor="end">{full}{escape(shown)}</text>'


def _text(x: float, y: float, said: str, *, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'


def _rect(x: float, y: float, width: float, colour: str, said: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR}" fill="{colour}"'
    return f"<rect {place}><title>{escape(said)}</title></rect>"
