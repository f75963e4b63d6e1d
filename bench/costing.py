"""What `bench cost` prints: the costs of methods on datasets, beside their estimator's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from csv import DictWriter
from dataclasses import dataclass, field
from io import StringIO
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.text import Text

from bench import config as configs
from bench import registry
from bench.config import DatasetConfig
from bench.contracts import FOREIGN_ERRORS, BadInput, Geometry, Span, Window
from bench.cost import Cost, cost, estimator_cost
from bench.data.clips import DIMS
from bench.data.skeletons import SKELETONS
from bench.documents import from_yaml
from bench.report.grid import Column, Piece, blocks
from bench.report.markdown import escape as markdown_escape
from bench.report.sentences import grouped
from bench.report.tex import escape as tex_escape


@dataclass(frozen=True)
class Asked:
    """What to list.

    methods: `method` or `method:preset`, none for every method of a dataset's task; datasets: by
    name; preset: of the methods that do not say theirs; interval: K; intervals: Q instead of the
    preset's or the dataset's; options: hyper-parameters instead of the presets'; plugins: files
    with methods.
    """

    methods: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ("h36m-fcn",)
    preset: str | None = None
    interval: int = 10
    intervals: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    plugins: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Line:
    """One method on one dataset.

    options: in which it differs from its preset; gflops: of the estimator per frame it sees, if
    published; every: it sees every K-th frame, for a refiner every one; cost: None where it
    cannot be told, and then `reason` says why.
    """

    dataset: str
    method: str
    preset: str
    title: str
    geometry: Geometry
    options: Mapping[str, Any]
    gflops: float | None
    every: int
    cost: Cost | None
    reason: str = ""

    @property
    def name(self) -> str:
        """What the line can be asked for by: `method`, or `method:preset` where there are more."""
        several = len(configs.method_config(self.method).presets) > 1
        return f"{self.method}:{self.preset}" if several else self.method

    @property
    def estimator(self) -> float | None:
        """G operations per frame of the estimator, None where its own are not published."""
        return None if self.gflops is None else estimator_cost(self.gflops, self.every)

    @property
    def total(self) -> float | None:
        """G operations per frame of estimator and method (paper Eq. 15), the method's complete."""
        if self.estimator is None or self.cost is None:
            return None
        return self.estimator + self.cost.macs / 1e9


def parsed(settings: Iterable[str]) -> dict[str, Any]:
    """Options from texts `NAME=VALUE`, values as in YAML; BadInput for another form."""
    options = {}
    for text in settings:
        name, sign, value = text.partition("=")
        if not (name and sign):
            raise BadInput("cannot read the setting", found=text, expected="NAME=VALUE")
        try:
            options[name] = from_yaml(value)
        except BadInput as error:
            raise BadInput("cannot read the setting", found=text, expected="NAME=VALUE") from error
    return options


def costs(asked: Asked) -> list[Line]:
    """A line for every method on every dataset; BadInput for names, presets and options unknown.

    A method that was not named and cannot be built for a dataset's windows keeps its line, with
    the reason.
    """
    for plugin in asked.plugins:
        registry.load_plugin(plugin)
    return [
        _line(asked, name, dataset)
        for dataset in dict.fromkeys(asked.datasets)
        for name in _methods(asked, configs.dataset_config(dataset))
    ]


def _methods(asked: Asked, about: DatasetConfig) -> Iterable[str]:
    """The methods asked for, or those that do what the dataset is for."""
    if asked.methods:
        return dict.fromkeys(asked.methods)
    return [name for name in registry.method_names() if registry.task(name) == about.task]


