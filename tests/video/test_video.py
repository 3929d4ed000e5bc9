"""Video in and out: exact where it is said to be, times and colours kept."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from conftest import moving_squares

from nvcodec.errors import InputError, UsageError
from nvcodec.files import atomic_file
from nvcodec.video.clip import Clip, steady
from nvcodec.video.image_sequence import natural_key
from nvcodec.video.selection import Selection
from nvcodec.video.sinks import open_sink
from nvcodec.video.source import read_clip
from nvcodec.video.transform import crop_and_scale

TICKS = [(7, 40), (47, 33), (80, 100), (180, 20), (200, 41)]


@pytest.fixture
def pictures() -> np.ndarray:
    return moving_squares(5, 34, 46).permute(0, 2, 3, 1).contiguous().numpy()


def save(path: Path, pictures: np.ndarray, **options: object) -> Path:
    with open_sink(
        str(path),
        width=pictures.shape[2],
        height=pictures.shape[1],
        time_base=Fraction(1, 1000),
        fps=Fraction(25),
        **options,  # type: ignore[arg-type]
    ) as sink:
        for picture, tick in zip(pictures, TICKS, strict=False):
            sink.put(picture, *tick)
    return path


@pytest.mark.parametrize("name", ["frames", "x.mkv"])
def test_exact_outputs(tmp_path: Path, pictures: np.ndarray, name: str) -> None:
    clip = read_clip(save(tmp_path / name, pictures))
    assert (clip.frames.permute(0, 2, 3, 1).numpy() == pictures).all()


def test_raw_output(tmp_path: Path, pictures: np.ndarray) -> None:
    assert save(tmp_path / "x.rgb", pictures).read_bytes() == pictures.tobytes()


@pytest.mark.parametrize(("name", "least"), [("x.mp4", 30), ("x.y4m", 45)])
def test_outputs_that_are_near(tmp_path: Path, pictures: np.ndarray, name: str, least: float) -> None:
    clip = read_clip(save(tmp_path / name, pictures))
    error = (clip.frames.permute(0, 2, 3, 1).double() - torch.from_numpy(pictures).double()).square().mean()
    assert 10 * np.log10(255**2 / float(error)) > least


def test_y4m_to_the_byte(tmp_path: Path) -> None:
    """Two flat frames: BT.601 in limited range, three whole planes each."""
    colours = np.array([[200, 40, 90], [10, 220, 130]], np.uint8)
    pictures = np.broadcast_to(colours[:, None, None], (2, 18, 22, 3))
    data = save(tmp_path / "x.y4m", pictures, sample_aspect=Fraction(16, 9)).read_bytes()
    header, *frames = data.split(b"FRAME\n")
    assert header == b"YUV4MPEG2 W22 H18 F25:1 Ip A16:9 C444 XCOLORRANGE=LIMITED\n"
    assert [len(frame) for frame in frames] == [3 * 18 * 22] * 2
    for frame, (red, green, blue) in zip(frames, colours.astype(float), strict=True):
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        expected = (
            16 + luma * 219 / 255,
            128 + (blue - luma) * 112 / 255 / 0.886,
            128 + (red - luma) * 112 / 255 / 0.701,
        )
        for plane, value in zip(np.frombuffer(frame, np.uint8).reshape(3, -1), expected, strict=True):
            assert len(set(plane)) == 1
            assert plane[0] == pytest.approx(value, abs=0.5)


def test_outputs_are_not_overwritten(tmp_path: Path, pictures: np.ndarray) -> None:
    for name in ("x.mkv", "frames/"):
        save(tmp_path / name, pictures) if not name.endswith("/") else save(tmp_path / "frames", pictures)
        with pytest.raises(UsageError, match="exists; `overwrite=True` replaces it"):
            open_sink(str(tmp_path / name), width=4, height=4, time_base=Fraction(1), fps=Fraction(1))
    (tmp_path / "frames" / "holiday.png").write_bytes(b"mine")
    save(tmp_path / "frames", pictures[:2], overwrite=True)
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == ["00000.png", "00001.png", "holiday.png"]


def test_links_and_pipes_are_kept(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with atomic_file(tmp_path / "link") as path:
        path.write_bytes(b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"x"
    with atomic_file("/dev/null") as path:
        path.write_bytes(b"x")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("name", ["x.mp4", "x.y4m"])
def test_the_sample_aspect_is_kept(tmp_path: Path, pictures: np.ndarray, name: str) -> None:
    assert read_clip(save(tmp_path / name, pictures, sample_aspect=Fraction(16, 9))).sample_aspect == Fraction(16, 9)


def test_mp4_says_how_it_is_coded(tmp_path: Path, pictures: np.ndarray) -> None:
    color = read_clip(save(tmp_path / "x.mp4", pictures)).color
    assert (color.primaries, color.transfer, color.matrix, color.range) == (1, 1, 1, 1)


def test_time_stamps_no_container_can_hold(tmp_path: Path, pictures: np.ndarray) -> None:
    with (
        pytest.raises(UsageError, match="cannot hold these time stamps"),
        open_sink(
            str(tmp_path / "x.mkv"), width=46, height=34, time_base=Fraction(1), fps=Fraction(25), keep_times=True
        ) as sink,
    ):
        sink.put(pictures[0], 2**63, 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x.mkv", "x.rgb", "x.y4m", "frames"])
def test_a_failure_leaves_nothing_behind(tmp_path: Path, pictures: np.ndarray, name: str) -> None:
    with (
        pytest.raises(RuntimeError, match="stop"),
        open_sink(str(tmp_path / name), width=46, height=34, time_base=Fraction(1), fps=Fraction(1)) as sink,
    ):
        sink.put(pictures[0], 0, 1)
        raise RuntimeError("stop")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "error"), [("x.avi", UsageError), ("no/such/folder/x.mkv", InputError)])
def test_impossible_outputs(tmp_path: Path, pictures: np.ndarray, name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        save(tmp_path / name, pictures)


def test_scaling_keeps_the_display_aspect(tmp_path: Path, pictures: np.ndarray) -> None:
    path = save(tmp_path / "x.mkv", pictures)  # 46x34
    assert read_clip(path, Selection(crop=(40, 20), scale=(40, 40))).sample_aspect == 2
    assert read_clip(path, Selection(scale=(23, 17))).sample_aspect == 1


def test_natural_order() -> None:
    names = ["f10.png", "f2.png", "f1.png", "a 3.png", "a 20.png"]
    assert sorted(names, key=natural_key) == ["a 3.png", "a 20.png", "f1.png", "f2.png", "f10.png"]


def test_crop_then_scale() -> None:
    picture = torch.arange(3 * 9 * 12).remainder(256).to(torch.uint8).view(3, 9, 12)
    assert torch.equal(crop_and_scale(picture, (5, 4), None), picture[:, 2:6, 3:8])
    scaled = crop_and_scale(picture, (8, 8), (4, 2))
    expected = torch.nn.functional.interpolate(
        picture[None, :, 0:8, 2:10].float(), (2, 4), mode="bicubic", antialias=True
    )
    assert torch.equal(scaled, expected[0].clamp(0, 255).round().to(torch.uint8))
    with pytest.raises(UsageError, match="does not fit"):
        crop_and_scale(picture, (13, 4), None)


def test_start_and_frames(tmp_path: Path, pictures: np.ndarray) -> None:
    path = save(tmp_path / "x.mkv", pictures)
    clip = read_clip(path, Selection(start=1, frames=2))
    assert (clip.frames.permute(0, 2, 3, 1).numpy() == pictures[1:3]).all()
    assert [duration for _, duration in clip.ticks] == [33, 100]
    with pytest.raises(InputError, match="no frame is left"):
        read_clip(path, Selection(start=5))


def test_folder_of_images(tmp_path: Path, pictures: np.ndarray) -> None:
    save(tmp_path / "frames", pictures, first=98)
    (tmp_path / "frames" / "notes.txt").write_text("not an image")
    clip = read_clip(tmp_path / "frames", fps=Fraction(30000, 1001))
    assert len(clip.frames) == 5
    assert clip.time_base == Fraction(1001, 30000)
    (tmp_path / "frames" / "99.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"cannot read .*99\.png"):
        read_clip(tmp_path / "frames")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no images"):
        read_clip(tmp_path / "empty")


def test_small_sources_are_refused(tmp_path: Path, pictures: np.ndarray) -> None:
    with pytest.raises(InputError, match="at least 16"):
        read_clip(save(tmp_path / "x.mkv", pictures), Selection(scale=(15, 16)))


@pytest.mark.parametrize(("matrix", "full"), [(1, False), (1, True), (5, False), (2, False)])
def test_matrix_and_range_are_honoured(tmp_path: Path, matrix: int, full: bool) -> None:
    """A flat YUV colour in a lossless file must come out as the colour its tags give it."""
    path = tmp_path / "x.mkv"
    luma, blue, red = 120, 90, 160
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv444p"
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = 2 if full else 1
        planes = np.stack([np.full((32, 32), value, np.uint8) for value in (luma, blue, red)])
        frame = av.VideoFrame.from_ndarray(planes, format="yuv444p")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    kr, kb = (0.2126, 0.0722) if matrix == 1 else (0.299, 0.114)
    y = luma if full else (luma - 16) * 255 / 219
    u, v = ((c - 128) * (1 if full else 255 / 224) for c in (blue, red))
    r, b = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    expected = np.array([r, (y - kr * r - kb * b) / (1 - kr - kb), b])
    clip = read_clip(path)
    assert np.abs(clip.frames[0, :, 9, 9].numpy() - expected).max() < 2
    assert clip.color.matrix == matrix
    assert clip.color.range == (2 if full else 1)


def digest(frames: torch.Tensor) -> str:
    return hashlib.md5(frames.numpy()).hexdigest()


ODD = [
    ("rot90_320x568.mov", (3, 320, 568)),
    ("odd_161x121.webm", (30, 161, 121)),
    ("vfr_slow_motion_720p.mp4", (7, 1280, 720)),
    ("one_frame_sar16_9.mp4", (1, 640, 480)),
    ("yuv444_12bit.webm", (10, 160, 90)),
    ("corrupt_one_packet.mp4", (49, 1280, 720)),
]


@pytest.mark.parametrize(("name", "expected"), ODD)
def test_odd_files(clips: Path, name: str, expected: tuple[int, int, int]) -> None:
    clip = read_clip(clips / "odd" / name)
    assert (len(clip.frames), clip.width, clip.height) == expected
    assert all(duration > 0 for _, duration in clip.ticks)


def test_what_odd_files_say(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = clips / "odd"
    assert read_clip(folder / "one_frame_sar16_9.mp4").sample_aspect == Fraction(16, 9)
    assert len({duration for _, duration in read_clip(folder / "vfr_slow_motion_720p.mp4").ticks}) > 1
    assert read_clip(folder / "multi_av_subs_nasa.mp4", Selection(frames=2)).width == 320
    for name, message in (
        ("truncated_moov_first.mp4", "frames decode of the 150 it announces"),
        ("corrupt_one_packet.mp4", "49 frames decode of the 50 it announces"),
    ):
        read_clip(folder / name, Selection(scale=(32, 16)))
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["audio_only.mp4", "corrupt_moov.mp4", "zero_bytes.webm", "nothing.mp4"])
def test_no_video(clips: Path, name: str) -> None:
    with pytest.raises(InputError):
        read_clip(clips / "odd" / name)


def test_a_clip_checks_its_frames() -> None:
    """The mistake is a ValueError, as Python has it, and one of nvcodec's own."""
    for frames, ticks in ((torch.zeros(2, 3, 16, 16), 2), (torch.zeros(2, 3, 16, 16, dtype=torch.uint8), 3)):
        with pytest.raises(UsageError) as caught:
            Clip(frames, *steady(ticks, Fraction(25)))
        assert isinstance(caught.value, ValueError)
