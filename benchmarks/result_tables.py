"""The tables of docs/results.md and of the README. Each function reads JSON and returns Markdown."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nvcodec.bench.bd import Delta, bd_rate
from nvcodec.bench.measurement import ANCHOR

HERE = Path(__file__).parent
PUBLISHED_DB = 32.81  # HNeRV's published PSNR on Bunny, 1280x640, 0.75M, 300 epochs
X265_DB = 32.35  # x265's PSNR at the size of file that the GPU was given as its target
#: Measures of quality of files with an AV1 stream, and how tables name them.
AV1_MEASURES = {"psnr_rgb": "in RGB", "psnr_y": "of Y", "psnr_611": "6:1:1"}
SVT = "SVT-AV1 preset 2"
#: Codecs beside which files with an AV1 stream are measured, and how narrow tables name them.
AV1_RIVALS = {
    SVT: "SVT-AV1 2",
    "SVT-AV1 preset 6": "SVT-AV1 6",
    "x265 veryslow": "x265 veryslow",
    "x265 veryslow, chroma -6": "the same, chroma -6",
    "x265 medium, no B": "x265 medium",
    "VP9 good, cpu-used 1": "VP9",
}
LABELS = {"this": "**nvcodec**", "older": "earlier nvcodec"}

Points = list[tuple[float, float]]  # of a rate-distortion curve: bytes of the file, PSNR in dB


def load(name: str) -> Any:
    """Return the content of a JSON file beside this module."""
    return json.loads((HERE / name).read_text())


def rule(columns: int) -> str:
    """Return the line below the head of a Markdown table."""
    return "|---" * columns + "|"


def headline() -> str:
    """Return the sentences with which the README states where nvcodec stands."""
    deltas = av1_deltas("fine ycc", SVT)
    lines = [f"**Bytes at equal PSNR against SVT-AV1's preset 2**, mean over {len(deltas)} clips (least and most):"]
    columns = {label: [row[measure] for row in deltas.values()] for measure, label in AV1_MEASURES.items()}
    lines.append(
        "".join(
            f"{statistics.fmean(values):+.1f} % {label} ({max(values):+.1f}, {min(values):+.1f}), "
            for label, values in columns.items()
        ).strip()
    )
    rgb = [row["psnr_rgb"] for row in av1_deltas("fine ycc", "x265 veryslow").values()]
    if rgb:
        lines.append(f"and in RGB {statistics.fmean(rgb):+.0f} % against x265's `veryslow` on {len(rgb)} of them,")
    alone = [delta.percent for of in _curves().values() if (delta := bd_rate(of[ANCHOR], of["this"]))]
    lines += [
        "with the default kind of file ([results](docs/results.md#files-with-an-av1-stream)).",
        f"A network alone takes {min(alone):+.0f} to {max(alone):+.0f} % against x265's `medium` without B frames.",
        "Take the default kind for fewer bytes in a file that also plays anywhere; take a network alone (`--size`)",
        "for pictures that decode in any order and in batches on a GPU, for frames between frames, and for tasks.",
    ]
    return "\n".join(lines) + "\n"


def summary() -> str:
    """Return the README's small table: bytes at equal quality, by clip."""
    nearest, *others = (SVT, *(name for name in AV1_RIVALS if name != SVT and av1_deltas("fine ycc", name)))
    columns = [(nearest, measure) for measure in AV1_MEASURES] + [(name, "psnr_rgb") for name in others]
    heads = [f"{AV1_RIVALS[name]}, {AV1_MEASURES[measure]}" for name, measure in columns]
    lines = ["| clip | " + " | ".join(heads) + " |", rule(1 + len(heads))]
    for clip in av1_deltas("fine ycc", nearest):
        rows = [av1_deltas("fine ycc", name).get(clip) for name, _ in columns]
        cells = [f"{row[measure]:+.1f} %" if row else "-" for row, (_, measure) in zip(rows, columns, strict=True)]
        lines.append(f"| {clip} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def av1_chart(clip: str) -> str:
    """Return a chart of PSNR 6:1:1 over the bytes of files with an AV1 stream and of the other codecs', as SVG."""
    from nvcodec.bench.chart import Line, chart

    points = load("av1.json")["clips"][clip]["points"]
    names = {"fine ycc": "nvcodec", **{name: name for name in AV1_RIVALS if name in points}}
    lines = [
        Line(label, sorted((point["file_bytes"] / 1000, point["psnr_611"]) for point in points[name].values()), True)
        for name, label in names.items()
    ]
    return chart(clip, "kB", "PSNR 6:1:1, dB", lines, logarithmic=True)


def av1_deltas(kind: str, other: str) -> dict[str, dict[str, float]]:
    """Return the BD-rates of a kind of file against another codec, by clip and measure; clips without them left out."""
    found = {}
    for name, entry in load("av1.json")["clips"].items():
        row = entry.get("bd_rate", {}).get(kind, {}).get(other)
        if row and all(row[measure] is not None for measure in AV1_MEASURES):
            found[name] = row
    return found


def av1() -> str:
    """Return the tables of files with an AV1 stream."""
    results = load("av1.json")
    kinds = list(dict.fromkeys(kind for entry in results["clips"].values() for kind in entry.get("bd_rate", {})))
    others = list(dict.fromkeys(o for e in results["clips"].values() for k in e.get("bd_rate", {}).values() for o in k))
    lines = ["| clip | kind | against | " + " | ".join(AV1_MEASURES.values()) + " |", rule(3 + len(AV1_MEASURES))]
    for name in results["clips"]:
        for kind in kinds:
            for other in others:
                if row := av1_deltas(kind, other).get(name):
                    cells = " | ".join(f"{row[measure]:+.1f} %" for measure in AV1_MEASURES)
                    lines.append(f"| {name} | {kind} | {other} | {cells} |")
    lines += ["", "| clip | crf | AV1 stream | network | file | RGB | Y | 6:1:1 |", rule(8)]
    for name, entry in results["clips"].items():
        for crf, point in entry["points"].get("fine ycc", {}).items():
            base, size = point["bytes_by_kind"]["base"], point["file_bytes"]
            weights = point["bytes_by_kind"]["weights"]
            decibels = " | ".join(f"{point[measure]:.2f} dB" for measure in AV1_MEASURES)
            lines.append(f"| {name} | {crf} | {base} | {weights} | {size} | {decibels} |")
    return "\n".join(lines) + "\n"


def av1_decoding() -> str:
    """Return how fast files with an AV1 stream decode."""
    parts = ("dav1d", "layer 0 alone", "network", "network, checksums")
    lines = ["| device | size | " + " | ".join(parts) + " |", rule(2 + len(parts))]
    for device, sizes in load("av1_decode.json").items():
        machine = sizes["provenance"]["machine"]
        where = machine["gpu"] if device == "cuda" else f"{machine['threads']} threads"
        for size, row in sizes.items():
            if size != "provenance":
                cells = " | ".join(f"{row[part]['frames_per_second']:.0f}" for part in parts)
                lines.append(f"| {where} | {size} | {cells} |")
    return "\n".join(lines) + "\n"


def similarity() -> str:
    """Return the table of SSIM and MS-SSIM beside those of the AV1 stream, and of what they cost in PSNR."""
    kinds = {"PSNR in RGB": "psnr_rgb", "of Y": "psnr_y", "6:1:1": "psnr_611"}
    lines = ["| clip | tune, crf | file | SSIM | MS-SSIM | " + " | ".join(kinds) + " |", rule(5 + len(kinds))]
    for name, points in load("similarity.json")["clips"].items():
        for key, point in points.items():
            below, file = point["stream"], point["file"]
            cells = [
                "-" if file[kind] is None else f"{below[kind]:.4f} {file[kind] - below[kind]:+.4f}"
                for kind in ("ssim", "ms_ssim")
            ]
            cells += [f"{below[kind]:.2f} {file[kind] - below[kind]:+.2f} dB" for kind in kinds.values()]
            lines.append(f"| {name} | {key} | {point['file_bytes']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def defaults() -> str:
    """Return the table of what the default options make of six kinds of video, at several rate factors."""
    results = load("defaults.json")
    lines = ["| 50 frames 416x240 | crf | file | RGB | Y | SSIM | seconds |", rule(7)]
    for name, points in results["kinds"].items():
        for crf, point in points.items():
            lines.append(
                f"| {name} | {crf} | {point['file_bytes']} | {point['psnr_rgb']:.2f} dB | {point['psnr_y']:.2f} dB | "
                f"{point['ssim']:.4f} | {point['seconds']:.0f} |"
            )
    return "\n".join(lines) + "\n"


def shader() -> str:
    """Return how near the pictures of a user shader are to the decoder's, in each player."""
    lines = [
        "| clip | player | difference to the decoder | largest | samples that differ | PSNR with shader | without |",
        rule(7),
    ]
    for clip, row in load("shader.json").items():
        for player, shown in row.get("players", {}).items():
            fixed, base = shown["shader"], shown["base"]
            lines.append(
                f"| {clip} | {player} | {fixed['mean_difference']:.4f} levels | {fixed['largest_difference']} "
                f"| {100 * fixed['different_samples']:.4f} % | {fixed['psnr']:.2f} dB | {base['psnr']:.2f} dB |"
            )
        if "players" in row:
            own = f"{row['decoder_psnr']:.2f} dB | {row['decoder_base_psnr']:.2f} dB"
            lines.append(f"| {clip} | `nvcodec decode` | | | | {own} |")
    return "\n".join(lines) + "\n"


def clips() -> str:
    """Return the table of encodes with the defaults, and a sentence on the speed of exact decoding."""
    results = load("clips.json")
    lines = [
        "| clip | frames | size | bytes | PSNR | quantisation loss | side info, overhead | encode |",
        rule(8),
    ]
    for name, row in results.items():
        loss = row["psnr_same_network_in_float"] - row["psnr_rgb"]
        lines.append(
            f"| {name} | {row['frames']} | {row['size']} | {row['file_bytes']} "
            f"| {row['psnr_rgb']:.2f} dB | {loss:.3f} dB "
            f"| {row['side_info_and_overhead_share']:.2%} | {row['encode_seconds']:.0f} s |"
        )
    machine = next(iter(results.values()))["provenance"]["machine"]
    ratios = [row["ratio"] for row in load("decode_speed.json")["results"]]
    lines += [
        "",
        f"Made by `benchmarks/clips.py` on {machine['threads']} threads of an {machine['processor']}, with the "
        "defaults except where the name says otherwise. *Quantisation loss*: PSNR of the float network minus that of "
        f"the decoded file. Decoding a frame in integers takes {min(ratios):.2f} to {max(ratios):.2f} times the float "
        "network's forward pass (`benchmarks/decode_speed.json`). The commit of each row is in `clips.json`; not all "
        "are the same.",
    ]
    return "\n".join(lines) + "\n"


def gpu() -> str:
    """Return what was measured on a GPU, as a list.

    Raises:
        ValueError: a stream did not decode exactly.
    """
    found = load("gpu.json")
    exact = {name: value for name, value in found["exact"].items() if name not in {"pictures", "provenance"}}
    if not all({**exact, **found["decoding"]["exact_by_batch"]}.values()):
        raise ValueError("not every stream is exact on the GPU")
    sets = [name for name in exact if name[0].isdigit() and " " in name]
    decoded = {batch: row["exact_frames_a_second"] for batch, row in found["decoding"]["by_batch"].items()}
    fitted, file, quality = found["fitting_speed"]["frames_a_second"], found["to_size"], found["to_quality"]
    layers = "The speed of decoding several layers has not yet been measured on a GPU."
    if "layers" in found:
        speeds = " / ".join(f"{speed:.0f}" for speed in found["layers"]["frames_decoded_a_second"].values())
        layers = f"With one, two and three layers it decodes {speeds} frames per second one by one."
    lines = [
        f"On one {found['exact']['provenance']['machine']['gpu']} (`benchmarks/gpu.json`; "
        f"{file['pictures']}, {quality['size']} parameters):",
        "",
        f"- Every golden stream, {' and '.join(sets)} decode to the CPU's pixels.",
        f"- It decodes {decoded['1']:.0f} frames per second one by one and {decoded['16']:.0f} in batches of 16, "
        f"{found['decoding']['by_batch']['1']['ratio']:.1f} times the float network's time.",
        f"- It fits {fitted['bfloat16']:.0f} frames per second one by one, "
        f"{fitted['bfloat16, batch 4']:.0f} in batches of 4.",
        f"- A fit of {quality['time_limit']:.0f} s reached {quality['psnr_rgb']:.2f} dB; HNeRV's published 300 epochs "
        f"reach {PUBLISHED_DB} dB.",
        f"- A file of {file['file_bytes']} bytes had {file['psnr_rgb']:.2f} dB after {file['time_limit']:.0f} s; "
        f"x265 reaches {X265_DB} dB.",
        f"- {layers}",
    ]
    return "\n".join(lines) + "\n"


def fit_speed() -> str:
    """Return the table of the time to HNeRV's quality."""
    results = load("fit_speed.json")
    lines = [
        "| clip | parameters | HNeRV's recipe | its PSNR | `nvcodec encode --target-psnr` | PSNR of the file "
        "| times faster | shortest `--time-limit` that reaches it |",
        rule(8),
    ]
    for name, row in results["clips"].items():
        theirs, ours = row["recipe"], row["to_its_quality"]
        reaching = [limit for limit in row["time_limits"] if limit["psnr_rgb"] >= theirs["psnr_rgb"]]
        shortest = min(reaching, key=lambda limit: limit["seconds"], default=None)
        lines.append(
            f"| {name}, {row['frames']} frames | {row['parameters']} "
            f"| {theirs['seconds']:.0f} s, {theirs['epochs']} epochs "
            f"| {theirs['psnr_rgb']:.2f} dB | {ours['seconds']:.1f} s | {ours['psnr_rgb']:.2f} dB "
            f"| {row['ratio_target_psnr']:.1f} | {_time_limit(shortest, row['ratio_best_time_limit'])} |"
        )
    check = load("hnerv_published.json")
    ours = results["clips"][check["clip"]]["recipe"]
    machine = next(iter(results["clips"].values()))["provenance"]["machine"]
    lines += [
        "",
        f"Made by `benchmarks/fit_speed.py` on {machine['threads']} threads of an {machine['processor']}. "
        "*HNeRV's recipe* is its network and training (Adam 1e-3, batch 2, cosine) in float, timed without anything "
        "but the training steps; ours is a whole encode, with the file written, decoded and compared. HNeRV's "
        f"published code reaches {check['psnr_rgb']:.2f} dB on {check['clip']} with {check['epochs']} epochs "
        f"(`benchmarks/hnerv_published.json`), our copy of the recipe {ours['psnr_rgb']:.2f} dB. Measured at a commit "
        "at which bytes did not count (`--lambda 0`) and kernels were 5x5.",
    ]
    return "\n".join(lines) + "\n"


def _time_limit(limit: Mapping[str, Any] | None, ratio: float | None) -> str:
    """Return the cell for the shortest time limit that reached a quality."""
    if limit is None or ratio is None:
        return "none of those tried"
    return f"{limit['time_limit']} s: {limit['seconds']:.1f} s, {limit['psnr_rgb']:.2f} dB, {ratio:.1f} times faster"


def rate() -> str:
    """Return the table of bytes at equal quality, against an earlier nvcodec and other codecs."""
    curves = _curves()
    lines = ["| bytes at equal PSNR | " + " | ".join(curves) + " |", rule(len(curves) + 1)]
    against = [delta_cell(of["older"], of["this"]) for of in curves.values()]
    lines.append("| **nvcodec** against earlier nvcodec | " + " | ".join(against) + " |")
    for codec in next(iter(curves.values())):
        if codec != ANCHOR:
            cells = [
                delta_cell(of[ANCHOR], of[codec]) if {ANCHOR, codec} <= of.keys() else "not measured"
                for of in curves.values()
            ]
            lines.append(f"| {LABELS.get(codec, codec)} against {ANCHOR} | " + " | ".join(cells) + " |")
    first = load("before.json")[next(iter(curves))]
    this, older = (next(iter(first[which].values()))["provenance"] for which in ("this", "older"))
    lines += [
        "",
        "BD-rate (PCHIP) over the PSNR range that both reach, which is given in brackets; RGB PSNR, 4:2:0 for the "
        f"other codecs. *Earlier nvcodec* is commit {older['commit'][:7]}, with four sizes and its defaults; nvcodec "
        "itself had 0.6 times as many bytes as target and the same processor time as limit, one thread of an "
        f"{this['machine']['processor']} (`benchmarks/before.py`). The others were measured by `nvcodec bench`, "
        "without the overhead of a container (`benchmarks/codecs_*.json`).",
    ]
    return "\n".join(lines) + "\n"


def _curves() -> dict[str, dict[str, Points]]:
    """Return the rate-distortion curves of each clip by codec; nvcodec's are ``this`` and ``older``."""
    curves: dict[str, dict[str, Points]] = {}
    for name, row in load("before.json").items():
        if len(row.get("this", {})) < len(row["older"]):
            continue  # not measured completely
        others = HERE / f"codecs_{name.split()[0]}.json"
        measured = json.loads(others.read_text())["points"] if others.exists() else []
        curves[name] = {which: points(row[which].values()) for which in ("this", "older")}
        for codec in dict.fromkeys(point["codec"] for point in measured):
            curves[name][codec] = points(point for point in measured if point["codec"] == codec)
    return curves


def points(rows: Iterable[Mapping[str, Any]]) -> Points:
    """Return bytes and PSNR of results."""
    return [(row["file_bytes"], row["psnr_rgb"]) for row in rows]


def delta_cell(anchor: Points, test: Points) -> str:
    """Return the cell for a BD-rate and the range of PSNR that it is over."""
    delta: Delta | None = bd_rate(anchor, test)
    if delta is None:
        return "no quality in common"
    return f"{delta.percent:+.0f} % ({delta.low:.1f} to {delta.high:.1f} dB)"


def targets() -> str:
    """Return the table of how close files come to their targets."""
    rows = load("targets.json")
    lines = ["| clip | target | file | error | time |", rule(5)]
    for number in sorted(rows, key=int):
        row = rows[number]
        if "target_psnr" in row:
            target, error = f"{row['target_psnr']:g} dB", f"{row['error_db']:+.2f} dB"
        else:
            size = row.get("target_size")
            target = f"{size} bytes" if size else f"{row['bitrate'] / 1000:g} kbit/s"
            error = f"{row['error_percent']:+.2f} %"
        file = f"{row['file_bytes']} bytes, {row['psnr_rgb']:.2f} dB"
        lines.append(f"| {row['clip']} | {target} | {file} | {error} | {row['seconds']:.0f} s |")
    lines += ["", "Made by `benchmarks/targets.py`; no option but the target was given."]
    return "\n".join(lines) + "\n"


def layers() -> str:
    """Return the table of quality layers beside files of one layer, and x265 in several streams."""
    results = load("layers.json")
    lines = [
        "| clip, up to layer | bytes | PSNR | one layer of as many bytes | files of one layer each "
        "| frames decoded per second |",
        rule(6),
    ]
    for clip, found in results.items():
        for number, row in enumerate(found["layers"]["layers"]):
            single, alone = found.get(f"single {number}"), found[f"alone {number}"]
            lines.append(
                f"| {clip}, {number} | {row['file_bytes']} | {row['psnr_rgb']:.2f} dB "
                f"| {_file(single) if single else '(the same)'} | {_file(alone)} "
                f"| {found['layers']['frames_decoded_a_second'][number]:.0f} |"
            )
    lines += [
        "",
        "| bytes at equal PSNR |" + " ".join(f" {clip} |" for clip in results),
        rule(1 + len(results)),
    ]
    for against, anchor in (("one layer", _single_layer), ("x265 in three streams", _simulcast)):
        cells = [delta_cell(anchor(found), points(found["layers"]["layers"])) for found in results.values()]
        lines.append(f"| layers against {against} | " + " | ".join(cells) + " |")
    machine = next(iter(results.values()))["layers"]["provenance"]["machine"]
    lines += [
        "",
        f"One thread of an {machine['processor']}, one trial, 2800 training steps per layer (*growing*: 1400). "
        "*x265 in three streams* sends three qualities separately, medium without B frames, QP 37, 32 and 27; its "
        "bytes are those of all streams up to a quality. BD-rate as above. Made by `benchmarks/layers.py`; the commit "
        "of each row is in `layers.json`.",
    ]
    return "\n".join(lines) + "\n"


def _file(row: Mapping[str, Any]) -> str:
    return f"{row['file_bytes']} bytes, {row['psnr_rgb']:.2f} dB"


def _single_layer(found: Mapping[str, Any]) -> Points:
    return points(row for which, row in found.items() if which == "alone 0" or which.startswith("single"))


def _simulcast(found: Mapping[str, Any]) -> Points:
    curve, total = [], 0
    for which, row in found.items():
        if which.startswith("x265"):
            total += row["file_bytes"]
            curve.append((total, row["psnr_rgb"]))
    return curve


def warm_start() -> str:
    """Return the table of what a warm start gains."""
    result = load("warm_start.json")
    lines = ["| fit | from nothing | from the file | the file's network, unfitted | cost |", rule(5)]
    for case, row in result["cases"].items():
        lines.append(
            f"| {case} | {row['from nothing']:.2f} dB | {row['from the file']:.2f} dB | {row['begin']:.2f} dB "
            f"| {row['steps_that_the_warm_start_took']:.0f} steps |"
        )
    lines += [
        "",
        f"Each fit has {result['steps']} training steps; the file holds the first 66 frames of Bunny at 320x160 in "
        f"0.3M parameters, {result['file_psnr_rgb']:.2f} dB. *Cost* is the time of the warm start in training steps. "
        "Made by `benchmarks/warm_start.py`.",
    ]
    return "\n".join(lines) + "\n"


def memory() -> str:
    """Return the table of peak memory with and without a limit."""
    found = load("memory.json")
    lines = ["| `--max-memory` | peak memory | bytes of the file |", rule(3)]
    for row in found["encodes"]:
        limit = row["max_memory_bytes"]
        lines.append(
            f"| {f'{limit / 2**20:.0f}M' if limit else 'none'} | {row['peak_memory_bytes'] / 2**20:.0f} MiB "
            f"| {row['file_bytes']} |"
        )
    lines += ["", f"{found['clip']}, {found['clip_bytes'] / 2**20:.0f} MiB of frames. Made by `benchmarks/memory.py`."]
    return "\n".join(lines) + "\n"


def fuzzing() -> str:
    """Return the tables of what came of mutated streams, and of those that coverage guided."""
    lines = [
        "| target | streams | checksums | decoded, documented errors, anything else | longest | memory |",
        rule(6),
    ]
    for run in load("fuzz.json")["runs"]:
        decoded = sum(count for name, count in run["outcomes"].items() if not name.endswith("Error"))
        crashes = len(run["crashers"])
        lines.append(
            f"| {run['target']} | {run['count']} | {'repaired' if run['repaired'] else 'left as mutated'} "
            f"| {decoded}, {run['count'] - decoded - crashes}, {crashes} | {run['longest'][0]:.2f} s "
            f"| +{run['memory'][0] / 2**20:.0f} MiB |"
        )
    lines += ["", "Guided by coverage (Atheris), most checksums repaired:", ""]
    for run in load("fuzz_guided.json")["runs"]:
        lines.append(
            f"- {run['target']}: {run['runs']} streams in {run['seconds']} s; {run['crashers']} needed a look."
        )
    lines += [
        "",
        "Made by `tools/fuzz.py` and `tests/fuzzing/fuzz_*.py` (`benchmarks/fuzz.json`, `fuzz_guided.json`).",
    ]
    return "\n".join(lines) + "\n"