def _line(asked: Asked, name: str, dataset: str) -> Line:
    method, _, own = name.partition(":")
    cls = registry.method_class(method)
    about = configs.dataset_config(dataset)
    if registry.task(method) != about.task:
        raise BadInput(f"{method} is not for {dataset}", hint=f"{dataset} is for {about.task}")
    several = len(configs.method_config(method).presets) > 1
    strictly = bool(own) or (bool(asked.methods) and several)
    chosen = _preset(method, own or asked.preset, strictly=strictly)
    preset = configs.method_config(method).presets[chosen].on(dataset)
    joints, dims = len(SKELETONS[about.skeleton].joints), DIMS[about.space]
    geometry: Geometry
    if about.task == "recovery":
        intervals = asked.intervals or preset.intervals or about.intervals
        geometry = Window(asked.interval, intervals, joints, dims)
    else:
        future = preset.future or about.future
        geometry = Span(preset.history or about.history, future, joints, dims)
    implied = configs.method_config(method).ablation.implied
    changes: dict[str, Any] = {}
    for option, value in asked.options.items():
        changes |= implied.get(option, {}).get(str(value), {})
    changes |= asked.options
    options = registry.resolve_options(method, {**preset.options, **changes})
    found, reason = None, ""
    try:
        found = cost(method, options, geometry)
    except BadInput as error:
        if asked.methods:
            raise
        reason = str(error)
    except FOREIGN_ERRORS as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        if asked.methods:
            raise BadInput(f"{method} cannot be built on {dataset}", found=reason) from error
    return Line(
        dataset=dataset,
        method=method,
        preset=chosen,
        title=preset.title or cls.title,
        geometry=geometry,
        options=changes,
        gflops=about.gflops if about.task == "recovery" else None,
        every=1 if registry.sees(method) == "frames" else asked.interval,
        cost=found,
        reason=reason,
    )


def _preset(method: str, wanted: str | None, *, strictly: bool) -> str:
    """The preset wanted, or the one that published costs belong to.

    strictly: BadInput where the method has not the one wanted.
    """
    config = configs.method_config(method)
    if wanted in config.presets:
        return str(wanted)
    if wanted is not None and strictly:
        raise BadInput(
            f"unknown preset '{wanted}' of {method}",
            hint=configs.nearest_names(wanted, config.presets),
        )
    return config.of_publication


# Groups of columns with the unit of their numbers, and the columns.
_HEADS = (
    ("", "frames"),
    ("parameters", "all"),
    ("parameters", "live"),
    ("M MACs per frame", "published"),
    ("M MACs per frame", "complete"),
    ("G per frame", "estimator"),
    ("G per frame", "total"),
)
_LEGEND = (
    "published: linear maps, convolutions and average pooling, as in the papers' FLOPs; complete: "
    "every matrix product, attention too",
    "total: the estimator at every K-th frame and the method, complete (Eq. 15); live: without "
    "weights that are never used; -: not defined",
)


def _cells(line: Line) -> tuple[str, ...]:
    """The line under `_HEADS`, as printed."""
    shape, found = line.geometry, line.cost
    frames = f"{shape.history}+{shape.future}" if isinstance(shape, Span) else str(shape.frames)
    return (
        frames,
        "-" if found is None else grouped(found.parameters),
        "-" if found is None else grouped(found.live),
        _printed(None if found is None else found.macs_published, 1e-6, 4),
        _printed(None if found is None else found.macs, 1e-6, 4),
        _printed(line.estimator, 1.0, 4),
        _printed(line.total, 1.0, 5),
    )


def _printed(value: float | None, scale: float, digits: int) -> str:
    return "-" if value is None else f"{value * scale:.{digits}f}"


def _by_dataset(lines: Sequence[Line]) -> Iterable[tuple[str, list[Line]]]:
    """The lines of each dataset, under what is to be said of it."""
    for dataset, run in groupby(lines, key=lambda line: line.dataset):
        found = list(run)
        about, shape = configs.dataset_config(dataset), found[0].geometry
        said = f"{about.title} ({dataset})"
        if isinstance(shape, Window):
            said += f", K={shape.interval}"
        if found[0].gflops is not None:
            said += f", {about.estimator} at {found[0].gflops:g} G"
        yield said, found


def _remarks(lines: Iterable[Line]) -> list[str]:
    """How to read the columns, what was set, and why a line is empty."""
    remarks = list(_LEGEND)
    for line in lines:
        if line.options:
            said = ", ".join(f"{name}={value}" for name, value in line.options.items())
            remarks.append(f"{line.name}: with {said}")
        if line.reason:
            remarks.append(f"{line.name} on {line.dataset}: {line.reason}")
    return list(dict.fromkeys(remarks))


def show(lines: Sequence[Line], console: Console) -> None:
    """Print aligned columns, a block for each dataset."""
    plain = not console.is_terminal or console.is_dumb_terminal
    for line in text(lines, width=console.width, plain=plain):
        console.print(line, soft_wrap=True, highlight=False)


