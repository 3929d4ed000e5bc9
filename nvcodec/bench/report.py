"""What ``nvcodec bench`` shows: charts, tables, and one HTML page with everything in it."""

from __future__ import annotations

import base64
import html
from typing import Any

from nvcodec.bench.chart import Line, chart
from nvcodec.bench.measurement import OURS, SOURCE_PICTURE, Bench

TITLES = {"psnr_rgb": "PSNR, dB", "ms_ssim": "MS-SSIM"}
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.5 sans-serif; max-width: 1300px; margin: 2em auto; padding: 0 1em }}
table {{ border-collapse: collapse }} td, th {{ padding: .2em .8em; border-bottom: 1px solid #ddd; text-align: right }}
td:first-child, th:first-child {{ text-align: left }} svg {{ max-width: 640px }}
.frames {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(400px, 1fr)); gap: 1em }}
figure {{ margin: 0 }} img {{ width: 100% }}
</style>
<h1>{title}</h1>
{body}
</html>
"""


def charts(bench: Bench) -> dict[str, str]:
    """An SVG for every measure of quality that all points have, by its name."""
    names = list(dict.fromkeys(point["codec"] for point in bench.points))
    made = {}
    for quality, title in TITLES.items():
        lines = [Line(name, curve, marks=True) for name in names if (curve := bench.curve(name, quality))]
        if lines:
            made[quality] = chart(bench.results["clip"]["source"], "bytes", title, lines, logarithmic=True)
    return made


def bd_rows(bench: Bench) -> list[list[str]]:
    """The table of BD-rates: a header, then a row a codec."""
    table = bench.deltas()
    rows = [
        ["BD-rate against " + table["anchor"]["codec"], *(f"by {TITLES[name]}" for name in TITLES), "over", "overlap"]
    ]
    for name in table["psnr_rgb"]:
        deltas = [table[quality][name] for quality in TITLES]
        first = deltas[0]
        rows.append(
            [
                name,
                *("-" if delta is None else f"{delta['percent']:+.1f} %" for delta in deltas),
                f"{first['low']:.2f} to {first['high']:.2f} dB" if first else "-",
                f"{first['overlap']:.0%}" if first else "-",
            ]
        )
    return rows


def point_rows(bench: Bench) -> list[list[str]]:
    """The table of points: a header, then a row each."""
    frames = len(bench.clip.frames)
    rows = [["codec", "at", "bytes", "PSNR", "MS-SSIM", "encoded, frames/s", "decoded, frames/s"]]
    for point in sorted(bench.points, key=lambda point: (point["codec"], point["file_bytes"])):
        wide = point["ms_ssim"]
        speeds = [f"{frames / max(point[name], 1e-9):.2f}" for name in ("encode_seconds", "decode_seconds")]
        rows.append(
            [
                point["codec"],
                str(point["at"]),
                str(point["file_bytes"]),
                f"{point['psnr_rgb']:.2f} dB",
                "-" if wide is None else f"{wide:.4f}",
                *speeds,
            ]
        )
    return rows


def page(bench: Bench) -> str:
    """One HTML page: curves, BD-rates, points, and a frame of every codec at about one size."""
    about = bench.results["clip"]
    title = f"{about['source']}, {about['width']}x{about['height']}, {about['frames']} frames"
    body = [*charts(bench).values(), "<h2>BD-rate</h2>", _table(bd_rows(bench)), "<h2>Points</h2>"]
    body += [_table(point_rows(bench)), "<h2>The middle frame, files of about one size</h2>", _frames(bench)]
    return PAGE.format(title=html.escape(title), body="\n".join(body))


def _table(rows: list[list[str]]) -> str:
    lines = ["<table>"]
    for number, row in enumerate(rows):
        kind = "td" if number else "th"
        lines.append("<tr>" + "".join(f"<{kind}>{html.escape(cell)}</{kind}>" for cell in row) + "</tr>")
    return "\n".join([*lines, "</table>"])


def _frames(bench: Bench) -> str:
    sizes = sorted(point["file_bytes"] for point in bench.points if point["codec"] == OURS) or [
        point["file_bytes"] for point in bench.points
    ]
    wanted = sizes[len(sizes) // 2] if sizes else 0
    figures = [_figure(bench, SOURCE_PICTURE, "source")]
    for name in dict.fromkeys(point["codec"] for point in bench.points):
        nearest: dict[str, Any] = min(
            (point for point in bench.points if point["codec"] == name), key=lambda p: abs(p["file_bytes"] - wanted)
        )
        words = f"{name}, {nearest['file_bytes']} bytes, {nearest['psnr_rgb']:.2f} dB"
        figures.append(_figure(bench, nearest["picture"], words))
    return '<div class="frames">' + "\n".join(figures) + "</div>"


def _figure(bench: Bench, picture: str, words: str) -> str:
    data = base64.b64encode((bench.folder / picture).read_bytes()).decode()
    words = html.escape(words)
    return f'<figure><img alt="{words}" src="data:image/png;base64,{data}"><figcaption>{words}</figcaption></figure>'
