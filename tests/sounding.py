"""Files with sound, subtitles, chapters and tags, made by PyAV; and what is in such a file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from conftest import moving_squares

CODECS = {".mp4": "aac", ".mkv": "flac", ".webm": "libopus", ".mov": "pcm_s16le", ".avi": "libmp3lame"}
VIDEO_CODECS = {".webm": "libvpx"}
RATES = {"libopus": 48000}
TAGS = {"title": "Ein Film", "creation_time": "2026-11-28T10:00:00.000000Z", "artist": "wir", "location": "+1+2/"}
CHAPTERS = [
    {"id": 0, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}},
    {"id": 1, "start": 500, "end": 1500, "time_base": Fraction(1, 1000), "metadata": {"title": "two"}},
]
SUBTITLES = ((0, 400, "Hello"), (600, 700, "<i>W\u00f6rld</i>"))


def tone(codec: str, sample_rate: int, seconds: float, stereo: bool = True) -> list[Any]:
    """Frames of sound as an encoder wants them."""
    encoder: Any = av.CodecContext.create(codec, "w")
    form = encoder.codec.audio_formats[0].name
    samples = (np.sin(np.arange(int(2 * sample_rate * seconds)) / 40) * 12000).astype(np.int16).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
    frame.sample_rate, frame.pts = sample_rate, 0
    sizes = {"aac": 1024, "libmp3lame": 1152, "libopus": 960, "ac3": 1536}
    resampler = av.AudioResampler(form, "stereo", sample_rate, sizes.get(codec, 1024))
    return [*resampler.resample(frame), *resampler.resample(None)]


def write_sounding(
    path: Path,
    codec: str | None = None,
    seconds: float = 1.6,
    subtitles: str | None = None,
    frames: int = 40,
    first_pts: int = 0,
    tags: dict[str, str] = TAGS,
) -> Path:
    """Write a video of 25 frames per second with a track of sound, in German, chapters and tags.

    Args:
        path: .mp4, .mkv, .webm, .mov or .avi.
        codec: FFmpeg's encoder of the sound.
        seconds: how long the sound is.
        subtitles: codec of a track of subtitles; None for none.
        frames: of the video.
        first_pts: frame number at which the video begins.
        tags: what the file says of itself.
    """
    suffix = path.suffix
    codec = codec or CODECS[suffix]
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream(VIDEO_CODECS.get(suffix, "mpeg4"), rate=25)
        video.width, video.height, video.pix_fmt = 48, 32, "yuv420p"
        sound: Any = container.add_stream(codec, rate=RATES.get(codec, 44100))
        sound.layout, sound.metadata["language"], sound.metadata["title"] = "stereo", "ger", "Ton"
        container.metadata.update(tags)
        if suffix != ".avi":
            container.set_chapters(CHAPTERS)  # type: ignore[arg-type]
        text: Any = None
        if subtitles:
            from nvcodec.tracks import Track, TrackKind
            from nvcodec.video.track_templates import add_track

            track = Track(TrackKind.SUBTITLES, subtitles, Fraction(1, 1000), (), language="eng")
            text = add_track(container, track, Fraction(0))
        for number, picture in enumerate(moving_squares(frames, 32, 48).permute(0, 2, 3, 1).numpy()):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = number + first_pts
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for audio in tone(codec, RATES.get(codec, 44100), seconds):
            container.mux(sound.encode(audio))
        container.mux(sound.encode(None))
        for start, duration, words in SUBTITLES if subtitles else ():
            data = words.encode()
            packet: Any = av.Packet(len(data).to_bytes(2, "big") + data if subtitles == "mov_text" else data)
            packet.stream, packet.time_base, packet.is_keyframe = text, Fraction(1, 1000), True
            packet.pts = packet.dts = start
            packet.duration = duration
            container.mux(packet)
    return path


def packets_of(path: Path | str, kind: str = "audio") -> list[tuple[float, bytes]]:
    """Time in seconds and bytes of each packet of the first track of a kind."""
    with av.open(str(path)) as container:
        streams: Any = [stream for stream in container.streams if stream.type == kind]
        if not streams:
            return []
        packets = [packet for packet in container.demux(streams[0]) if packet.size]
        return [(float(packet.pts * packet.time_base), bytes(packet)) for packet in packets]


def sound_of(path: Path | str) -> np.ndarray:
    """All decoded samples."""
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)])
