"""A player for user shaders without a GPU: the statements that nvcodec writes, as NumPy arrays of float32."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

Planes = Sequence[np.ndarray]


class Player(NamedTuple):
    """How a player hands over samples of 10 bits.

    Attributes:
        peak: the sample that it makes 1.
        multiplier: by which it multiplies what its texture of 16 bits holds.
    """

    peak: float
    multiplier: float


MPV, MPV_P010 = Player(1020, 65535 / 1020), Player(1020, 65535 / 1020 / 64)
LIBPLACEBO, LIBPLACEBO_P010 = Player(65535 / 64, 64), Player(65535 / 64, 1)
LIBPLACEBO_FULL, LIBPLACEBO_FULL_P010 = Player(1023, 65535 / 1023), Player(1023, 65535 / 1023 / 64)
EIGHT_BITS = Player(255, 1)


class Vector(np.ndarray):
    """A vector for each pixel, [components, height, width], or a scalar for each, [height, width]."""

    @property
    def x(self) -> Any:
        return self[0]

    @property
    def y(self) -> Any:
        return self[1]

    @property
    def xy(self) -> Any:
        return self[:2]

    @property
    def xyz(self) -> Any:
        return self[:3]


def vector(size: int) -> Callable[..., Any]:
    """GLSL's vec2 or vec4."""

    def make(*values: Any) -> Any:
        parts = [np.asarray(value, np.float32) for value in values]
        parts = [part if part.ndim == 3 else part.reshape(1, *(part.shape or (1, 1))) for part in parts]
        pixels = np.broadcast_shapes(*(part.shape[1:] for part in parts))
        whole = np.concatenate([np.broadcast_to(part, (len(part), *pixels)) for part in parts])
        assert len(whole) in (1, size)
        return np.broadcast_to(whole, (size, *whole.shape[1:])).view(Vector)

    return make


class Matrix:
    """GLSL's mat4: columns one after the other."""

    def __init__(self, *values: float) -> None:
        self.columns = np.array(values, np.float32).reshape(4, 4)

    def __mul__(self, other: np.ndarray) -> Any:
        total = sum(self.columns[i][:, None, None] * other[i] for i in range(4))
        return np.asarray(total).view(Vector)


FUNCTIONS: dict[str, Any] = {
    "vec2": vector(2),
    "vec4": vector(4),
    "mat4": Matrix,
    "floor": np.floor,
    "exp2": np.exp2,
    "log2": np.log2,
    "clamp": lambda x, low, high: np.minimum(np.maximum(x, low), high),
    "step": lambda edge, x: (np.asarray(x) >= edge).astype(np.float32).view(Vector),
}


def texture(values: np.ndarray, loss: float) -> tuple[Callable[[Any], Any], Any]:
    """What samples a texture [components, height, width], a little of it lost, and the size of a pixel in it."""
    height, width = values.shape[1:]

    def sample(position: np.ndarray) -> Any:
        column = np.clip(np.floor(position[0] * width).astype(int), 0, width - 1)
        row = np.clip(np.floor(position[1] * height).astype(int), 0, height - 1)
        return (values[:, row, column].astype(np.float32) * np.float32(1 - loss)).view(Vector)

    return sample, FUNCTIONS["vec2"](1 / width, 1 / height)


def applies(condition: str, width: int, height: int) -> bool:
    """Whether a condition in reverse Polish notation holds for a picture of this size."""
    stack: list[float] = []
    for word in condition.split():
        if word in "=*":
            b, a = stack.pop(), stack.pop()
            stack.append(a == b if word == "=" else a * b)
        else:
            stack.append({"HOOKED.w": width, "HOOKED.h": height}.get(word) or float(word))
    return bool(stack.pop())


def play(
    text: str, planes: Planes, player: Player, kind: type = np.float16, loss: float = 1e-6, peak: int = 255
) -> np.ndarray | None:
    """Run a shader on the planes of a picture.

    Args:
        text: the shader.
        planes: luma, and Cb and Cr where there is chroma.
        player: how it hands over samples.
        kind: of the values in textures.
        loss: share of a texture's values that sampling them takes away.

    Returns:
        uint8 [3, height, width]; None if the shader does not apply.
    """
    height, width = planes[0].shape
    textures = {"HOOKED": np.zeros((4, height, width)), "LUMA": planes[0][None] / np.float32(player.peak)}
    if len(planes) > 1:
        textures["CHROMA"] = np.stack(planes[1:]) / np.float32(player.peak)
    shown = None
    for part in re.split(r"(?=^//!DESC)", text, flags=re.M)[1:]:
        told: dict[str, list[str]] = {}
        for name, value in re.findall(r"^//!(\w+) (.*)$", part, re.M):
            told.setdefault(name, []).append(value)
        assert told["HOOK"] == ["MAIN"]
        if not applies(told["WHEN"][0], width, height):
            continue
        columns, rows = (int(told.get(name, [size])[0]) for name, size in (("WIDTH", width), ("HEIGHT", height)))
        names: dict[str, Any] = dict(FUNCTIONS, LUMA_mul=player.multiplier)
        for bound in told["BIND"]:
            names[f"{bound}_tex"], names[f"{bound}_pt"] = texture(textures[bound], loss)
        y, x = np.mgrid[:rows, :columns].astype(np.float32)
        names["HOOKED_pos"] = np.stack([(x + 0.5) / columns, (y + 0.5) / rows]).view(Vector)
        body = re.search(r"^vec4 hook\(\) \{\n(.*?)^\}$", part, re.M | re.S)
        assert body
        for statement in body[1].splitlines():
            target, value = re.fullmatch(r"    (?:\w+ (\w+) =|return) (.*);", statement).groups()  # type: ignore[union-attr]
            names[target or "result"] = eval(value, {"__builtins__": {}}, names)  # our own statements
        result = np.broadcast_to(names["result"], (4, rows, columns))
        if "SAVE" in told:
            assert np.abs(result).max() <= 1
            textures[told["SAVE"][0]] = result.astype(kind)
        else:
            shown = result.astype(kind)
    if shown is None:
        return None
    assert (shown[3] == 1).all()
    return np.round(shown[:3].astype(np.float32) * peak).astype(np.uint8 if peak == 255 else np.uint16)
