"""The command `bench cost`: options and messages, no logic."""

from __future__ import annotations

from pathlib import Path

import click

from bench import options


@click.command()
@click.argument("methods", nargs=-1)
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    default=("h36m-fcn",),
    show_default=True,
    help="Whose poses and estimator; repeatable.",
)
@click.option("--preset", help="Default: the one that published costs belong to, else `paper`.")
@click.option("--interval", type=click.IntRange(1), default=10, show_default=True, help="K.")
@click.option("--intervals", type=click.IntRange(1), help="Q. Default: the preset's.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Another option; repeatable."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "markdown", "csv", "tex")),
    default="text",
    show_default=True,
    help="How to print it.",
)
@options.plugin
def cost(
    methods: tuple[str, ...],
    datasets: tuple[str, ...],
    preset: str | None,
    interval: int,
    intervals: int | None,
    settings: tuple[str, ...],
    form: str,
    plugins: tuple[Path, ...],
) -> None:
    """Say what METHODS cost per frame: parameters, MACs, and with the estimator.

    METHODS are `method` or `method:preset`; without any, all that do what the dataset is for.
    """
    from rich.console import Console

    from bench import costing

    given = costing.parsed(settings)
    lines = costing.costs(
        costing.Asked(methods, datasets, preset, interval, intervals, given, plugins)
    )
    if form == "text":
        costing.show(lines, Console())
    else:
        options.echo(costing.DRAWN[form](lines), nl=False)
