"""Rate-distortion comparison of nvcodec with other codecs on the same frames; encoding and decoding do not use it."""

from __future__ import annotations

import importlib.util

from nvcodec.errors import UsageError

EXTRA_PACKAGES = ("matplotlib", "scipy")


def require_extra() -> None:
    """Check that the packages of the extra ``bench`` are installed.

    Raises:
        UsageError: one is missing.
    """
    missing = [name for name in EXTRA_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f'the bench needs {" and ".join(missing)}: pip install "nvcodec[bench]"')
