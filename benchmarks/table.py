"""The tables of the README and of docs/, from the JSON beside this file. With --update they go in there."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from ablation import FLOAT, FRAMES, VARIANTS

from nvcodec.bench.bd import bd_rate
from nvcodec.bench.measurement import ANCHOR

HERE = Path(__file__).parent
REFERENCE = "none, plain"
PUBLISHED_QUALITY = 32.81  # of HNeRV on Bunny, 1280x640, 0.75M


def table() -> str:
    """Markdown."""
    results = json.loads((HERE / "clips.json").read_text())
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
    speed = json.loads((HERE / "decode_speed.json").read_text())
    ratios = [row["ratio"] for row in speed["results"]]
    lines += [
        "",
        f"Made by `benchmarks/clips.py` on {machine['threads']} threads of an {machine['processor']}; the "
        "defaults, except where the name says otherwise. *Integers cost* is the same network in float less the file. "
        "Decoding a frame in integers takes "
        f"{min(ratios):.2f} to {max(ratios):.2f} times the float network's forward pass "
        "(`benchmarks/decode_speed.json`). Each row's own commit is in `clips.json`; not all are of this one.",
        "",
        gpu(),
    ]
    return "\n".join(lines) + "\n"


def gpu() -> str:
    """Markdown: a paragraph of what was measured on a GPU."""
    found = json.loads((HERE / "gpu.json").read_text())
    stated = {"pictures", "provenance"}
    exact = {name: value for name, value in found["exact"].items() if name not in stated}
    if not all({**exact, **found["decoding"]["exact_by_batch"]}.values()):
        raise ValueError("not every stream is exact on the GPU")
    many = [name for name in exact if name[0].isdigit() and " " in name]
    decoded = {batch: row["exact_frames_a_second"] for batch, row in found["decoding"]["by_batch"].items()}
    fitted, file, quality = found["fitting_speed"]["frames_a_second"], found["to_size"], found["to_quality"]
    layers = "How fast it decodes several layers has not yet been measured on a GPU."
    if "layers" in found:
        rates = " / ".join(f"{rate:.0f}" for rate in found["layers"]["frames_decoded_a_second"].values())
        layers = f"With one, two and three layers it decodes {rates} frames a second one by one."
    return (
        f"On one {found['exact']['provenance']['machine']['gpu']}: every golden stream, {' and '.join(many)} decode to "
        f"the CPU's pixels. At {file['pictures']}, {quality['size']} parameters, it decodes "
        f"{decoded['1']:.0f} frames a second one by one and {decoded['16']:.0f} in batches of 16, "
        f"{found['decoding']['by_batch']['1']['ratio']:.1f} times the float network's time, and fits "
        f"{fitted['bfloat16']:.0f} frames a second one by one, {fitted['bfloat16, batch 4']:.0f} in batches of 4. "
        f"{quality['time_limit']:.0f} s made {quality['psnr_rgb']:.2f} dB, where HNeRV's published 300 epochs "
        f"make {PUBLISHED_QUALITY} dB; a file of {file['file_bytes']} bytes had {file['psnr_rgb']:.2f} dB after "
        f"{file['time_limit']:.0f} s, where x265 has 32.35 dB (`benchmarks/gpu.json`). {layers}"
    )


def fit_speed() -> str:
    """Markdown: the time to HNeRV's quality."""
    results = json.loads((HERE / "fit_speed.json").read_text())
    lines = [
        "| clip | parameters | HNeRV's recipe | its PSNR | `nvcodec encode --target-psnr` | PSNR of the file "
        "| times faster | shortest `--time-limit` that gets there |",
        "|---" * 8 + "|",
    ]
    for name, row in results["clips"].items():
        theirs, ours = row["recipe"], row["to_its_quality"]
        there = [limit for limit in row["time_limits"] if limit["psnr_rgb"] >= theirs["psnr_rgb"]]
        shortest = min(there, key=lambda limit: limit["seconds"], default=None)
        lines.append(
            f"| {name}, {row['frames']} frames | {row['parameters']} "
            f"| {theirs['seconds']:.0f} s, {theirs['epochs']} epochs "
            f"| {theirs['psnr_rgb']:.2f} dB | {ours['seconds']:.1f} s | {ours['psnr_rgb']:.2f} dB "
            f"| {row['ratio_target_psnr']:.1f} | {_shortest(shortest, row['ratio_best_time_limit'])} |"
        )
    check = json.loads((HERE / "hnerv_published.json").read_text())
    ours = results["clips"][check["clip"]]["recipe"]
    machine = next(iter(results["clips"].values()))["provenance"]["machine"]
    lines += [
        "",
        f"Made by `benchmarks/fit_speed.py` on {machine['threads']} threads of an {machine['processor']}. "
        "*HNeRV's recipe* is its network and training (Adam 1e-3, batch 2, cosine) in float, and its time that of the "
        "steps alone; ours is a whole encode, the file written, decoded and compared. HNeRV's published code reaches "
        f"{check['psnr_rgb']:.2f} dB on {check['clip']} with {check['epochs']} epochs "
        f"(`benchmarks/hnerv_published.json`), our copy of the recipe {ours['psnr_rgb']:.2f} dB. Of a commit in which "
        "bytes did not count (`--lambda 0`) and kernels were 5x5.",
    ]
    return "\n".join(lines) + "\n"


