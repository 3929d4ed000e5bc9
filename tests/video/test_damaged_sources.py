"""What comes out of files that are cut or damaged, and what is said of it; gaps among pictures."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from nvcodec.errors import InputError
from nvcodec.video.file_losses import ends_within_packet
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip
from nvcodec.video.video_file import VideoFile

FRAMES = 40
FORMATS = [
    ("x.flv", "libx264", {}),
    ("x.mp4", "libx264", {"movflags": "faststart"}),
    ("x.mkv", "libx264", {}),
    ("x.avi", "libx264", {}),
    ("y.avi", "mpeg4", {}),
    ("y.mp4", "mpeg4", {"movflags": "faststart"}),
]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, dict[str, str]], Path]:
    folder = tmp_path_factory.mktemp("whole")

    def make(name: str, codec: str, options: dict[str, str]) -> Path:
        path = folder / name
        if path.exists():
            return path
        generator = np.random.default_rng(5)
        with av.open(str(path), "w", options=options) as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for number in range(FRAMES):
                planes = np.kron(generator.integers(0, 255, (9, 8)), np.ones((8, 8))).astype(np.uint8)
                frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.mark.parametrize(("name", "codec", "options"), FORMATS, ids=[f"{name}-{codec}" for name, codec, _ in FORMATS])
def test_a_cut_file_gives_all_complete_packets(
    video: Callable[[str, str, dict[str, str]], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    codec: str,
    options: dict[str, str],
) -> None:
    """With B frames and their delay, too: none is left in the decoder."""
    whole = video(name, codec, options)
    assert len(read_clip(whole).frames) == FRAMES
    assert capsys.readouterr().err == ""
    data = whole.read_bytes()
    with av.open(str(whole)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    assert packets == sorted(packets)
    for complete in (FRAMES // 2, FRAMES * 7 // 10):
        # In the middle of a packet: its position is that of a header of the container in some formats, not of its data.
        position, size = packets[complete]
        (tmp_path / name).write_bytes(data[: position + size // 2])
        decoded = len(read_clip(tmp_path / name).frames)
        # MPEG-4, and H.264 in .avi, can be decoded up to the cut, which makes a picture of a packet's first part.
        assert decoded - complete in ((0, 1) if name in ("x.avi", "y.avi", "y.mp4") else (0,))
        message = capsys.readouterr().err
        assert message.startswith(f"nvcodec: {tmp_path / name}: {decoded} frames decode")
        assert message.count("\n") == 1
        announced = " s of the 1." if name.endswith(("flv", "mkv")) else f" of the {FRAMES} it announces"
        assert announced in message
    # A part that is whole is no reason to speak.
    read_clip(tmp_path / name, Selection(frames=5))
    assert capsys.readouterr().err == ""


def cut(whole: Path, path: Path, part: float = 0.5) -> int:
    """Write a file as far as this part of its largest packet in the second half; returns how many packets are whole."""
    with av.open(str(whole)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    size, number = max((size, number) for number, (_, size) in enumerate(packets) if number >= FRAMES // 2)
    path.write_bytes(whole.read_bytes()[: packets[number][0] + round(part * size)])
    return number


@pytest.mark.parametrize(
    ("name", "codec", "lost"),
    [
        ("x.h264", "libx264", ", a part of 1 of them is missing"),
        ("x.m2v", "mpeg2video", ", a part of 1 of them is missing"),
        ("x.ts", "libx264", ", it ends within a packet"),
        ("z.ts", "libx265", ", it ends within a packet"),  # of H.265, the decoder does not tell
    ],
)
def test_a_cut_stream_that_announces_nothing(
    video: Callable[[str, str, dict[str, str]], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    codec: str,
    lost: str,
) -> None:
    """Its last frame is there as far as it decodes."""
    assert len(read_clip(video(name, codec, {})).frames) == FRAMES
    assert capsys.readouterr().err == ""
    path = tmp_path / name
    complete = cut(video(name, codec, {}), path)
    # A transport stream holds complete packets of 188 bytes.
    assert name[-3:] != ".ts" or path.stat().st_size % 188
    decoded = len(read_clip(path).frames)
    assert decoded - complete in (0, 1)
    message = capsys.readouterr().err
    # Of the last frame in x.ts, there may be a part or nothing.
    assert message.startswith(f"nvcodec: {path}: {decoded} frames decode{lost}")
    assert message.count("\n") == 1
    read_clip(path, Selection(frames=5))
    assert capsys.readouterr().err == ""


def test_packets_of_transport_streams(tmp_path: Path) -> None:
    path = tmp_path / "x.ts"
    for length, before in ((188, 0), (192, 4), (204, 0)):
        packet = bytes(before) + b"\x47" + bytes(length - before - 1)
        for data, expected in ((6 * packet, False), (6 * packet + packet[:100], True), (packet, False)):
            path.write_bytes(data)
            assert ends_within_packet(str(path)) is expected
    path.write_bytes(bytes(1000))
    assert not ends_within_packet(str(path))
    assert not ends_within_packet("-")


def test_frames_before_the_part_are_not_missed(
    video: Callable[[str, str, dict[str, str]], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is said of frames of which a part is missing, but which nobody wants."""
    data = bytearray(video("x.h264", "libx264", {"qp": "10"}).read_bytes())
    with av.open(str(video("x.h264", "libx264", {"qp": "10"}))) as container:
        position, size = next((packet.pos, packet.size) for packet in container.demux(video=0) if packet.size)
    del data[position + size * 3 // 4 : position + size]
    (tmp_path / "x.h264").write_bytes(data)
    read_clip(tmp_path / "x.h264")
    assert "a part of 1 of them is missing" in capsys.readouterr().err
    read_clip(tmp_path / "x.h264", Selection(start=1))
    assert capsys.readouterr().err == ""


def test_damaged_packets(
    video: Callable[[str, str, dict[str, str]], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A frame whose data are no H.264 is missing, whatever comes after it is not; it is counted in the message."""
    whole = video("x.mp4", "libx264", {"movflags": "faststart"})
    data = bytearray(whole.read_bytes())
    with av.open(str(whole)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for position, size in packets[-6:-4]:
        data[position : position + size] = b"\xff" * size
    (tmp_path / "x.mp4").write_bytes(data)
    assert len(read_clip(tmp_path / "x.mp4").frames) == FRAMES - 2
    assert f"{FRAMES - 2} frames decode of the {FRAMES} it announces" in capsys.readouterr().err


def test_one_thread_decodes(video: Callable[[str, str, dict[str, str]], Path]) -> None:
    """The number of frames of a damaged file would depend on the number of threads."""
    assert VideoFile(video("y.avi", "mpeg4", {})).stream.codec_context.thread_count == 1


def test_an_edit_list_is_no_damage(
    video: Callable[[str, str, dict[str, str]], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list hides the first ten frames of 40, which have to be decoded all the same."""
    data = bytearray(video("y.mp4", "mpeg4", {"movflags": "faststart"}).read_bytes())
    at = data.index(b"elst") + 4
    version, count, duration, start = struct.unpack(">IIIi", data[at : at + 16])
    assert (version, count, start) == (0, 1, 0)
    with av.open(str(video("y.mp4", "mpeg4", {}))) as container:
        ticks = int(10 / 25 / container.streams.video[0].time_base)
    data[at + 8 : at + 16] = struct.pack(">Ii", duration * 3 // 4, ticks)
    (tmp_path / "x.mp4").write_bytes(data)
    assert VideoFile(tmp_path / "x.mp4").counted == 30
    assert len(read_clip(tmp_path / "x.mp4").frames) == 30
    assert capsys.readouterr().err == ""


def test_an_unknown_codec(video: Callable[[str, str, dict[str, str]], Path], tmp_path: Path) -> None:
    data = video("x.mp4", "libx264", {"movflags": "faststart"}).read_bytes()
    (tmp_path / "x.mp4").write_bytes(data.replace(b"avc1", b"zzzz"))
    with pytest.raises(InputError, match="coded in a way that FFmpeg does not know"):
        read_clip(tmp_path / "x.mp4")


# ---- pictures --------------------------------------------------------------------------------------------------------


def pictures(folder: Path, *names: str) -> Path:
    for name in names:
        with av.open(str(folder / name), "w", format="image2") as container:
            stream = container.add_stream("png", rate=25)
            stream.width, stream.height, stream.pix_fmt = 24, 16, "rgb24"
            frame = av.VideoFrame.from_ndarray(np.zeros((16, 24, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return folder


def test_gaps_and_dangling_links(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path, *(f"f{number:03d}.png" for number in (1, 2, 4, 7, 8)))
    (tmp_path / "f009.png").symlink_to(tmp_path / "nothing.png")
    for source in (tmp_path, tmp_path / "f*.png", tmp_path / "f%03d.png"):
        assert len(read_clip(source).frames) == 5
        assert capsys.readouterr().err.splitlines() == [
            f"note: {source}: f009.png is left out: it is a link to nothing",
            f"note: {source}: pictures are missing between f002.png and f004.png, f004.png and f007.png",
        ]


def test_what_is_no_gap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every tenth picture, and two series beside each other."""
    read_clip(pictures(tmp_path, *(f"f{number}.png" for number in (10, 20, 30)), "g5.png", "title.png"))
    assert capsys.readouterr().err == ""


def test_hidden_files_are_skipped(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png")
    (tmp_path / "._a.png").write_bytes(b"a resource fork of macOS")
    (tmp_path / ".hidden.png").write_bytes(b"")
    for source in (tmp_path, tmp_path / "*.png"):
        assert len(read_clip(source).frames) == 2
    with pytest.raises(InputError, match="matches no images"):
        read_clip(tmp_path / "c*.png")
    with pytest.raises(InputError, match="is not a folder"):
        read_clip(tmp_path / "nowhere" / "f%d.png")
