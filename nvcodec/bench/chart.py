"""Line charts as SVG, drawn by matplotlib; the same data give the same bytes."""

from __future__ import annotations

import dataclasses
import io
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

SIZE_INCHES = (6.4, 4.0)
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve of a chart.

    Attributes:
        name: its label in the legend.
        points: (x, y), sorted by x.
        marks: whether to draw a dot at each point.
    """

    name: str
    points: Sequence[tuple[float, float]]
    marks: bool = False


def chart(title: str, x_label: str, y_label: str, lines: Sequence[Line], logarithmic: bool = False) -> str:
    """Draw a chart with a legend.

    Args:
        title: above the chart.
        x_label: below the x axis.
        y_label: beside the y axis.
        lines: at least one curve.
        logarithmic: whether the x axis is.

    Returns:
        An SVG element, which is a file by itself and may stand in an HTML page.
    """
    style: dict[Any, Any] = {
        "svg.hashsalt": "nvcodec",  # otherwise element names are random
        "svg.fonttype": "none",  # labels stay text
        "text.parse_math": False,  # a file name may contain $
        "font.size": 9,
    }
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the viewer has its own fonts
        figure = Figure(SIZE_INCHES, layout="constrained")
        axes = figure.add_subplot(title=title, xlabel=x_label, ylabel=y_label)
        for line in lines:
            axes.plot(*zip(*line.points, strict=True), label=line.name, marker="o" if line.marks else "", markersize=4)
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(color="#dddddd")
        axes.legend()
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata=NO_METADATA)
    document = file.getvalue()
    return document[document.index("<svg") :]
