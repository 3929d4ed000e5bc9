"""The report of ``nvcodec bench``: charts, tables, and one HTML page with all of them."""

from __future__ import annotations

import base64
import html
from typing import Any

from nvcodec.bench.chart import Line, chart
from nvcodec.bench.measurement import OURS, SOURCE_PICTURE, Bench

TITLES = {
    "psnr_rgb": "PSNR of RGB, dB",
    "psnr_y": "PSNR of Y, dB",
    "psnr_611": "PSNR of Y, Cb and Cr, 6:1:1, dB",
    "ms_ssim": "MS-SSIM",
}
COLUMNS = {"psnr_rgb": "RGB", "psnr_y": "Y", "psnr_611": "6:1:1", "ms_ssim": "MS-SSIM"}
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.5 sans-serif; max-width: 1300px; margin: 2em auto; padding: 0 1em }}
table {{ border-collapse: collapse; margin-bottom: 1.5em }}
td, th {{ padding: .2em .8em; border-bottom: 1px solid #ddd; text-align: right }}
td:first-child, th:first-child {{ text-align: left }} svg {{ max-width: 640px }}
.frames {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(400px, 1fr)); gap: 1em }}
figure {{ margin: 0 }} img {{ width: 100% }}
</style>
<h1>{title}</h1>
{body}
</html>
"""


def write(bench: Bench) -> None:
    """Write the charts and ``index.html`` into the folder of the bench."""
    for quality, document in charts(bench).items():
        (bench.folder / f"{quality}.svg").write_text(document)
    (bench.folder / "index.html").write_text(page(bench))


def charts(bench: Bench) -> dict[str, str]:
    """Draw one chart per measure of quality that the points have; returns SVG by the name of the measure."""
    names = list(dict.fromkeys(point["codec"] for point in bench.points))
    documents = {}
    for quality, title in TITLES.items():
        lines = [Line(name, curve, marks=True) for name in names if (curve := bench.curve(name, quality))]
        if lines:
            documents[quality] = chart(bench.results["clip"]["source"], "bytes", title, lines, logarithmic=True)
    return documents


def bd_tables(bench: Bench) -> list[list[list[str]]]:
    """Return a table of BD-rates for each anchor: a header, then one row per codec."""
    return [_bd_rows(anchor, deltas) for anchor, deltas in bench.deltas().items()]


def _bd_rows(anchor: str, table: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Return one of these tables; the range and the overlap are those of RGB."""
    rows = [[f"BD-rate against {anchor}", *(f"by {name}" for name in COLUMNS.values()), "over", "overlap"]]
    for name in table["psnr_rgb"]:
        deltas = [table[quality][name] for quality in COLUMNS]
        by_psnr = deltas[0]
        rows.append(
            [
                name,
                *("-" if delta is None else f"{delta['percent']:+.1f} %" for delta in deltas),
                f"{by_psnr['low']:.2f} to {by_psnr['high']:.2f} dB" if by_psnr else "-",
                f"{by_psnr['overlap']:.0%}" if by_psnr else "-",
            ]
        )
    return rows


def point_rows(bench: Bench) -> list[list[str]]:
    """Return the table of points: a header, then one row per point."""
    frames = len(bench.clip.frames)
    rows = [["codec", "at", "bits", "bytes", *COLUMNS.values(), "encoded, frames/s", "decoded, frames/s"]]
    for point in sorted(bench.points, key=lambda point: (point["codec"], point["file_bytes"])):
        ms_ssim = point["ms_ssim"]
        speeds = [f"{frames / max(point[name], 1e-9):.2f}" for name in ("encode_seconds", "decode_seconds")]
        rows.append(
            [
                point["codec"],
                str(point["at"]),
                str(point.get("bits", "-")),
                str(point["file_bytes"]),
                *(f"{point[name]:.2f} dB" for name in ("psnr_rgb", "psnr_y", "psnr_611")),
                "-" if ms_ssim is None else f"{ms_ssim:.4f}",
                *speeds,
            ]
        )
    return rows


def page(bench: Bench) -> str:
    """Return the HTML page: charts, BD-rates, points, and the middle frame of each codec at about the same size."""
    about = bench.results["clip"]
    bits = about.get("bits", 8)
    title = f"{about['source']}, {about['width']}x{about['height']}, {bits} bits, {about['frames']} frames"
    body = [*charts(bench).values(), "<h2>BD-rate</h2>", *map(_table, bd_tables(bench)), "<h2>Points</h2>"]
    body += [_table(point_rows(bench)), "<h2>The middle frame, from files of about the same size</h2>", _frames(bench)]
    return PAGE.format(title=html.escape(title), body="\n".join(body))


def _table(rows: list[list[str]]) -> str:
    """Return an HTML table; the first row is its header."""
    lines = ["<table>"]
    for number, row in enumerate(rows):
        kind = "td" if number else "th"
        lines.append("<tr>" + "".join(f"<{kind}>{html.escape(cell)}</{kind}>" for cell in row) + "</tr>")
    return "\n".join([*lines, "</table>"])


def _frames(bench: Bench) -> str:
    """Return the middle frames of the source and of each codec, at the file size nearest nvcodec's median."""
    sizes = sorted(point["file_bytes"] for point in bench.points if point["codec"] == OURS) or [
        point["file_bytes"] for point in bench.points
    ]
    target = sizes[len(sizes) // 2] if sizes else 0
    figures = [_figure(bench, SOURCE_PICTURE, "source")]
    for name in dict.fromkeys(point["codec"] for point in bench.points):
        nearest: dict[str, Any] = min(
            (point for point in bench.points if point["codec"] == name), key=lambda p: abs(p["file_bytes"] - target)
        )
        caption = f"{name}, {nearest['file_bytes']} bytes, {nearest['psnr_rgb']:.2f} dB"
        figures.append(_figure(bench, nearest["picture"], caption))
    return '<div class="frames">' + "\n".join(figures) + "</div>"


def _figure(bench: Bench, picture: str, caption: str) -> str:
    """Return a figure that contains a PNG file of the bench's folder."""
    data = base64.b64encode((bench.folder / picture).read_bytes()).decode()
    caption = html.escape(caption)
    image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
