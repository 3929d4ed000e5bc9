"""A file on a web server, read by ranges (RFC 9110, section 14)."""

from __future__ import annotations

import collections
import http.client
import io
import re
import urllib.error
import urllib.request
from typing import Any

from nvcodec.errors import InputError
from nvcodec.format.byte_source import ByteSource, is_url

TIMEOUT = 30  # seconds that a server may be silent
FIRST_BYTES = 2**16  # of the first request
LEAST_BYTES = 2**13  # of each later request: fewer take as long
KEPT = 8  # answers that are kept, unless they are large
MOST_KEPT_BYTES = 2**18


class HttpSource(ByteSource):
    """A file on a web server. The last answers are kept, so that what lies close together is asked for once.

    Args:
        url: its address.

    Attributes:
        requests: how many were made.
        received: bytes of their answers.
        whole: the answer of a server without ranges, a file object with the whole file; else None.

    Raises:
        InputError: the server does not have it, cannot be reached, or answers with nonsense.
    """

    gap = 2**15

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests = self.received = self.size = 0
        self.tag: str | None = None
        self._kept: collections.deque[tuple[int, bytes]] = collections.deque(maxlen=KEPT)
        response = self._ask(0, FIRST_BYTES)
        partial = response.status == http.client.PARTIAL_CONTENT
        self.whole = None if partial else _Whole(response)
        if partial:
            self.url = response.url  # behind redirections
            self.tag, self.size = _tag(response), self._total(response, 0)
            self._kept.append((0, self._content(response, min(self.size, FIRST_BYTES))))

    def read_at(self, offset: int, count: int) -> memoryview:
        for start, data in tuple(self._kept):
            if start <= offset and offset + count <= start + len(data):
                return memoryview(data)[offset - start : offset - start + count]
        wanted = min(max(count, LEAST_BYTES), self.size - offset)
        response = self._ask(offset, wanted)
        changed = response.status != http.client.PARTIAL_CONTENT or _tag(response) != self.tag
        if changed or self._total(response, offset) != self.size:
            response.close()
            raise InputError(f"{self.url} has changed since it was opened, or its server no longer answers by ranges")
        data = self._content(response, wanted)
        if len(data) <= MOST_KEPT_BYTES:
            self._kept.append((offset, data))
        return memoryview(data)[:count]

    def _ask(self, offset: int, count: int) -> Any:
        """Send a request for a range and return the response, whose content is still to be read."""
        self.requests += 1
        headers = {"Range": f"bytes={offset}-{offset + count - 1}", "Accept-Encoding": "identity"}
        try:
            response = urllib.request.urlopen(urllib.request.Request(self.url, headers=headers), timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            error.close()
            raise InputError(f"cannot read {self.url}: the server answers {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise InputError(f"cannot read {self.url}: {_reason(error)}") from None
        if not is_url(response.url):
            response.close()
            raise InputError(f"cannot read {self.url}: it leads to {response.url}")
        return response

    def _content(self, response: Any, count: int) -> bytes:
        """Read the content of a response, which must have so many bytes."""
        try:
            with response:
                data: bytes = response.read(count + 1)
        except (OSError, http.client.HTTPException) as error:
            raise InputError(f"cannot read {self.url}: {_reason(error)}") from None
        self.received += len(data)
        if len(data) != count:
            raise InputError(
                f"cannot read {self.url}: the server sends another number of bytes than the {count} of a range"
            )
        return data

    def _total(self, response: Any, offset: int) -> int:
        """Return the size of the file that a response with a range states."""
        match = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", response.headers.get("Content-Range", ""))
        if not match or int(match[1]) != offset:
            response.close()
            raise InputError(f"cannot read {self.url}: the server does not say which bytes it sends")
        return int(match[2])

    def __getstate__(self) -> dict[str, Any]:
        """State for other processes, without the answers."""
        return {**self.__dict__, "_kept": collections.deque(maxlen=KEPT)}


class _Whole(io.BufferedIOBase):
    """The content of a response; errors are those of the operating system."""

    def __init__(self, response: Any) -> None:
        self.response = response

    def read(self, count: int | None = -1) -> bytes:
        try:
            data: bytes = self.response.read(None if count is None or count < 0 else count)
        except http.client.HTTPException as error:
            raise OSError(_reason(error)) from None
        if not data and self.response.length:
            raise OSError("the connection ended early")
        return data

    def close(self) -> None:
        self.response.close()
        super().close()


def _tag(response: Any) -> str | None:
    """Return what changes when the file does."""
    tag: str | None = response.headers.get("ETag") or response.headers.get("Last-Modified")
    return tag


def _reason(error: Exception) -> str:
    """Say why a request failed."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return f"the server is silent for {TIMEOUT} seconds"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended early"
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__)
