"""What each entry point loads, in a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TRAINING = ("nvcodec.encoding",)


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_importing_the_package_is_light() -> None:
    modules = loaded_by("import nvcodec; nvcodec.__version__")
    assert not modules & {"torch", "av", "numpy", "constriction"}


def test_info_needs_no_torch(tiny_file: Path) -> None:
    code = f"from nvcodec.cli.main import run\nassert run(['info', {str(tiny_file)!r}]) == 0"
    assert not loaded_by(code) & {"torch", "av"}


def test_the_function_info_needs_no_torch(tiny_file: Path) -> None:
    code = f"import nvcodec\nassert nvcodec.info({str(tiny_file)!r})['frames'] == 5"
    assert not loaded_by(code) & {"torch", "av"}


@pytest.mark.parametrize("arguments", [["--md5"], ["--null"], ["-o", "OUT/frames/"], ["-o", "OUT/x.mkv"]])
def test_decoding_imports_no_training_code(tiny_file: Path, tmp_path: Path, arguments: list[str]) -> None:
    arguments = [argument.replace("OUT", str(tmp_path)) for argument in arguments]
    modules = loaded_by(
        f"from nvcodec.cli.main import run\nassert run(['decode', {str(tiny_file)!r}, '-q', *{arguments!r}]) == 0"
    )
    assert "torch" in modules
    assert not [name for name in modules if name.startswith(TRAINING)]


def test_decoding_cannot_import_training_code(tiny_file: Path) -> None:
    blocked = "\n".join(f"sys.modules[{name!r}] = None" for name in TRAINING)
    loaded_by(f"{blocked}\nimport nvcodec; nvcodec.open({str(tiny_file)!r}, device='cpu')[0]")


def test_nothing_unpickles() -> None:
    root = Path(__file__).parents[2] / "nvcodec"
    for path in root.rglob("*.py"):
        text = path.read_text().replace("allow_pickle=False", "")
        for word in ("torch.load", "pickle", "eval(", "exec("):
            assert word not in text, f"{path.name} has {word}"


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_threads_that_wait_sleep_soon(given: dict[str, str], spins: str) -> None:
    """It is said before OpenMP is loaded, which reads it then; what the user says stays."""
    code = (
        "import os, sys\nfrom nvcodec.cli import main\nsys.argv = ['nvcodec', '--version']\n"
        "assert 'torch' not in sys.modules\n"
        "try: main.main()\nexcept SystemExit: print(os.environ.get('GOMP_SPINCOUNT'))"
    )
    said = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {name: value for name, value in os.environ.items() if name not in said} | given
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert result.stdout.split()[-1] == spins
