"""Draws ratios as horizontal bars, one for each tool, group by group: plain SVG, no library.

Used by reduction.py.
"""

from collections.abc import Sequence
from html import escape

WIDTH, LEFT, BAR, GAP, TOP = 900, 210, 13, 14, 46
COLOURS = ("#1f6feb", "#0a3069", "#d1242f", "#bf8700", "#1a7f37", "#8250df", "#6e7781", "#57606a")


def bars(ratios: Sequence[tuple[str, str, float]]) -> str:
    """Return a drawing of (group, tool, stored / original), in the order given; bars end at 1."""
    tools = list(dict.fromkeys(tool for _, tool, _ in ratios))
    colours = {tool: COLOURS[i % len(COLOURS)] for i, tool in enumerate(tools)}
    scale = WIDTH - LEFT - 60
    parts = [_legend(tools, colours)]
    y = TOP
    for group in dict.fromkeys(group for group, _, _ in ratios):
        own = [(tool, ratio) for name, tool, ratio in ratios if name == group]
        middle = y + len(own) * BAR / 2 + 4
        parts.append(f'<text x="{LEFT - 8}" y="{middle:.0f}" text-anchor="end">{escape(group)}</text>')
        for tool, ratio in own:
            length = max(1.0, min(ratio, 1.0) * scale)
            shape = f'x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}" fill="{colours[tool]}"'
            parts.append(f"<rect {shape}><title>{escape(tool)}: {ratio:.4f}</title></rect>")
            parts.append(f'<text x="{LEFT + length + 4:.0f}" y="{y + BAR - 3}">{ratio:.3f}</text>')
            y += BAR
        y += GAP
    lines = [
        f'<line x1="{LEFT + scale * k / 4}" x2="{LEFT + scale * k / 4}" y1="{TOP - 6}" y2="{y}"/>' for k in range(5)
    ]
    style = "text{font:11px sans-serif;fill:#24292f}line{stroke:#d0d7de}"
    body = "".join([*lines, *parts])
    box = f'viewBox="0 0 {WIDTH} {y + 10}" width="{WIDTH}" height="{y + 10}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}><style>{style}</style>{body}</svg>\n'


def _legend(tools: Sequence[str], colours: dict[str, str]) -> str:
    parts, x = ['<text x="8" y="16">stored / original bytes (less is better)</text>'], 8
    for tool in tools:
        parts.append(f'<rect x="{x}" y="24" width="10" height="10" fill="{colours[tool]}"/>')
        parts.append(f'<text x="{x + 14}" y="33">{escape(tool)}</text>')
        x += 24 + 7 * len(tool)
    return "".join(parts)
