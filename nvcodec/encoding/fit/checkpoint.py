"""Checkpoints of a fit: arrays and JSON in one file, nothing that could run.

The file is an uncompressed ``.npz``: an array a tensor, and ``meta``, the bytes of a JSON object. Arrays of objects are
refused by NumPy.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nvcodec.encoding.fit import losses
from nvcodec.encoding.fit.fit import Fit
from nvcodec.errors import InputError, UsageError

VERSION = 4
SUFFIX = ".checkpoint"
FREE = ("steps", "seconds", "batch", "bfloat16")  # options that may change when a fit goes on


def path_beside(output: str | os.PathLike[str] | None) -> Path | None:
    """Where the checkpoint of the file ``output`` is kept; None without a file, or where it is a pipe or a device."""
    if output is None or (os.path.exists(output) and not os.path.isfile(output)):
        return None
    return Path(f"{os.fspath(output)}{SUFFIX}")


class Keeper:
    """Writes a fit's state when it is called and ``every`` seconds have passed since it last did; ``lower`` is as in
    :func:`save`."""

    def __init__(self, path: Path, every: float, lower: bytes = b"") -> None:
        self.path, self.every, self.lower = path, every, lower
        self.last = time.monotonic()

    def __call__(self, fit: Fit) -> None:
        if time.monotonic() - self.last >= self.every:
            save(fit, self.path, self.lower)
            self.last = time.monotonic()


def identity(fit: Fit) -> dict[str, Any]:
    """What two fits share if one can go on with the other's state."""
    options = dataclasses.asdict(fit.options)
    for name in FREE:
        del options[name]
    shape = dataclasses.asdict(fit.shape)
    identity = {
        "version": VERSION,
        "clip": fit.clip,
        "shape": shape,
        "options": options,
        "loss": losses.identity(fit.loss),
    }
    return dict(json.loads(json.dumps(identity)))  # tuples become lists, as in a file


def save(fit: Fit, path: Path, lower: bytes = b"") -> None:
    """Write a fit's state, and beside that of an enhancement layer the file of the layers below.

    Raises:
        InputError: the file cannot be written.
    """
    tensors, plain = fit.state()
    meta = json.dumps({"identity": identity(fit), "plain": plain}).encode()
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    if lower:
        arrays["lower"] = np.frombuffer(lower, np.uint8)
    temporary = _unfinished(path)  # always of this name, so that those of killed processes do not pile up
    try:
        with open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, meta=np.frombuffer(meta, np.uint8), **arrays)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def discard(path: Path) -> None:
    """Remove a checkpoint and what a killed process may have left of one."""
    path.unlink(missing_ok=True)
    _unfinished(path).unlink(missing_ok=True)


def _unfinished(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def restore(fit: Fit, path: Path) -> None:
    """Put a new fit into the state a file holds.

    Raises:
        InputError: there is no such file, or it is no checkpoint.
        UsageError: it is one of another clip, network or way to fit.
    """
    with _reading(path) as arrays:
        meta = json.loads(arrays.pop("meta").tobytes())
        arrays.pop("lower", None)
        if meta["identity"] != identity(fit):
            raise UsageError(f"{path} is of another clip, size, seed, loss or set of options, or of another version")
        fit.restore({name: torch.from_numpy(array) for name, array in arrays.items()}, meta["plain"])


def lower(path: Path) -> bytes:
    """The file of the layers below the one whose fit a checkpoint is of; empty for a base layer.

    Raises:
        InputError: there is no such file, or it is no checkpoint.
    """
    with _reading(path) as arrays:
        return arrays["lower"].tobytes() if "lower" in arrays else b""


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[dict[str, Any]]:
    """The arrays of a checkpoint, and one sentence for whatever is wrong with them."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
        yield arrays
    except UsageError:  # which is a ValueError
        raise
    except FileNotFoundError:
        raise InputError(f"there is no checkpoint {path}") from None
    except (OSError, zipfile.BadZipFile, EOFError, ValueError, KeyError, TypeError, RuntimeError, AttributeError):
        raise InputError(f"{path} is not a checkpoint, or is damaged") from None