def _shortest(limit: dict[str, Any] | None, ratio: float | None) -> str:
    """The cell for the shortest time limit that reached a quality."""
    if limit is None or ratio is None:
        return "none of those tried"
    return f"{limit['time_limit']} s: {limit['seconds']:.1f} s, {limit['psnr_rgb']:.2f} dB, {ratio:.1f} times faster"


def rate() -> str:
    """Markdown: bytes at equal quality, against the release before and other codecs."""
    clips = json.loads((HERE / "before.json").read_text())
    measured = {name: row for name, row in clips.items() if len(row.get("this", {})) == len(row["older"])}
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, row in measured.items():
        others = HERE / f"codecs_{name.split()[0]}.json"
        held = json.loads(others.read_text())["points"] if others.exists() else []
        curves[name] = {which: _points(row[which].values()) for which in ("this", "older")}
        for codec in dict.fromkeys(point["codec"] for point in held):
            curves[name][codec] = _points(point for point in held if point["codec"] == codec)
    labels = {"this": "**nvcodec**", "older": "nvcodec before"}
    lines = ["| bytes at equal PSNR | " + " | ".join(measured) + " |", "|---" * (len(measured) + 1) + "|"]
    against = [_delta(of_clip["older"], of_clip["this"]) for of_clip in curves.values()]
    lines.append("| nvcodec against nvcodec before | " + " | ".join(against) + " |")
    for codec in next(iter(curves.values())):
        if codec != ANCHOR:
            cells = [
                _delta(of_clip[ANCHOR], of_clip[codec]) if {ANCHOR, codec} <= of_clip.keys() else "not measured"
                for of_clip in curves.values()
            ]
            lines.append(f"| {labels.get(codec, codec)} against {ANCHOR} | " + " | ".join(cells) + " |")
    provenance = next(iter(measured[next(iter(measured))]["this"].values()))["provenance"]
    return "\n".join(
        [
            *lines,
            "",
            "BD-rate (PCHIP) over the PSNR that both reach, given behind it. nvcodec before with four sizes "
            "and its defaults, now with 0.6 times as many bytes as target and the same processor time as limit, one "
            f"thread of an {provenance['machine']['processor']} (`benchmarks/before.py`); the others by `nvcodec "
            "bench`, in files without a container's overhead (`benchmarks/codecs_*.json`). RGB PSNR, 4:2:0 for the "
            "others.",
            "",
        ]
    )


def _points(rows: Any) -> list[tuple[float, float]]:
    return [(row["file_bytes"], row["psnr_rgb"]) for row in rows]


def _delta(anchor: list[tuple[float, float]], test: list[tuple[float, float]]) -> str:
    delta = bd_rate(anchor, test)
    return (
        "no quality in common" if delta is None else f"{delta.percent:+.0f} % ({delta.low:.1f} to {delta.high:.1f} dB)"
    )


