"""Files that appear under their final name only once they are complete.

Until then they are temporary files in the same folder, with names that start with a dot and end in ``.nvcodec-part``.
Only a process that is killed leaves one behind.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nvcodec.errors import InputError

PART = ".nvcodec-part"


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Provide a temporary path that is renamed to ``path`` when the block succeeds and removed when it fails.

    Links are followed. Pipes and devices are written to directly.

    Raises:
        InputError: the folder cannot be written to.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file() and not target.is_dir():
        with writing(path):
            yield target
        return
    with temporary_path(target) as temporary, writing(path):
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield temporary
        temporary.replace(target)


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn errors of the operating system in the block, such as a full disk, into InputError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"cannot write {os.fspath(path)}: {error.strerror or error}") from None


_PARTS: set[Path] = set()


@contextlib.contextmanager
def temporary_path(target: Path) -> Iterator[Path]:
    """Provide a path in the folder of ``target``; a file or folder there is removed when the block ends.

    The end of the process removes it as well, because an interruption may come before the block is entered.
    """
    name = os.fsencode(target.name)[:60].decode(errors="ignore")
    path = target.with_name(f".{name}.{secrets.token_hex(6)}{PART}")
    _PARTS.add(path)
    try:
        yield path
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    _PARTS.discard(path)


@atexit.register
def _remove_all() -> None:
    for path in tuple(_PARTS):
        _remove(path)


def is_same_file(path: str | os.PathLike[str], source: object) -> bool:
    """Return whether both name, or link to, the same existing file; False where ``source`` is not a path."""
    if not isinstance(source, (str, os.PathLike)):
        return False
    try:
        return os.path.samefile(path, source)
    except OSError:
        return False


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check that a file can be created in the folder of ``path``, without leaving one behind.

    Raises:
        InputError: the folder cannot be written to.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        return
    try:
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
