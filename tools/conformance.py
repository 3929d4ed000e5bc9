"""Run a decoder against the conformance vectors and report what it got wrong, as JSON.

    python tools/conformance.py                           # nvcodec, by its command line
    python tools/conformance.py --in-process reference    # tools/reference_decoder.py, in this process; or nvcodec
    python tools/conformance.py -- mydecoder --layers {layers} --between {interpolate} {file}

What a command has to do is in conformance/README.md. The exit status is 0 where all is right, else 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import reference_decoder

VECTORS = Path(__file__).parents[1] / "conformance"
STATUS = {"not-sdmn": 3, "corrupt": 4, "not-supported": 5, "not-verified": 6}
NVCODEC = [sys.executable, "-m", "nvcodec", "decode", "{file}", "--md5=frame", "--layers", "{layers}"]
NVCODEC += ["--interpolate", "{interpolate}", "--device", "cpu", "--quiet"]


@dataclass(frozen=True)
class Outcome:
    """What a decoder made of a file.

    Attributes:
        status: its exit status, or why there is none.
        md5: of the RGB bytes of each frame that it yielded.
        sizes: width and height of each frame; None where the decoder does not tell.
        ticks: presentation time and duration of each frame; None where the decoder does not tell.
    """

    status: int | str
    md5: Sequence[str] = ()
    sizes: Sequence[tuple[int, int]] | None = None
    ticks: Sequence[tuple[int, int]] | None = None


#: Decodes a file with so many layers, and so many times as many frames.
Decode = Callable[[Path, int, int], Outcome]


def run_vectors(
    decode: Decode, folder: Path = VECTORS, *, layers: bool = True, interpolate: bool = True
) -> dict[str, Any]:
    """Run a decoder against all vectors of a folder.

    Args:
        decode: the decoder.
        folder: the vectors.
        layers, interpolate: whether the decoder can be asked for fewer layers, and for frames between the transmitted
            ones; else these decodings are skipped.

    Returns:
        How many vectors there are, how many decodings were right and skipped, and a list of those that were not right.
    """
    vectors = sorted(folder.glob("*/descriptor.json"))
    report: dict[str, Any] = {"vectors": len(vectors), "right": 0, "skipped": 0, "wrong": []}
    for path in vectors:
        vector = json.loads(path.read_text())
        for decoding in vector["decodings"]:
            asked = decoding["layers"], decoding["interpolate"]
            if (asked[0] < vector["layers"] and not layers) or (asked[1] > 1 and not interpolate):
                report["skipped"] += 1
                continue
            try:
                outcome = decode(path.parent / "stream.sdmn", *asked)
            except Exception as error:  # a decoder under test may do anything
                outcome = Outcome(f"none: {type(error).__name__}: {error}")
            wrong = next(mistakes(vector, decoding, outcome), None)
            if wrong is None:
                report["right"] += 1
            else:
                where = {"vector": path.parent.name, "layers": asked[0], "interpolate": asked[1]}
                report["wrong"].append({**where, "what": wrong})
    return report


def mistakes(vector: dict[str, Any], decoding: dict[str, Any], outcome: Outcome) -> Iterator[str]:
    """What is wrong with an outcome, if anything is."""
    if "error" in decoding:
        yield from refusal_mistakes(decoding, outcome)
        return
    if outcome.status != 0:
        yield f"exit status {outcome.status}; expected 0"
        return
    yield from digest_mistakes(decoding["md5"], outcome.md5)
    factor = decoding["interpolate"]
    sizes = [(width, height) for width, height, n in vector["sizes"] for _ in range((n - 1) * factor + 1)]
    if outcome.sizes is not None and list(outcome.sizes) != sizes:
        yield f"pictures of the sizes {list(outcome.sizes)}; expected {sizes}"
    ticks = [tuple(tick) for tick in vector["ticks"]]
    if factor == 1 and outcome.ticks is not None and list(outcome.ticks) != ticks:
        yield f"times and durations {list(outcome.ticks)}; expected {ticks}"


def refusal_mistakes(decoding: dict[str, Any], outcome: Outcome) -> Iterator[str]:
    """What is wrong where a file had to be refused."""
    wanted = STATUS[decoding["error"]]
    before = decoding.get("before", [])
    if outcome.status == wanted and (
        list(outcome.md5) == before[: len(outcome.md5)] or decoding["error"] == "not-verified"
    ):
        return
    if "or" in decoding and outcome.status in decoding["or"]["status"]:
        yield from digest_mistakes(decoding["or"]["md5"], outcome.md5)
    elif outcome.status == wanted:
        yield f"{len(outcome.md5)} frames of a stream that has to be refused"
    else:
        yield f"exit status {outcome.status}; expected {wanted}, {decoding['error']}"


def digest_mistakes(wanted: list[str], got: Sequence[str]) -> Iterator[str]:
    """Where frames differ."""
    if len(got) != len(wanted):
        yield f"{len(got)} frames; expected {len(wanted)}"
    for frame, (expected, found) in enumerate(zip(wanted, got, strict=False)):
        if expected != found:
            yield f"frame {frame} has the MD5 {found}; expected {expected}"


# ---- decoders --------------------------------------------------------------------------------------------------------


def decode_by_command(command: Sequence[str], timeout: float) -> Decode:
    """A decoder that is a command, with {file}, {layers} and {interpolate} to be filled in."""

    def decode(file: Path, layers: int, interpolate: int) -> Outcome:
        values = {"{file}": str(file), "{layers}": str(layers), "{interpolate}": str(interpolate)}
        filled = [re.sub(r"\{(file|layers|interpolate)\}", lambda match: values[match[0]], part) for part in command]
        try:
            done = subprocess.run(filled, capture_output=True, text=True, errors="replace", timeout=timeout)
        except subprocess.TimeoutExpired:
            return Outcome(f"none within {timeout:g} s")
        except OSError as error:
            return Outcome(f"none: {error}")
        return Outcome(done.returncode, [line.split()[0].lower() for line in done.stdout.splitlines() if line.strip()])

    return decode


def decode_by_reference(file: Path, layers: int, interpolate: int) -> Outcome:
    """tools/reference_decoder.py."""
    made: list[np.ndarray] = []
    try:
        stream = reference_decoder.parse(file.read_bytes())
        made.extend(reference_decoder.pictures(stream, layers - 1, interpolate))
    except reference_decoder.SpecError as error:
        return Outcome(error.status)
    return outcome_of(made, reference_decoder.times(stream))


def decode_by_nvcodec(file: Path, layers: int, interpolate: int, device: str = "cpu") -> Outcome:
    """nvcodec as a library, on a device of PyTorch."""
    from nvcodec.decoding.decoded_video import Video
    from nvcodec.errors import NvcodecError

    made: list[np.ndarray] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a file that is cut
            video = Video(file, device=device, layers=layers)
        pictures = (picture for picture, _, _ in video.interpolated(interpolate)) if interpolate > 1 else video
        made.extend(picture.permute(1, 2, 0).cpu().numpy() for picture in pictures)
    except NvcodecError as error:
        return Outcome(error.exit_code)
    return outcome_of(made, video.stream.ticks)


def outcome_of(pictures: Sequence[np.ndarray], ticks: Sequence[tuple[int, int]]) -> Outcome:
    """What a decoder that yields pictures [height, width, 3] made of a file."""
    digests = [hashlib.md5(np.ascontiguousarray(picture)).hexdigest() for picture in pictures]
    return Outcome(0, digests, [(picture.shape[1], picture.shape[0]) for picture in pictures], ticks)


IN_PROCESS: dict[str, Decode] = {"nvcodec": decode_by_nvcodec, "reference": decode_by_reference}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Run a decoder against the conformance vectors.")
    parser.add_argument("--vectors", type=Path, default=VECTORS, metavar="FOLDER")
    parser.add_argument("--in-process", choices=IN_PROCESS, help="a decoder of this repository, in one process")
    parser.add_argument("--timeout", type=float, default=60, metavar="S", help="seconds for each file (60)")
    parser.add_argument("command", nargs="*", help="after --, with {file}, {layers} and {interpolate}")
    options = parser.parse_args(arguments)
    if options.in_process and options.command:
        parser.error("either --in-process or a command")
    command = options.command or NVCODEC
    if not options.in_process and not any("{file}" in part for part in command):
        parser.error("the command has no {file}")
    if not any(options.vectors.glob("*/descriptor.json")):
        parser.error(f"there are no vectors in {options.vectors}")
    if options.in_process:
        report = run_vectors(IN_PROCESS[options.in_process], options.vectors)
    else:
        able = [any(name in part for part in command) for name in ("{layers}", "{interpolate}")]
        decode = decode_by_command(command, options.timeout)
        report = run_vectors(decode, options.vectors, layers=able[0], interpolate=able[1])
    named = {"decoder": options.in_process or " ".join(command), **report}
    print(json.dumps(named, indent=1))
    return 1 if report["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
