"""The README's table of results, from first_release.json. With --update it is put into the README."""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
START, END = "<!-- results -->\n", "<!-- end of results -->\n"


def table() -> str:
    """Markdown."""
    results = json.loads((HERE / "first_release.json").read_text())
    lines = [
        "| clip | frames | size | bytes | PSNR | integers cost | side info, overhead | encode |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in results.items():
        cost = row["psnr_same_network_in_float"] - row["psnr_rgb"]
        lines.append(
            f"| {name} | {row['frames']} | {row['size']} | {row['file_bytes']} "
            f"| {row['psnr_rgb']:.2f} dB | {cost:.3f} dB "
            f"| {row['side_info_and_overhead_share']:.2%} | {row['encode_seconds']:.0f} s |"
        )
    machine = next(iter(results.values()))["provenance"]["machine"]
    fits = json.loads((HERE / "integers_cost.json").read_text())
    costs = [f"{row['cost_of_integers_db']:.2f} dB on {name}" for name, row in fits.items() if "psnr_float_fit" in row]
    speed = json.loads((HERE / "decode_speed.json").read_text())
    ratios = [row["ratio"] for row in speed["results"]]
    lines += [
        "",
        f"Made by `benchmarks/first_release.py` on {machine['threads']} threads of an {machine['processor']}; the "
        "defaults, except where the name says otherwise. *Integers cost* is the same network in float less the file. "
        f"A float network fitted as long, without any quantisation, is ahead by {', '.join(costs)} "
        "(`benchmarks/integers_cost.json`). Decoding a frame in integers takes "
        f"{min(ratios):.2f} to {max(ratios):.2f} times the float network's forward pass "
        "(`benchmarks/decode_speed.json`).",
        "",
        "GPU figures are not yet measured; `benchmarks/gpu.py` is the script for them.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table, or put it into the README."""
    if "--update" not in sys.argv:
        print(table())
        return
    text = README.read_text()
    start, end = text.index(START) + len(START), text.index(END)
    README.write_text(text[:start] + table() + text[end:])


if __name__ == "__main__":
    main()
