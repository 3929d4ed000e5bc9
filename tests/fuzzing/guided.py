"""Coverage-guided fuzzing with Atheris (https://github.com/google/atheris), which nvcodec does not depend on."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

PARTS = [
    "nvcodec.format.fields",
    "nvcodec.format.operations",
    "nvcodec.format.units",
    "nvcodec.format.entropy.chunks",
    "nvcodec.format.entropy.contexts",
    "nvcodec.format.entropy.frequency_tables",
    "nvcodec.format.arithmetic.bounds",
    "nvcodec.format.arithmetic.functions",
    "nvcodec.format.arithmetic.interpolation",
    "nvcodec.format.arithmetic.noise",
    "nvcodec.format.inference",
    "nvcodec.format.metadata",
    "nvcodec.format.av1_headers",
    "nvcodec.format.damage",
    "nvcodec.format.layer_reader",
    "nvcodec.format.runs",
    "nvcodec.format.arithmetic.color",
    "nvcodec.format.payloads",
    "nvcodec.format.stream_reader",
    "nvcodec.format.survey",
    "nvcodec.format.unit_cursor",
    "nvcodec.format.stream",
]


def run(target: str, modules: list[str]) -> None:
    """Fuzz for as long as Atheris's options say, measuring coverage in ``modules``."""
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        sys.exit(
            "Atheris is not installed (pip install atheris); tools/fuzz.py works without, but not guided by coverage"
        )
    with atheris.instrument_imports(include=modules):
        for module in modules:
            importlib.import_module(module)
    from fuzzing.blocks import joined
    from fuzzing.mutator import Mutation
    from fuzzing.seeds import seed, seeds
    from fuzzing.targets import TARGETS, outcome

    corpus = seeds()

    def mutate(data: bytes, most: int, number: int) -> bytes:
        return Mutation(corpus, number, seed("input", data)).result(repair=number % 8 > 0)[:most]

    def one(data: bytes) -> None:
        outcome(TARGETS[target], data)

    # The first argument without a dash is libFuzzer's folder of inputs, to which it adds those that reach new code.
    folders = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    if folders:
        folders[0].mkdir(parents=True, exist_ok=True)
        for number, start in enumerate(corpus):
            (folders[0] / f"seed-{number}").write_bytes(joined(start.blocks))
    atheris.Setup([*sys.argv, "-max_len=16384"], one, custom_mutator=mutate)
    atheris.Fuzz()
