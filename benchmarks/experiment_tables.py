"""The tables of docs/experiments.md and of baselines/README.md. Each function reads JSON and returns Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from ablation import FLOAT, FRAMES, VARIANTS
from result_tables import load, rule

REFERENCE = "none, plain"  # the variant that the others of the ablation are compared with
TASKS = ("regression", "interpolation")
NETWORKS = ("HNeRV", "DNeRV", "FFNeRV", "SDMN", "SDMN, two layers")
#: The paper's Table 5 at 1920x960, 3M: PSNR in dB and SSIM of regression and interpolation.
PAPER: dict[str, dict[str, tuple[tuple[float, float] | None, ...]]] = {
    "blackswan": {
        "HNeRV": ((30.35, 0.891), None),
        "DNeRV": ((30.20, 0.898), (27.40, 0.834)),
        "FFNeRV": ((30.64, 0.940), (26.30, 0.786)),
        "QS-NeRV": ((32.78, 0.942), (30.31, 0.902)),
    },
    "camel": {
        "HNeRV": ((26.71, 0.844), None),
        "DNeRV": ((26.51, 0.862), (25.14, 0.831)),
        "FFNeRV": ((27.16, 0.911), (25.20, 0.857)),
        "QS-NeRV": ((27.35, 0.879), (25.82, 0.844)),
    },
}
#: Plainer words for names that JSON files have kept from the scripts of their time.
WORDS = {
    "as it is": "(unchanged)",
    "one table a chunk": "one table per chunk",
    "bytes do not count in the loss": "no rate term in the loss",
    "Muon rate 0.03": "Muon learning rate 0.03",
    "Muon rate 0.014": "Muon learning rate 0.014",
    "Adam rate 4e-3": "Adam learning rate 4e-3",
}


def fit_trials() -> str:
    """Return the table of changes to the fit that were tried."""
    clips = load("fit_trials.json")["clips"]
    lines = ["| the fit, with one change | " + " | ".join(clips) + " | mean |", rule(len(clips) + 2)]
    base = {name: rows["as it is"]["psnr_rgb"] for name, rows in clips.items()}
    mean: dict[str, float] = {}
    cells: dict[str, list[str]] = {}
    for trial in next(iter(clips.values())):
        rows = {name: of_clip[trial] for name, of_clip in clips.items() if trial in of_clip}
        gains = [row["psnr_rgb"] - base[name] for name, row in rows.items()]
        mean[trial] = statistics.mean(gains)
        cells[trial] = [
            f"{row['psnr_rgb']:.2f} dB, {row['steps']} steps"
            if trial == "as it is"
            else f"{gain:+.2f} dB, {row['steps']}"
            for row, gain in zip(rows.values(), gains, strict=True)
        ]
    for trial in sorted(mean, key=lambda trial: (trial != "as it is", -mean[trial])):
        cell = "" if trial == "as it is" else f"{mean[trial]:+.2f} dB"
        lines.append(f"| {WORDS.get(trial, trial)} | " + " | ".join(cells[trial]) + f" | {cell} |")
    row = next(iter(clips.values()))["as it is"]
    lines += [
        "",
        f"Each fit had the training steps that take as long as {row['steps']} of the unchanged fit, on one thread of "
        f"an {row['provenance']['machine']['processor']}. Made by `benchmarks/fit_trials.py`, which also has the code "
        "of what is not in the package.",
    ]
    return "\n".join(lines) + "\n"


def levers() -> str:
    """Return the table of what is lost when one means of rate control or coding is left out."""
    rows = load("levers.json")
    whole = rows["as it is"]
    lines = ["| without | " + " | ".join(f"{target} bytes" for target in whole) + " |", rule(len(whole) + 1)]
    for lever, of_target in {"as it is": whole, **rows}.items():
        cells = [
            f"{row['psnr_rgb']:.2f} dB"
            + (f" ({row['psnr_rgb'] - whole[target]['psnr_rgb']:+.2f})" if lever != "as it is" else "")
            for target, row in of_target.items()
        ]
        lines.append(f"| {WORDS.get(lever, lever)} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "Bunny 320x160, 66 frames; files of these sizes, each made in the time that an earlier nvcodec takes for a "
        "file of 1.7 times as many bytes; one trial each. Made by `benchmarks/levers.py`, on one thread of an "
        f"{next(iter(whole.values()))['provenance']['machine']['processor']} each.",
    ]
    return "\n".join(lines) + "\n"


def ablation() -> str:
    """Return the tables of what the parts of the network gain, and what 8 bits cost."""
    clips = load("ablation.json")["clips"]
    fits = {name: _by_variant(clip["fits"]) for name, clip in clips.items()}
    base = next(iter(VARIANTS))
    scales = [of_clip[base][0]["shape"]["skip"]["scales"] for of_clip in fits.values()]
    heads = [f"{name}, f at {count} scale{'s' * (count > 1)}" for name, count in zip(fits, scales, strict=True)]
    lines = ["| network | " + " | ".join(heads) + f" | against *{REFERENCE}* |", rule(len(fits) + 2)]
    for variant in VARIANTS:
        lines.append(_variant_row(variant, fits))
    provenance = next(iter(fits.values()))[base][0]["provenance"]
    rounding = [row["psnr_same_network_in_float"] - row["psnr_rgb"] for f in fits.values() for row in f[base]]
    fitted = [(a["psnr_rgb"], b["psnr_rgb"]) for f in fits.values() for a, b in zip(f["float"], f[base], strict=True)]
    floats, files = (statistics.mean(column) for column in zip(*fitted, strict=True))
    lines += [
        "",
        f"Files of {FRAMES} frames and 0.1M parameters, everything stored counted; each fit had the training steps "
        f"that fill {provenance['seconds']:.0f} s of one thread of an {provenance['machine']['processor']}; mean of "
        "two seeds ± half their distance. Made by `benchmarks/ablation.py`; the commit of each result is in "
        "`ablation.json`.",
        "",
        "| 8 bits (Table 4) | float | file | lost |",
        rule(4),
        f"| {base}, mean of all clips and seeds | {floats:.2f} dB | {files:.2f} dB | {floats - files:.2f} dB |",
        "| paper, 3M, mean of UVG | 33.63 dB | 33.57 dB | 0.06 dB |",
        "",
        "*Float* is a fit of as many training steps that never rounds; against its own weights unrounded the file "
        f"loses {statistics.mean(rounding):.3f} dB.",
    ]
    return "\n".join(lines) + "\n"


def _variant_row(variant: str, fits: Mapping[str, Mapping[str, list[dict[str, Any]]]]) -> str:
    """Return the row of one variant of the network, with its gain over the reference."""
    cells, gains, growths = [], [], []
    for of_clip in fits.values():
        rows = of_clip[variant]
        values = [row["psnr_rgb"] for row in rows]
        kilobytes = statistics.mean(row["file_bytes"] for row in rows) / 1000
        cells.append(
            f"{statistics.mean(values):.2f} ± {(max(values) - min(values)) / 2:.2f} dB, {kilobytes:.1f} kB, "
            f"{rows[0]['steps']} steps"
        )
        pairs = list(zip(rows, of_clip[REFERENCE], strict=True))
        gains += [a["psnr_rgb"] - b["psnr_rgb"] for a, b in pairs]
        growths += [a["file_bytes"] / b["file_bytes"] - 1 for a, b in pairs]
    difference = f"{statistics.mean(gains):+.2f} dB, {statistics.mean(growths):+.1%} bytes"
    return f"| {variant} | " + " | ".join(cells) + f" | {'' if variant == REFERENCE else difference} |"


def _by_variant(fits: Mapping[str, dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the fits of each variant, by seed."""
    found: dict[str, list[dict[str, Any]]] = {}
    for key in sorted(fits, key=lambda key: key.split(", seed ")[1]):
        found.setdefault(key.split(", seed ")[0], []).append(fits[key])
    return {variant: found[variant] for variant in (*VARIANTS, FLOAT) if variant in found}


