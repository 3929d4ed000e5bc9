"""Streams of a container for packets that come without the file they were taken from.

PyAV makes such a stream after the model of another file's. So a Matroska file is made that has nothing but the head of
one track, which says all that FFmpeg has to know of a codec.
"""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from nvcodec.tracks import Track, TrackKind
from nvcodec.video.track_reader import USUAL_LAYOUTS, disposition_bits

#: Matroska's names of codecs, by FFmpeg's. Those of PCM also take the bits per sample.
_CODECS = {
    "aac": "A_AAC",
    "ac3": "A_AC3",
    "eac3": "A_EAC3",
    "alac": "A_ALAC",
    "dts": "A_DTS",
    "flac": "A_FLAC",
    "mlp": "A_MLP",
    "mp1": "A_MPEG/L1",
    "mp2": "A_MPEG/L2",
    "mp3": "A_MPEG/L3",
    "opus": "A_OPUS",
    "truehd": "A_TRUEHD",
    "tta": "A_TTA1",
    "vorbis": "A_VORBIS",
    "wavpack": "A_WAVPACK4",
    "subrip": "S_TEXT/UTF8",
    "ass": "S_TEXT/ASS",
    "dvd_subtitle": "S_VOBSUB",
    "hdmv_pgs_subtitle": "S_HDMV/PGS",
    "dvb_subtitle": "S_DVBSUB",
}
_PCM = {
    "pcm_u8": ("A_PCM/INT/LIT", 8),
    "pcm_f32le": ("A_PCM/FLOAT/IEEE", 32),
    "pcm_f64le": ("A_PCM/FLOAT/IEEE", 64),
    **{f"pcm_s{bits}le": ("A_PCM/INT/LIT", bits) for bits in (16, 24, 32)},
    **{f"pcm_s{bits}be": ("A_PCM/INT/BIG", bits) for bits in (16, 24, 32)},
}
#: Others, as WAVEFORMATEX has them: its number, and the bits per sample.
_WAVE = {"pcm_alaw": (6, 8), "pcm_mulaw": (7, 8)}
_FLAC_HEAD = b"fLaC\x80\0\0\x22"  # before FFmpeg's extradata
NANOSECONDS = 10**9

#: What FFmpeg's encoder of `mov_text` makes its head from.
MOV_TEXT_STYLE = b"""[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
ENCODED = ("mov_text", "webvtt")  # codecs of subtitles whose streams FFmpeg's encoders describe


def add_track(container: Any, track: Track, delay: Fraction) -> Any:
    """Add a stream for the packets of a track to a container.

    Args:
        container: what is being written.
        track: its packets are not looked at.
        delay: seconds by which its first packet is before 0.

    Raises:
        ValueError, av.FFmpegError: the codec is unknown, or the container does not hold it.
    """
    if track.codec in ENCODED:
        stream = container.add_stream(track.codec)
        stream.codec_context.subtitle_header = MOV_TEXT_STYLE
    else:
        with _template(track, delay) as template:
            stream = container.add_stream_from_template(template, opaque=True)
        if track.kind == TrackKind.AUDIO and (layout := track.layout or USUAL_LAYOUTS.get(track.channels)):
            with contextlib.suppress(ValueError):
                stream.codec_context.layout = layout
    stream.time_base = track.time_base
    if track.language:
        stream.metadata["language"] = track.language
    if track.title:
        stream.metadata["title"] = track.title
    stream.disposition = disposition_bits(track.dispositions)
    return stream


@contextlib.contextmanager
def _template(track: Track, delay: Fraction) -> Iterator[Any]:
    """Open a file that has a stream of a track's codec; raises as :func:`add_track`."""
    name, private, bits = _CODECS.get(track.codec, ""), track.codec_data, 0
    if track.codec in _PCM:
        name, bits = _PCM[track.codec]
    elif track.codec in _WAVE:
        number, bits = _WAVE[track.codec]
        align = track.channels * bits // 8
        numbers = (number, track.channels, track.sample_rate, track.sample_rate * align, align, bits, 0)
        name, private = "A_MS/ACM", struct.pack("<HHIIHHH", *numbers)
    elif track.codec == "flac":
        private = _FLAC_HEAD + private
    if not name:
        raise ValueError(f"{track.codec} is written to no file yet")
    head = _element("D7", 1) + _element("73C5", 1) + _element("83", 2 if track.kind == TrackKind.AUDIO else 17)
    head += _element("86", name.encode()) + (_element("63A2", private) if private else b"")
    if track.kind == TrackKind.AUDIO:
        head += _element("56AA", round(delay * NANOSECONDS))
        audio = _element("B5", struct.pack(">d", track.sample_rate)) + _element("9F", track.channels)
        head += _element("E1", audio + (_element("6264", bits) if bits else b""))
    start = _element("1A45DFA3", _element("4282", b"matroska") + _element("4287", 4) + _element("4285", 2))
    body = _element("1549A966", _element("2AD7B1", 10**6)) + _element("1654AE6B", _element("AE", head))
    data = start + _element("18538067", body + _element("1F43B675", _element("E7", 0)))
    with av.open(io.BytesIO(data), format="matroska", options={"analyzeduration": "0"}) as container:
        if container.streams[0].codec_context is None:
            raise ValueError(f"{track.codec} is unknown to this FFmpeg")
        yield container.streams[0]


def _element(number: str, content: bytes | int) -> bytes:
    """Return an element of EBML (RFC 8794), given its number in hexadecimal."""
    data = content.to_bytes(8, "big") if isinstance(content, int) else content
    return bytes.fromhex(number) + (len(data) | 1 << 56).to_bytes(8, "big") + data