def fit_trials() -> str:
    """Markdown: what was tried in the fit."""
    clips = json.loads((HERE / "fit_trials.json").read_text())["clips"]
    lines = ["| the fit, with one change | " + " | ".join(clips) + " | mean |", "|---" * (len(clips) + 2) + "|"]
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
        own = "" if trial == "as it is" else f"{mean[trial]:+.2f} dB"
        lines.append(f"| {trial} | " + " | ".join(cells[trial]) + f" | {own} |")
    row = next(iter(clips.values()))["as it is"]
    lines += [
        "",
        f"Each fit got the steps that take as long as {row['steps']} of the fit as it is, on one thread of an "
        f"{row['provenance']['machine']['processor']}. Made by `benchmarks/fit_trials.py`, which also has the code of "
        "what is not in the package.",
    ]
    return "\n".join(lines) + "\n"


def targets() -> str:
    """Markdown: how near files come to their targets."""
    rows = json.loads((HERE / "targets.json").read_text())
    lines = ["| clip | target | file | error | time |", "|---" * 5 + "|"]
    for number in sorted(rows, key=int):
        row = rows[number]
        if "target_psnr" in row:
            target, error = f"{row['target_psnr']:g} dB", f"{row['error_db']:+.2f} dB"
        else:
            wanted = row.get("target_size")
            target = f"{wanted} bytes" if wanted else f"{row['bitrate'] / 1000:g} kbit/s"
            error = f"{row['error_percent']:+.2f} %"
        made = f"{row['file_bytes']} bytes, {row['psnr_rgb']:.2f} dB"
        lines.append(f"| {row['clip']} | {target} | {made} | {error} | {row['seconds']:.0f} s |")
    return "\n".join([*lines, "", "Made by `benchmarks/targets.py`; nothing but the target was given.", ""])


def levers() -> str:
    """Markdown: what is lost when one lever of the rate is taken out."""
    rows = json.loads((HERE / "levers.json").read_text())
    whole = rows["as it is"]
    lines = ["| without | " + " | ".join(f"{target} bytes" for target in whole) + " |", "|---" * (len(whole) + 1) + "|"]
    for lever, points in {"as it is": whole, **rows}.items():
        cells = [
            f"{row['psnr_rgb']:.2f} dB"
            + (f" ({row['psnr_rgb'] - whole[target]['psnr_rgb']:+.2f})" if lever != "as it is" else "")
            for target, row in points.items()
        ]
        lines.append(f"| {'(as it is)' if lever == 'as it is' else lever} | " + " | ".join(cells) + " |")
    return "\n".join(
        [
            *lines,
            "",
            "Bunny 320x160, 66 frames; files of these sizes, each made in the time that nvcodec before takes for "
            "one of 1.7 times as many bytes, one trial each. Made by `benchmarks/levers.py`, a thread of an "
            f"{next(iter(whole.values()))['provenance']['machine']['processor']} each.",
            "",
        ]
    )


def warm_start() -> str:
    """Markdown: what a warm start is worth."""
    result = json.loads((HERE / "warm_start.json").read_text())
    lines = ["| fit | from nothing | from the file | the file's network, at once | its cost |", "|---" * 5 + "|"]
    for case, row in result["cases"].items():
        lines.append(
            f"| {case} | {row['from nothing']:.2f} dB | {row['from the file']:.2f} dB | {row['begin']:.2f} dB "
            f"| {row['steps_that_the_warm_start_took']:.0f} steps |"
        )
    lines += [
        "",
        f"Each fit {result['steps']} steps; the file holds the first 66 frames of Bunny at 320x160 in 0.3M, "
        f"{result['file_psnr_rgb']:.2f} dB. Made by `benchmarks/warm_start.py`.",
    ]
    return "\n".join(lines) + "\n"


TASKS = ("regression", "interpolation")
NETWORKS = ("HNeRV", "DNeRV", "FFNeRV", "SDMN", "SDMN, two layers")
#: The paper's Table 5 at 1920x960, 3M: PSNR, dB, and SSIM of regression and interpolation.
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


