"""The versions of nvcodec and of what its files and pictures depend on."""

from __future__ import annotations

import importlib.metadata
import platform

from nvcodec import __version__
from nvcodec.format.units import MAJOR, MINOR

LIBRARIES = ("torch", "av", "constriction", "numpy", "zstandard", "click")  # by their names on PyPI


def versions() -> dict[str, str]:
    """Return the version of each part, by its name; "missing" for a library that is not installed."""
    found = {"nvcodec": __version__, "format": f"SDMN {MAJOR}.{MINOR}"}
    found["Python"] = f"{platform.python_version()} ({platform.system()} {platform.machine()})"
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            found[library] = "missing"
    return {**found, **_ffmpeg()}


def _ffmpeg() -> dict[str, str]:
    """Return the version of FFmpeg inside PyAV, and which of its codecs for AV1 there are."""
    try:
        import av
    except ImportError:
        return {}
    codecs = {name for name in ("libdav1d", "libsvtav1") if name in av.codecs_available}
    return {"FFmpeg in PyAV": av.ffmpeg_version_info, "AV1 in PyAV": ", ".join(sorted(codecs)) or "missing"}
