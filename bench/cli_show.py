"""The command group `bench show`: options and messages, no logic."""

from __future__ import annotations

from pathlib import Path

import click

from bench import options

show = click.Group("show", help="Draw what methods do.")


@show.command()
@click.option("--clip", required=True, help="Name of a clip, e.g. S5/walking_1.")
@click.option("--methods", type=options.Names(), required=True, help="Methods to show.")
@click.option("--dataset", default="h36m-motion", show_default=True, help="The clip's dataset.")
@click.option(
    "--at",
    type=click.IntRange(0),
    metavar="FRAME",
    help="Where the future begins. Default: a test clip's first draw, else the middle.",
)
@options.budget("Which training is shown.")
@options.data
@options.checkpoints
@options.plugin
@options.out("Folder with the weights, and for the pictures.")
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
    for path in show_prediction(wanted, say=lambda text: options.echo(text, err=True)):
        options.echo(path)
