"""Pictures of predicted beside true motion: a filmstrip and an animation.

Pure functions of poses in metres whose origin is the hip. Axes: H frames of history, F of future,
J joints. Everything is laid out in inches on one canvas, so that all bodies have one scale.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

from bench.contracts import BadInput, printable
from bench.data.clips import Array, Skeleton
from bench.files import write_whole
from bench.horizons import PROTOCOLS, horizons

Floats = NDArray[np.float64]

# Blue and orange of Okabe and Ito: told apart by the colour-blind, and in a black and white print.
_COLOURS = {"left": "#e69f00", "right": "#0072b2", "middle": "#303030"}
_GREYS = {"left": "#a8a8a8", "right": "#5a5a5a", "middle": "#303030"}
_BENEATH = {"left": "#cfcfcf", "right": "#bdbdbd", "middle": "#c6c6c6"}
_INK, _FAINT = "#202020", "#707070"

# The view: from the person's right front, so that motion goes the way of reading, and from above.
_TURN, _RISE = np.radians(-48.0), np.radians(8.0)

# Widths of a paper's column and page, the widest panel, and the margin around bodies, in inches.
_COLUMN, _PAGE, _PANEL, _MARGIN = 3.35, 7.0, 0.72, 0.04
_LEFT, _GAP, _HEAD, _FOOT, _LINE = 0.14, 0.08, 0.2, 0.34, 0.16

# How much of the truth's height or width a prediction may reach beyond it before it is cut off.
_BEYOND = 0.15

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 6.5,
    "text.color": _INK,
    # Letters of the font itself, not drawings of them.
    "pdf.fonttype": 42,
    # A name with dollar signs is a name, not a formula.
    "text.parse_math": False,
    "svg.hashsalt": "bench",
}
# In the animation: the height of a body and of the names above, in inches.
_DPI, _GIF_DPI, _GIF_HEIGHT, _NAMES = 300, 110, 2.4, 0.42

# What the animation shows of the history, and how long it rests at the end, in seconds.
_BEFORE, _REST = 1.0, 1.0

_ERROR = PROTOCOLS["h36m-horizon"]


@dataclass(frozen=True, eq=False)
class Excerpt:
    """What was seen and what came.

    title: one line that says where it is from; history: (H, J, 3), future: (F, J, 3) metres.
    """

    title: str
    skeleton: Skeleton
    fps: float
    history: Array
    future: Array


@dataclass(frozen=True, eq=False)
class Forecast:
    """What a method says will come.

    poses: (F, J, 3) metres, F no more than the excerpt has; horizons: (J, 3) by number of frames,
    what it says of that frame when it is asked for no more (a method may have a model for each).
    """

    label: str
    poses: Array
    horizons: Mapping[int, Array]


def filmstrip(excerpt: Excerpt, forecasts: Sequence[Forecast]) -> Figure:
    """The truth in a row, and a row for each method: its pose over the true one at each horizon.

    Beneath a pose stands the mean joint error of that frame in mm, as the protocol h36m-horizon
    has it. A figure of up to four horizons is as wide as a column of a paper, others as a page.
    """
    reach = horizons(excerpt.fps, len(excerpt.future))
    shown = {int(name.partition("@")[2]): frames for name, frames in reach.items()}
    past = [frames for frames in (round(0.16 * excerpt.fps), 0) if frames < len(excerpt.history)]
    count = len(past) + len(shown)
    wide = _COLUMN if len(shown) <= 4 else _PAGE
    panel = min(_PANEL, (wide - _LEFT - _GAP) / count)
    truth = [excerpt.history[-1 - frames] for frames in past]
    truth += [excerpt.future[frames - 1] for frames in shown.values()]
    drawn = [pose for each in forecasts for pose in each.horizons.values()]
    stage = _Stage.around(excerpt, truth, drawn, width=panel)
    block = stage.height + _LINE
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(
            _LEFT + count * panel + _GAP, _HEAD + (1 + len(forecasts)) * block + _FOOT
        )
        top = axes.get_ylim()[1]
        middle = [
            _LEFT + (column + 0.5) * panel + (_GAP if column >= len(past) else 0)
            for column in range(count)
        ]
        times = [-frames / excerpt.fps * 1000 for frames in past] + [*shown]
        y = top - _HEAD - stage.height / 2
        _write(axes, _LEFT / 2, y, "truth", rotation=90)
        for column, (x, time, pose) in enumerate(zip(middle, times, truth, strict=True)):
            _write(axes, x, top - _HEAD / 2, _milliseconds(time), gid="time")
            stage.draw(axes, pose, (x, y), _GREYS, 1.1, f"truth 0 {column}")
        for row, forecast in enumerate(forecasts, start=1):
            y -= block
            _label(axes, forecast.label, _LEFT / 2, y, len(past) * panel, ha="left")
            for column, frames in enumerate(shown.values(), start=len(past)):
                at = (middle[column], y)
                stage.draw(axes, truth[column], at, _BENEATH, 1.8, f"truth {row} {column}")
                pose, text = forecast.horizons.get(frames), "-"
                if pose is not None:
                    stage.draw(axes, pose, at, _COLOURS, 1.0, f"prediction {row} {column}")
                    text = f"{frame_error(pose, truth[column], excerpt.skeleton):.1f}"
                _write(axes, at[0], y - stage.height / 2 - 0.04, text, gid="error")
        line = _LEFT + len(past) * panel + _GAP / 2
        axes.plot([line, line], [_FOOT, top], color=_FAINT, lw=0.5, ls=(0, (2, 2)))
        _legend(axes, excerpt.title)
    return figure


def animation(excerpt: Excerpt, forecasts: Sequence[Forecast]) -> list[Image.Image]:
    """Frame by frame: the history in grey, then each method's prediction over the truth.

    Methods stand side by side. At most a second of history is shown; where a method ends before
    the others, the truth goes on alone.
    """
    before = excerpt.history[-round(_BEFORE * excerpt.fps) :]
    truth = np.concatenate([before, excerpt.future])
    drawn = [pose for each in forecasts for pose in each.poses]
    stage = _Stage.around(excerpt, truth, drawn, height=_GIF_HEIGHT)
    panel = max(stage.width, 1.3, _COLUMN / max(1, len(forecasts)))
    with mpl.rc_context({**_STYLE, "font.size": 8}):
        figure, axes = _canvas(len(forecasts) * panel, _GIF_HEIGHT + _NAMES + 0.3 + _FOOT)
        canvas: Any = FigureCanvasAgg(figure)
        figure.set_dpi(_GIF_DPI)
        top = axes.get_ylim()[1]
        middle = [(column + 0.5) * panel for column in range(len(forecasts))]
        for x, forecast in zip(middle, forecasts, strict=True):
            _label(axes, forecast.label, x, top - _NAMES / 2, panel)
        _legend(axes, excerpt.title)
        clock = _write(axes, axes.get_xlim()[1] / 2, _FOOT + 0.06, "")
        images = []
        for number, pose in enumerate(truth):
            ahead = number - len(before) + 1
            when = _milliseconds(ahead / excerpt.fps * 1000)
            clock.set_text(f"{'prediction' if ahead > 0 else 'history'}, {when}")
            fresh: list[Any] = []
            for x, forecast in zip(middle, forecasts, strict=True):
                at = (x, top - _NAMES - _GIF_HEIGHT / 2)
                colours, width = (_BENEATH, 4.0) if ahead > 0 else (_GREYS, 2.2)
                fresh.append(stage.draw(axes, pose, at, colours, width, "truth"))
                text = "-" if ahead > 0 else ""
                if 0 < ahead <= len(forecast.poses):
                    expected = forecast.poses[ahead - 1]
                    fresh.append(stage.draw(axes, expected, at, _COLOURS, 2.2, "prediction"))
                    text = f"{frame_error(expected, pose, excerpt.skeleton):.0f} mm"
                fresh.append(_write(axes, x, at[1] - _GIF_HEIGHT / 2 - 0.06, text))
            canvas.draw()
            images.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
            for artist in fresh:
                artist.remove()
    return images


def write(
    excerpt: Excerpt, forecasts: Sequence[Forecast], folder: Path, name: str
) -> tuple[Path, ...]:
    """Write NAME.pdf, .svg, .png (the filmstrip) and .gif into a folder; return their paths.

    The same picture gives the same bytes. BadInput when the folder cannot be written.
    """
    figure = filmstrip(excerpt, forecasts)
    # Without the day, which would make every file another one.
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    drawn = {kind: BytesIO() for kind in (*undated, "gif")}
    first, *rest = _paletted(animation(excerpt, forecasts))
    step = round(1000 / excerpt.fps)
    with mpl.rc_context(_STYLE):
        for kind, said in undated.items():
            figure.savefig(drawn[kind], format=kind, dpi=_DPI, metadata=said)
    first.save(
        drawn["gif"],
        format="gif",
        save_all=True,
        append_images=rest,
        duration=[step] * len(rest) + [round(_REST * 1000)],
        loop=0,
    )
    paths = {folder / f"{name}.{kind}": file.getvalue() for kind, file in drawn.items()}
    for path, content in paths.items():
        write_whole(path, content, what="the picture", hint="choose another folder with --out")
    return tuple(paths)


def frame_error(pose: Array, truth: Array, skeleton: Skeleton) -> float:
    """The mean joint error in mm of one pose (J, 3), as the protocol h36m-horizon has it."""
    return float(_ERROR.errors(pose[None, None], truth[None, None], skeleton)[0])


def camera(poses: Floats | Array, skeleton: Skeleton) -> Floats:
    """The three-quarter view of an upright person: rows to the right, up and to the viewer (3, 3).

    poses: (..., J, 3) by whose mean the person stands and faces. Up is the coordinate axis that
    is nearest to the way from the ankles to the trunk: skeletons differ in which one that is.
    """
    mean = np.asarray(poses, np.float64).reshape(-1, *poses.shape[-2:]).mean(0)
    side = np.array(sides(skeleton))
    ankles = [i for i, joint in enumerate(skeleton.joints) if "ankle" in joint]
    tall = mean[side == "middle"].mean(0) - mean[ankles].mean(0)
    up = np.eye(3)[np.abs(tall).argmax()] * np.sign(tall[np.abs(tall).argmax()])
    left = mean[side == "left"].mean(0) - mean[side == "right"].mean(0)
    left -= up * (left @ up)
    left /= np.linalg.norm(left)
    front = np.cross(left, up)
    level = np.cos(_TURN) * front + np.sin(_TURN) * left
    toward = np.cos(_RISE) * level + np.sin(_RISE) * up
    right = np.cross(up, level)
    return np.stack([right, np.cross(toward, right), toward])


def sides(skeleton: Skeleton) -> list[str]:
    """left, right or middle for each joint: `lknee` is left where there is an `rknee`."""
    names = set(skeleton.joints)
    pairs = {"l": ("r", "left"), "r": ("l", "right")}
    found = []
    for joint in skeleton.joints:
        other, side = pairs.get(joint[0], ("", ""))
        found.append(side if other and other + joint[1:] in names else "middle")
    return found


@dataclass(frozen=True, eq=False)
class _Stage:
    """Where bodies are seen from, and the box that each of them has.

    low, high: (2,) metres in the picture's plane; scale: inches per metre.
    """

    skeleton: Skeleton
    view: Floats
    low: Floats
    high: Floats
    scale: float

    @classmethod
    def around(
        cls,
        excerpt: Excerpt,
        truth: Sequence[Array] | Array,
        predictions: Sequence[Array],
        *,
        width: float | None = None,
        height: float | None = None,
    ) -> _Stage:
        """A stage so wide or so high, in inches, that the truth fits and predictions nearly do."""
        skeleton = excerpt.skeleton
        if not skeleton.parents:
            raise BadInput(f"the skeleton {skeleton.name} has no bones that could be drawn")
        view = camera(excerpt.history, skeleton)
        seen = np.asarray(truth, np.float64) @ view[:2].T
        low, high = (np.minimum(seen.min((0, 1)), 0), np.maximum(seen.max((0, 1)), 0))
        beyond = _BEYOND * (high - low)
        said = np.asarray([p for p in predictions if np.isfinite(p).all()], np.float64)
        if len(said):
            said = said @ view[:2].T
            low, high = (
                np.maximum(np.minimum(low, said.min((0, 1))), low - beyond),
                np.minimum(np.maximum(high, said.max((0, 1))), high + beyond),
            )
        free = (width or height or 0.0) - 2 * _MARGIN
        scale = free / float((high - low)[0 if width else 1])
        return cls(skeleton, view, low, high, scale)

    @property
    def width(self) -> float:
        """Of a body's box, in inches."""
        return float((self.high - self.low)[0]) * self.scale + 2 * _MARGIN

    @property
    def height(self) -> float:
        """Of a body's box, in inches."""
        return float((self.high - self.low)[1]) * self.scale + 2 * _MARGIN

    def draw(
        self,
        axes: Axes,
        pose: Array,
        middle: tuple[float, float],
        colours: Mapping[str, str],
        width: float,
        gid: str,
    ) -> LineCollection:
        """Draw a pose (J, 3) in the box around `middle`, its nearer bones over the others."""
        ends = np.concatenate([np.asarray(pose, np.float64), np.zeros((1, 3))]) @ self.view.T
        # Parent -1 is the origin, which was put last.
        bones = ends[np.stack([self.skeleton.parents, np.arange(len(pose))], axis=1)]
        order = np.argsort(bones[..., 2].mean(1), kind="stable")
        flat = (bones[order, :, :2] - (self.low + self.high) / 2) * self.scale + middle
        side = sides(self.skeleton)
        lines = LineCollection(
            list(flat),
            colors=[colours[side[bone]] for bone in order],
            linewidths=width,
            capstyle="round",
            gid=gid,
        )
        axes.add_collection(lines, autolim=False)
        size = self.width, self.height
        corner = middle[0] - size[0] / 2, middle[1] - size[1] / 2
        lines.set_clip_path(Rectangle(corner, *size, transform=axes.transData))
        return lines


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure, and an invisible coordinate system in inches over all of it."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def _write(axes: Axes, x: float, y: float, text: str, **style: Any) -> Text:
    lines = "\n".join(map(printable, text.split("\n")))
    return axes.text(x, y, lines, **{"ha": "center", "va": "center", **style})


