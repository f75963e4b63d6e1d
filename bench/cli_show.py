"""The command group `bench show`: options and messages, no logic."""

from __future__ import annotations

from pathlib import Path

import click

show = click.Group("show", help="Draw what methods do.")


def _names(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """Names separated by commas."""
    names = tuple(part.strip() for part in value.split(",") if part.strip())
    if not names:
        raise click.BadParameter("expected one or more names separated by commas")
    return names


@show.command()
@click.option("--clip", required=True, help="Name of a clip, e.g. S5/walking_1.")
@click.option(
    "--methods", required=True, callback=_names, help="Methods to show, separated by commas."
)
@click.option("--dataset", default="h36m-motion", show_default=True, help="The clip's dataset.")
@click.option(
    "--at",
    type=click.IntRange(0),
    metavar="FRAME",
    help="Where the future begins. Default: a test clip's first draw, else the middle.",
)
@click.option(
    "--budget",
    type=click.Choice(("smoke", "quick", "paper")),
    default="quick",
    show_default=True,
    help="Which training is shown.",
)
@click.option(
    "--data",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder with real data (docs/data.md); repeatable. Default: BENCH_DATA.",
)
@click.option(
    "--checkpoints",
    multiple=True,
    type=click.Path(path_type=Path),
    help="File or folder with published weights; repeatable.",
)
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Python file with a method of your own (docs/plugins.md); repeatable.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("out"),
    show_default=True,
    help="Folder with the weights, and for the pictures.",
)
def prediction(
    clip: str,
    methods: tuple[str, ...],
    dataset: str,
    at: int | None,
    budget: str,
    data: tuple[Path, ...],
    checkpoints: tuple[Path, ...],
    plugins: tuple[Path, ...],
    out: Path,
) -> None:
    """Draw predicted beside true motion: a filmstrip (PDF, SVG, PNG) and an animation (GIF)."""
    from bench.showing import Wanted, show_prediction

    wanted = Wanted(clip, methods, dataset, at, budget, data, checkpoints, plugins, out)
    for path in show_prediction(wanted, say=lambda text: click.echo(text, err=True)):
        click.echo(path)