def table5(name: str) -> str:
    """Return the table of regression and interpolation by the networks of other papers, beside the paper's figures."""
    found = load(name)
    clips, settings = found["clips"], found["settings"]
    columns = [(clip, task) for clip in PAPER for task in TASKS if task in clips.get(clip, {})]
    lines = ["| | " + " | ".join(f"{clip}, {task}" for clip, task in columns) + " |", rule(len(columns) + 1)]
    rows = [clips[clip][task] for clip, task in columns]
    for network in NETWORKS:
        cells = [
            f"{row[network]['psnr_rgb']:.2f} dB, {row[network]['ssim']:.3f}, {row[network]['file_bytes'] / 1000:.1f} kB"
            if network in row
            else "not measured"
            for row in rows
        ]
        lines.append(f"| {network} | " + " | ".join(cells) + " |")
    for network in next(iter(PAPER.values())):
        stated = [PAPER[clip][network][task == "interpolation"] for clip, task in columns]
        cells = [f"{pair[0]:.2f} dB, {pair[1]:.3f}" if pair else "not given" for pair in stated]
        lines.append(f"| *paper: {network}* | " + " | ".join(cells) + " |")
    width, height = settings["scale"]
    machine = next(iter(rows[0].values()))["provenance"]["machine"]
    where = f"a tenth of an {machine['gpu']}" if machine["gpu"] else f"one thread of an {machine['processor']}"
    lines += [
        "",
        f"RGB PSNR, SSIM and bytes of the file; {width}x{height}, {settings['seconds']:.0f} s of {where} each, one "
        "trial each. The paper's rows are at 1920x960 with 3M parameters. Made by `baselines/table5.py`.",
    ]
    return "\n".join(lines) + "\n"


def time_limits() -> str:
    """Return what encodes with a time limit took."""
    rows = ["| clip, kind of file, target | asked | taken | outcome |", rule(4)]
    for name, row in load("time_limits.json").items():
        if name != "provenance":
            outcome = row["message"].removeprefix("nvcodec: ").replace("--time-limit", "`--time-limit`") or "a file"
            rows.append(f"| {name} | {row['asked']:.0f} s | {row['taken']:.1f} s | {outcome} |")
    return "\n".join(rows) + "\n"