def _label(axes: Axes, text: str, x: float, y: float, width: float, ha: str = "center") -> None:
    """A method's name in lines no wider than `width` inches; what is in brackets has its own."""
    size = float(mpl.rcParams["font.size"])
    letters = _letters(width)
    lines = [
        line
        for part in re.split(r" (?=\()", text)
        for line in textwrap.wrap(part, int(letters / size), break_long_words=False)
    ]
    size = min(size, letters / max(map(len, lines)))
    _write(axes, x, y, "\n".join(lines), ha=ha, size=size, gid="method")


def _letters(width: float) -> float:
    """How many letters of one point fit into `width` inches: each is some 0.6 of its size wide."""
    return (width - 0.06) * 72 / 0.6


def _milliseconds(time: float) -> str:
    return f"{time:.0f} ms".replace("-", "\N{MINUS SIGN}")


def _legend(axes: Axes, title: str) -> None:
    """What the colours and numbers mean, and below it where all this is from."""
    x, y = _LEFT / 2, _FOOT - 0.14
    for text, colour in (("left", "left"), ("right", "right")):
        axes.plot([x, x + 0.12], [y, y], color=_COLOURS[colour], lw=1.4)
        _write(axes, x + 0.16, y, text, ha="left", size=6)
        x += 0.45
    axes.plot([x, x + 0.12], [y, y], color=_BENEATH["middle"], lw=2.4)
    _write(axes, x + 0.16, y, "truth", ha="left", size=6)
    _write(axes, x + 0.5, y, "numbers: mean joint error, mm", ha="left", size=6)
    size = min(5.5, _letters(axes.get_xlim()[1]) / len(title))
    _write(axes, _LEFT / 2, y - 0.12, title, ha="left", size=size, color=_FAINT)


def _paletted(images: Sequence[Image.Image]) -> list[Image.Image]:
    """All images in the colours of the last one, so that nothing flickers."""
    palette = images[-1].quantize(128, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    return [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