def text(lines: Sequence[Line], *, width: int, plain: bool) -> list[Text]:
    """Aligned columns, a block for each dataset, at most `width` wide where that is possible.

    Columns that are not defined for any method are left out.
    """
    drawn: list[Text] = []
    for title, found in _by_dataset(lines):
        columns = zip(*map(_cells, found), strict=True)
        first = Column((Piece(""), Piece("")), tuple(Piece(line.name) for line in found))
        others = [
            Column(
                (Piece(group, "head"), Piece(head, "head")),
                tuple(map(Piece, column)),
                group=group,
            )
            for (group, head), column in zip(_HEADS, columns, strict=True)
            if set(column) != {"-"}
        ]
        drawn += [Text(title, "bold"), *blocks(first, others, width, plain), Text()]
    return [*drawn, *(Text(part) for said in _remarks(lines) for part in wrap(said, width))]


def markdown(lines: Sequence[Line]) -> str:
    """A table for each dataset in GitHub Markdown."""
    drawn = []
    for title, found in _by_dataset(lines):
        heads = ["method", *(f"{group}<br>{head}".removeprefix("<br>") for group, head in _HEADS)]
        rows = [[markdown_escape(line.title), *_cells(line)] for line in found]
        rule = [":--", *["--:"] * len(_HEADS)]
        drawn += [f"**{markdown_escape(title)}**", ""]
        drawn += [f"| {' | '.join(row)} |" for row in (heads, rule, *rows)]
        drawn.append("")
    drawn += [f"- {markdown_escape(said)}" for said in _remarks(lines)]
    return "\n".join(drawn) + "\n"


def tex(lines: Sequence[Line]) -> str:
    r"""A LaTeX `table*` to \input into a paper that loads booktabs."""
    spans = [(head, len(list(run))) for head, run in groupby(group for group, _ in _HEADS)]
    above = " & ".join(
        rf"\multicolumn{{{count}}}{{c}}{{{tex_escape(head)}}}" for head, count in spans
    )
    drawn = [
        r"% Load booktabs and \input this file.",
        r"\begin{table*}[t]",
        r"\centering\footnotesize",
        rf"\caption{{Cost per frame. {tex_escape('. '.join(map(_capital, _remarks(lines))))}.}}",
        rf"\begin{{tabular}}{{l{'r' * len(_HEADS)}}}",
        r"\toprule",
        rf" & {above} \\",
        rf"method & {' & '.join(head for _, head in _HEADS)} \\",
    ]
    for title, found in _by_dataset(lines):
        drawn += [
            r"\midrule",
            rf"\multicolumn{{{len(_HEADS) + 1}}}{{l}}{{\itshape {tex_escape(title)}}} \\",
        ]
        drawn += [" & ".join((tex_escape(line.title), *_cells(line))) + r" \\" for line in found]
    drawn += [r"\bottomrule", r"\end{tabular}", r"\end{table*}"]
    return "\n".join(drawn) + "\n"


def _capital(said: str) -> str:
    return said[:1].upper() + said[1:]


def csv(lines: Sequence[Line]) -> str:
    """One line for each method on each dataset, nothing rounded; empty where not defined."""
    file = StringIO()
    rows = [_record(line) for line in lines]
    writer = DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _record(line: Line) -> dict[str, object]:
    shape, found = line.geometry, line.cost
    window = shape if isinstance(shape, Window) else None
    span = shape if isinstance(shape, Span) else None
    return {
        "dataset": line.dataset,
        "method": line.method,
        "preset": line.preset,
        "options": json.dumps(line.options) if line.options else "",
        "title": line.title,
        "interval": window and window.interval,
        "intervals": window and window.intervals,
        "history": span and span.history,
        "future": span and span.future,
        "parameters": found and found.parameters,
        "live": found and found.live,
        "macs_published": found and found.macs_published,
        "macs": found and found.macs,
        "estimator_g": line.estimator,
        "total_g": line.total,
        "reason": line.reason,
    }


DRAWN: Mapping[str, Callable[[Sequence[Line]], str]] = {
    "markdown": markdown,
    "csv": csv,
    "tex": tex,
}
"""The formats for files, by name."""