def table5(name: str) -> str:
    """Markdown: regression and interpolation by the networks of other papers, beside the paper's own figures."""
    found = json.loads((HERE / name).read_text())
    clips, settings = found["clips"], found["settings"]
    columns = [(name, task) for name in PAPER for task in TASKS if task in clips.get(name, {})]
    lines = ["| | " + " | ".join(f"{name}, {task}" for name, task in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    rows = [clips[name][task] for name, task in columns]
    for network in NETWORKS:
        cells = [
            f"{row[network]['psnr_rgb']:.2f} dB, {row[network]['ssim']:.3f}, {row[network]['file_bytes'] / 1000:.1f} kB"
            if network in row
            else "not measured"
            for row in rows
        ]
        lines.append(f"| {network} | " + " | ".join(cells) + " |")
    for network in next(iter(PAPER.values())):
        stated = [PAPER[name][network][task == "interpolation"] for name, task in columns]
        cells = [f"{pair[0]:.2f} dB, {pair[1]:.3f}" if pair else "not given" for pair in stated]
        lines.append(f"| *paper: {network}* | " + " | ".join(cells) + " |")
    width, height = settings["scale"]
    one = next(iter(rows[0].values()))
    machine = one["provenance"]["machine"]
    where = f"a tenth of an {machine['gpu']}" if machine["gpu"] else f"a thread of an {machine['processor']}"
    lines += [
        "",
        f"PSNR (RGB), SSIM and bytes of the file, {width}x{height}, {settings['seconds']:.0f} s of {where} each, one "
        "trial each. The paper's rows are at 1920x960 with 3M parameters. Made by `baselines/table5.py`.",
    ]
    return "\n".join(lines) + "\n"


def fuzzing() -> str:
    """Markdown: what came of mutated streams, and of those that coverage guided."""
    lines = [
        "| target | streams | checksums | results, documented errors, anything else | longest | memory |",
        "|---|---|---|---|---|---|",
    ]
    for run in json.loads((HERE / "fuzz.json").read_text())["runs"]:
        good = sum(count for name, count in run["outcomes"].items() if not name.endswith("Error"))
        bad = len(run["crashers"])
        lines.append(
            f"| {run['target']} | {run['count']} | {'repaired' if run['repaired'] else 'as they came out'} "
            f"| {good}, {run['count'] - good - bad}, {bad} | {run['longest'][0]:.2f} s "
            f"| +{run['memory'][0] / 2**20:.0f} MiB |"
        )
    lines += ["", "Guided by coverage (Atheris), most checksums repaired:", ""]
    for run in json.loads((HERE / "fuzz_guided.json").read_text())["runs"]:
        lines.append(
            f"- {run['target']}: {run['runs']} streams in {run['seconds']} s; {run['crashers']} had to be looked at."
        )
    lines += ["", "Made by `tools/fuzz.py` and `tests/fuzzing/fuzz_*.py`; `benchmarks/fuzz.json`, `fuzz_guided.json`."]
    return "\n".join(lines) + "\n"


def ablation() -> str:
    """Markdown: what the parts of the network are worth, and what 8 bits cost."""
    clips = json.loads((HERE / "ablation.json").read_text())["clips"]
    fits = {name: _by_variant(clip["fits"]) for name, clip in clips.items()}
    base = next(iter(VARIANTS))
    scales = [of_clip[base][0]["shape"]["skip"]["scales"] for of_clip in fits.values()]
    heads = [f"{name}, f at {count} scale{'s' * (count > 1)}" for name, count in zip(fits, scales, strict=True)]
    lines = [
        "| network | " + " | ".join(heads) + " | less *none, plain* |",
        "|---" * (len(fits) + 2) + "|",
    ]
    for variant in VARIANTS:
        cells = []
        gains, growths = [], []
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
        difference = "" if variant == REFERENCE else difference
        lines.append(f"| {variant} | " + " | ".join(cells) + f" | {difference} |")
    provenance = rows[0]["provenance"]
    rounding = [row["psnr_same_network_in_float"] - row["psnr_rgb"] for f in fits.values() for row in f[base]]
    fitted = [(a["psnr_rgb"], b["psnr_rgb"]) for f in fits.values() for a, b in zip(f["float"], f[base], strict=True)]
    floats, files = (statistics.mean(column) for column in zip(*fitted, strict=True))
    lines += [
        "",
        f"Files of {FRAMES} frames and 0.1M parameters, all that is stored counted; each fit got the steps that fill "
        f"{provenance['seconds']:.0f} s of one thread of an {provenance['machine']['processor']}; mean of two seeds ± "
        "half their distance. Made by `benchmarks/ablation.py`; a result's own commit is in `ablation.json`.",
        "",
        "| 8 bits (Table 4) | float | file | lost |",
        "|---|---|---|---|",
        f"| {base}, mean of all clips and seeds | {floats:.2f} dB | {files:.2f} dB | {floats - files:.2f} dB |",
        "| paper, 3M, mean of UVG | 33.63 dB | 33.57 dB | 0.06 dB |",
        "",
        "*Float* is a fit of as many steps that never rounds; against the same weights unrounded the file loses "
        f"{statistics.mean(rounding):.3f} dB.",
    ]
    return "\n".join(lines) + "\n"


def layers() -> str:
    """Markdown: quality layers beside files of one layer, and x265 in several streams."""
    results = json.loads((HERE / "layers.json").read_text())
    lines = [
        "| clip, up to layer | bytes | PSNR | one layer of as many bytes | files of one layer each | frames a second |",
        "|---" * 6 + "|",
    ]
    for clip, found in results.items():
        for level, row in enumerate(found["layers"]["layers"]):
            single, alone = found.get(f"single {level}"), found[f"alone {level}"]
            lines.append(
                f"| {clip}, {level} | {row['file_bytes']} | {row['psnr_rgb']:.2f} dB "
                f"| {_file(single) if single else '(the same)'} | {_file(alone)} "
                f"| {found['layers']['frames_decoded_a_second'][level]:.0f} |"
            )
    lines += [
        "",
        "| bytes at equal PSNR |" + " ".join(f" {clip} |" for clip in results),
        "|---" * (1 + len(results)) + "|",
    ]
    for against, anchor in (("one layer", _singles), ("x265 in three streams", _simulcast)):
        cells = [_delta(anchor(found), _points(found["layers"]["layers"])) for found in results.values()]
        lines.append(f"| layers against {against} | " + " | ".join(cells) + " |")
    machine = next(iter(results.values()))["layers"]["provenance"]["machine"]
    lines += [
        "",
        f"One thread of an {machine['processor']}, one trial, 2800 steps a layer (*growing*: 1400); "
        "*x265 in three streams* sends three qualities each by itself, medium without B frames, QP 37, 32 and "
        "27, and its bytes are those of all streams up to a quality. BD-rate as in the README. `benchmarks/layers.py`; "
        "each row's own commit is in `layers.json`.",
    ]
    return "\n".join(lines) + "\n"


def _file(row: dict[str, Any]) -> str:
    return f"{row['file_bytes']} bytes, {row['psnr_rgb']:.2f} dB"


def _singles(found: dict[str, Any]) -> list[tuple[float, float]]:
    return _points([row for which, row in found.items() if which == "alone 0" or which.startswith("single")])


def _simulcast(found: dict[str, Any]) -> list[tuple[float, float]]:
    points, total = [], 0
    for which, row in found.items():
        if which.startswith("x265"):
            total += row["file_bytes"]
            points.append((total, row["psnr_rgb"]))
    return points


def _by_variant(fits: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The fits of each variant, by seed."""
    found: dict[str, list[dict[str, Any]]] = {}
    for key in sorted(fits, key=lambda key: key.split(", seed ")[1]):
        found.setdefault(key.split(", seed ")[0], []).append(fits[key])
    return {variant: found[variant] for variant in (*VARIANTS, FLOAT) if variant in found}


def main() -> None:
    """Print the tables, or put them where they belong."""
    for path, mark, text in (
        (HERE.parent / "README.md", "results", table()),
        (HERE.parent / "README.md", "fit speed", fit_speed()),
        (HERE.parent / "README.md", "rate", rate()),
        (HERE.parent / "docs" / "rate.md", "targets", targets()),
        (HERE.parent / "docs" / "rate.md", "levers", levers()),
        (HERE.parent / "docs" / "network.md", "layers", layers()),
        (HERE.parent / "docs" / "network.md", "ablation", ablation()),
        (HERE.parent / "docs" / "fit.md", "trials", fit_trials()),
        (HERE.parent / "docs" / "fit.md", "warm start", warm_start()),
        (HERE.parent / "docs" / "faults.md", "fuzzing", fuzzing()),
        (HERE.parent / "baselines" / "README.md", "table 5", table5("table5.json")),
        (HERE.parent / "baselines" / "README.md", "table 5 on a GPU", table5("table5_gpu.json")),
    ):
        if "--update" not in sys.argv:
            print(text)
            continue
        old = path.read_text()
        start, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->\n"
        path.write_text(old[: old.index(start) + len(start)] + text + old[old.index(end) :])


if __name__ == "__main__":
    main()
