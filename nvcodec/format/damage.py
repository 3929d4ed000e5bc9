"""What is found to be damaged while a stream is read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from nvcodec.errors import CorruptStreamError


class Damage:
    """Collects what could not be read.

    Args:
        keep_going: whether reading goes on after damage (specification, section 10.1).

    Attributes:
        found: a sentence for each.
    """

    def __init__(self, keep_going: bool) -> None:
        self.keep_going = keep_going
        self.found: list[str] = []

    @contextlib.contextmanager
    def tolerated(self) -> Iterator[None]:
        """Note what is corrupt in the block, if reading goes on after damage; else it is raised."""
        try:
            yield
        except CorruptStreamError as error:
            if not self.keep_going:
                raise
            self.found.append(str(error))
