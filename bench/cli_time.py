"""The command `bench time`: options and messages, no logic."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench import options


class _Sizes(options.Names):
    """Positive numbers separated by commas."""

    name = "N,..."

    def convert(  # type: ignore[override]
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """The numbers; a default that is a tuple stays as it is."""
        if isinstance(value, tuple):
            return value
        names = super().convert(value, param, ctx)
        if not all(name.isdecimal() and int(name) for name in names):
            self.fail("expected positive numbers separated by commas", param, ctx)
        return tuple(int(name) for name in names)


@click.command("time")
@click.argument("methods", nargs=-1)
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    help="Whose joints and window lengths; repeatable; no data is needed. Default: h36m-fcn.",
)
@click.option("--interval", type=click.IntRange(1), help="K, frames per keyframe. Default: 10.")
@click.option(
    "--batch", "batches", type=_Sizes(), help="Windows recovered in one call. Default: 1,256."
)
@click.option(
    "--threads", type=options.Names(), help="Numbers, or `all` for all cores. Default: 1,all."
)
@click.option(
    "--engine",
    "engines",
    type=options.Names(),
    help="Of eager, compiled (torch.compile), onnx (ONNX Runtime), folded (the method's own form "
    "for inference) and folded-onnx. Default: all that work.",
)
@click.option(
    "--dtype",
    "precisions",
    type=options.Names(),
    help="Of float32 and bfloat16. Default: float32.",
)
@click.option(
    "--min-seconds",
    "seconds",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="How long each measurement lasts at least.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "markdown", "csv", "tex")),
    default="text",
    show_default=True,
    help="How the table is printed.",
)
@click.option(
    "--report",
    is_flag=True,
    help="Measure nothing; show what is stored in OUT/timings, all of it where not narrowed.",
)
@options.plugin
@options.out("Folder for the times.")
def time_methods(
    methods: tuple[str, ...],
    datasets: tuple[str, ...],
    interval: int | None,
    batches: tuple[int, ...] | None,
    threads: tuple[str, ...] | None,
    engines: tuple[str, ...] | None,
    precisions: tuple[str, ...] | None,
    seconds: float,
    form: str,
    report: bool,
    plugins: tuple[Path, ...],
    out: Path,
) -> None:
    """Measure how long METHODS (`method` or `method:preset`) take on this CPU.

    Default: linear, ridge, deciwatch and mixsynthformer, each as published.
    """
    from bench.clocking import Request, clock, stored
    from bench.report.timings import draw

    request = Request(
        methods=methods,
        datasets=datasets,
        interval=interval,
        batches=batches or (),
        threads=threads or (),
        engines=engines or (),
        precisions=precisions or (),
        seconds=seconds,
        plugins=plugins,
        out=out,
    )
    if report:
        clocked = stored(request)
    else:
        clocked = clock(request, say=lambda text: options.echo(text, err=True))
    options.echo(draw(clocked, form), nl=False)
    if not clocked.timings:
        sys.exit(1)
