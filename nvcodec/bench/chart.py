"""Line charts as SVG, without a plotting library."""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Sequence

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 40, 50
COLOURS = ("#c0392b", "#2471a3", "#1e8449", "#7d3c98", "#b9770e", "#34495e")


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve: its name and its points, sorted by x; ``marks`` draws a dot at each."""

    name: str
    points: Sequence[tuple[float, float]]
    marks: bool = False


def ticks(low: float, high: float, logarithmic: bool = False) -> list[float]:
    """Round numbers between two bounds, about six of them."""
    if logarithmic:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        return [m * 10.0**d for d in decades for m in (1, 2, 5) if low <= m * 10.0**d <= high]
    step = 10 ** math.floor(math.log10((high - low) / 3))
    step *= next(m for m in (1, 2, 5, 10) if (high - low) / (m * step) <= 7)
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def chart(title: str, x_label: str, y_label: str, lines: Sequence[Line], logarithmic: bool = False) -> str:
    """An SVG document; with ``logarithmic`` equal ratios of x are equally far apart."""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    (x0, x1), (y0, y1) = (min(xs), max(xs)), (min(ys), max(ys) + 0.02 * (max(ys) - min(ys)))

    def across(x: float) -> float:
        share = math.log(x / x0) / math.log(x1 / x0) if logarithmic else (x - x0) / (x1 - x0)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def down(y: float) -> float:
        return HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)

    def text(x: float, y: float, words: str, more: str = "") -> str:
        return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{html.escape(words)}</text>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(WIDTH / 2, 22, title, 'text-anchor="middle" font-size="15"'),
        text(WIDTH / 2, HEIGHT - 12, x_label, 'text-anchor="middle"'),
        text(0, 0, y_label, f'text-anchor="middle" transform="translate(16 {HEIGHT / 2}) rotate(-90)"'),
    ]
    for x in ticks(x0, x1, logarithmic):
        parts.append(f'<path d="M{across(x):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        parts.append(text(across(x), HEIGHT - BOTTOM + 16, f"{x:g}", 'text-anchor="middle"'))
    for y in ticks(y0, y1):
        parts.append(f'<path d="M{LEFT} {down(y):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(text(LEFT - 6, down(y) + 4, f"{y:g}", 'text-anchor="end"'))
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in line.points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if line.marks:
            parts += [
                f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="3.5" fill="{colour}"/>' for x, y in line.points
            ]
        row = HEIGHT - BOTTOM - 12 - 18 * (len(lines) - 1 - number)
        parts.append(f'<path d="M{WIDTH - RIGHT - 200} {row - 4}h24" stroke="{colour}" stroke-width="3"/>')
        parts.append(text(WIDTH - RIGHT - 170, row, line.name))
    return "\n".join([*parts, "</svg>", ""])
