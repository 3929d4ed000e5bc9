"""What is left out of a source is said, once, and nothing is said where nothing is."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from sounding import write_sounding

from nvcodec.errors import InputError
from nvcodec.notes import note, note_left_out, silenced
from nvcodec.video.source import read_clip


def movie(
    path: Path, tracks: list[tuple[int, int]], codec: str = "ffv1", pixels: str = "yuv420p", alpha: int = 255
) -> Path:
    """Write a flat grey picture of each track's size, with a disposition."""
    with av.open(str(path), "w") as container:
        streams = []
        for width, disposition in tracks:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = width, 32, pixels
            stream.disposition = Disposition(disposition)
            streams.append(stream)
        for stream in streams:
            picture = np.full((32, stream.width, 4), alpha, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format=pixels)
            frame.pts, frame.time_base = 0, Fraction(1, 25)
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


COVER = int(Disposition.attached_pic)
CASES = [
    ([(40, 0)], []),
    ([(40, 0), (48, 0)], ["1 other video track is left out"]),
    ([(40, 0), (48, 0), (56, 0)], ["2 other video tracks are left out"]),
    ([(40, 0), (48, COVER)], ["1 attached picture is left out"]),
    ([(48, COVER), (40, 0)], ["1 attached picture is left out"]),
]


@pytest.mark.parametrize(("tracks", "expected"), CASES)
def test_other_tracks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tracks: list[tuple[int, int]], expected: list[str]
) -> None:
    path = movie(tmp_path / "x.mp4", tracks, "png", "rgb24")
    assert read_clip(path).width == 40
    assert capsys.readouterr().err.splitlines() == [f"note: {path}: {text}" for text in expected]


def test_a_cover_alone_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no video but a picture"):
        read_clip(movie(tmp_path / "x.mp4", [(40, COVER)], "png", "rgb24"))


@pytest.mark.parametrize(("codec", "pixels"), [("png", "rgba"), ("ffv1", "yuva420p"), ("qtrle", "argb")])
@pytest.mark.parametrize("alpha", [255, 77])
def test_transparency(tmp_path: Path, capsys: pytest.CaptureFixture[str], codec: str, pixels: str, alpha: int) -> None:
    """An alpha channel that is opaque throughout needs no line."""
    path = movie(tmp_path / ("x.mkv" if codec == "ffv1" else "x.mov"), [(40, 0)], codec, pixels, alpha)
    read_clip(path)
    expected = [] if alpha == 255 else [f"note: {path}: transparency is left out"]
    assert capsys.readouterr().err.splitlines() == expected


def test_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with av.open(str(tmp_path / "a.png"), "w", format="image2") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 24, 16, "rgba"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 24, 4), np.uint8), format="rgba")))
        container.mux(stream.encode(None))
    for source in (tmp_path, tmp_path / "a.png", tmp_path / "*.png"):
        read_clip(source)
        assert capsys.readouterr().err == f"note: {source}: transparency is left out\n"


def test_notes_are_silenced_for_a_block(capsys: pytest.CaptureFixture[str]) -> None:
    with silenced():
        note("a.mkv", "one")
    note_left_out("b.mkv", [])
    note_left_out("c.mkv", ["two", "three"])
    assert capsys.readouterr().err == "note: c.mkv: left out: two, three\n"


def test_sound_of_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "note: -: sound and subtitles are left out: standard input can be read only once\n"
    sounding = write_sounding(tmp_path / "film.mkv", "flac", seconds=0.2, frames=3)
    for path, expected in ((sounding, said), (movie(tmp_path / "silent.mkv", [(48, 0)]), "")):
        with path.open("rb") as opened:
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(opened))
            assert len(read_clip("-").frames)
        assert capsys.readouterr().err == expected
