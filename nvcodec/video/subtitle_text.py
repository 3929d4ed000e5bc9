"""Subtitles that are text, from one codec to another; what is more than text is lost."""

from __future__ import annotations

import dataclasses
import re

from nvcodec.tracks import Packet, Track

#: The codec of text that a container takes, where it is not that of the track.
TEXT_CODECS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
_ASS_FIELDS = 8  # before the text of an event
_LENGTH_BYTES = 2  # before the text of `mov_text`, which styles may follow


def text_of(codec: str, data: bytes) -> str:
    """Return the text of a packet, without styles.

    Raises:
        ValueError: the codec is not one of text.
    """
    if codec == "mov_text":
        size = int.from_bytes(data[:_LENGTH_BYTES], "big")
        return data[_LENGTH_BYTES : _LENGTH_BYTES + size].decode(errors="replace")
    text = data.decode(errors="replace").rstrip("\r\n\0")
    if codec == "ass":
        parts = text.split(",", _ASS_FIELDS)
        text = re.sub(r"\{[^}]*\}", "", parts[-1]) if len(parts) > _ASS_FIELDS else ""
        return text.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
    if codec not in ("subrip", "webvtt", "text"):
        raise ValueError(f"{codec} is not text")
    return re.sub(r"</?[a-zA-Z][^>]*>|\{\\[^}]*\}", "", text)


def converted(track: Track, codec: str) -> Track:
    """Return a track of text in another codec of :data:`TEXT_CODECS`; raises as :func:`text_of`."""
    packets = []
    for packet in track.packets:
        if text := text_of(track.codec, packet.data):
            data = text.encode()[: 2**16 - 1]
            data = len(data).to_bytes(_LENGTH_BYTES, "big") + data if codec == "mov_text" else data
            packets.append(Packet(packet.time, packet.duration, data))
    return dataclasses.replace(track, codec=codec, codec_data=b"", packets=tuple(packets))
