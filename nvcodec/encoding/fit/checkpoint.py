"""Checkpoints of a fit: arrays and JSON in one file, nothing that could be executed.

The file is an uncompressed ``.npz``: one array per tensor, and ``meta``, the bytes of a JSON object. NumPy refuses
arrays of objects.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nvcodec.encoding.fit import fit_state, losses
from nvcodec.encoding.fit.fit import Fit
from nvcodec.errors import InputError, UsageError

VERSION = 5
SUFFIX = ".checkpoint"
DAMAGED = "{} is not a checkpoint, or is damaged"
FREE_OPTIONS = ("steps", "seconds", "files", "batch", "bfloat16")  # may change when a fit is resumed


def path_beside(output: str | os.PathLike[str] | None) -> Path | None:
    """Return the path of an output file's checkpoint; None without a file, or for a pipe or a device."""
    if output is None or (os.path.exists(output) and not os.path.isfile(output)):
        return None
    return Path(f"{os.fspath(output)}{SUFFIX}")


class Checkpointer:
    """Saves a fit at regular intervals.

    Args:
        path: of the checkpoint.
        interval: seconds between checkpoints.
        lower_layers: the file of the layers below; empty for a base layer.
    """

    def __init__(self, path: Path, interval: float, lower_layers: bytes = b"") -> None:
        self.path, self.interval, self.lower_layers = path, interval, lower_layers
        self.last_saved = time.monotonic()

    def __call__(self, fit: Fit) -> None:
        """Save the fit if the interval has passed; called after every training step."""
        if time.monotonic() - self.last_saved >= self.interval:
            self.save(fit)
            self.last_saved = time.monotonic()

    def save(self, fit: Fit) -> None:
        """Save the fit now; raises as :func:`save` does."""
        save(fit, self.path, self.lower_layers)


def identity(fit: Fit) -> dict[str, Any]:
    """Return what two fits must have in common for one to continue with the other's state."""
    options = dataclasses.asdict(fit.options)
    for name in FREE_OPTIONS:
        del options[name]
    shape = dataclasses.asdict(fit.shape)
    identity = {
        "version": VERSION,
        "clip": fit.frames_crc,
        "shape": shape,
        "options": options,
        "loss": losses.identity(fit.loss),
    }
    return dict(json.loads(json.dumps(identity)))  # tuples become lists, as in a file


def save(fit: Fit, path: Path, lower_layers: bytes = b"") -> None:
    """Write a fit's state and, for an enhancement layer, the file of the layers below.

    Raises:
        InputError: the file cannot be written.
    """
    tensors, plain = fit_state.state_of(fit)
    meta = json.dumps({"identity": identity(fit), "plain": plain}).encode()
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    if lower_layers:
        arrays["lower"] = np.frombuffer(lower_layers, np.uint8)
    write_arrays(path, {"meta": np.frombuffer(meta, np.uint8), **arrays})


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as a checkpoint, which appears only when it is complete.

    Raises:
        InputError: the file cannot be written.
    """
    temporary = _temporary(path)  # always the same name, so that those of killed processes do not pile up
    try:
        with open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def discard(path: Path) -> None:
    """Remove a checkpoint, and what a killed process may have left of one."""
    path.unlink(missing_ok=True)
    _temporary(path).unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def restore(fit: Fit, path: Path) -> None:
    """Put a new fit into the state that a checkpoint holds.

    Raises:
        InputError: there is no such file, or it is not a checkpoint.
        UsageError: it belongs to another clip, network, or way to fit.
    """
    arrays = read_arrays(path)
    try:
        meta = json.loads(arrays.pop("meta").tobytes())
        arrays.pop("lower", None)
        if meta["identity"] == identity(fit):
            fit_state.restore(fit, {name: torch.from_numpy(array) for name, array in arrays.items()}, meta["plain"])
            return
    except (ValueError, LookupError, TypeError, RuntimeError, AttributeError):
        raise InputError(DAMAGED.format(path)) from None
    raise UsageError(f"{path} is of another clip, size, seed, loss or set of options, or of another version")


def lower_layers_in(path: Path) -> bytes:
    """Return the file of the layers below the one that a checkpoint is of; empty for a base layer.

    Raises:
        InputError: there is no such file, or it is not a checkpoint.
    """
    arrays = read_arrays(path)
    return arrays["lower"].tobytes() if "lower" in arrays else b""


def read_arrays(path: Path) -> dict[str, Any]:
    """Return a checkpoint's arrays; whatever is wrong with the file becomes the sentence of an InputError."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise InputError(f"there is no checkpoint {path}") from None
    except Exception:  # zipfile, NumPy's parser of headers and the tokenizer below it raise many kinds
        raise InputError(DAMAGED.format(path)) from None
