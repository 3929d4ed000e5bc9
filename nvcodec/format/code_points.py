"""Names of ITU-T H.273's code points for colour primaries, transfer characteristics and matrices."""

from __future__ import annotations

PRIMARIES = {
    1: "BT.709",
    4: "BT.470 M",
    5: "BT.601, 625 lines",
    6: "BT.601, 525 lines",
    7: "SMPTE 240M",
    8: "film",
    9: "BT.2020",
    10: "XYZ",
    11: "DCI-P3",
    12: "Display P3",
}
TRANSFERS = {
    1: "BT.709",
    4: "gamma 2.2",
    5: "gamma 2.8",
    6: "BT.601",
    7: "SMPTE 240M",
    8: "linear",
    11: "xvYCC",
    13: "sRGB",
    14: "BT.2020, 10 bits",
    15: "BT.2020, 12 bits",
    16: "PQ",
    17: "DCI",
    18: "HLG",
}
MATRICES = {
    0: "RGB",
    1: "BT.709",
    4: "FCC",
    5: "BT.601",
    6: "BT.601",
    7: "SMPTE 240M",
    8: "YCgCo",
    9: "BT.2020",
    10: "BT.2020, constant luminance",
}
UNSPECIFIED = 2


def name_of(names: dict[int, str], code: int) -> str:
    """Return the name of a code point, or its number where this table does not have it."""
    return "unspecified" if code == UNSPECIFIED else names.get(code, str(code))
