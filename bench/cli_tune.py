"""The command `bench tune`: options and messages, no logic."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from bench import options


@click.command()
@click.argument("methods", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every method that can be tuned.")
@click.option(
    "--datasets",
    "--dataset",
    "datasets",
    type=options.Names(),
    default="h36m-fcn",
    show_default=True,
    help="Each has studies of its own.",
)
@click.option(
    "--trials",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Of each study, those from earlier included.",
)
@click.option(
    "--windows",
    type=click.IntRange(1),
    help="That a trial is trained on, of every method. Default: the budget's.",
)
@click.option(
    "--clips",
    type=click.IntRange(1),
    help="Validation clips that are scored, evenly spread. Default: all (`smoke`: some).",
)
@options.budget("How long a trial is trained, and the preset that tuning starts from.")
@click.option("--preset", help="Another preset to start from.")
@click.option(
    "--objectives",
    type=options.Names(),
    help="Metrics on validation, the leading one first; several give a Pareto front. "
    "Default: the protocol's leading metric.",
)
@click.option("--protocol", help="Default: the task's usual one.")
@click.option("--interval", type=click.IntRange(1), default=10, show_default=True, help="K.")
@click.option(
    "--finalists",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="How many of the best are trained again, beside the preset.",
)
@click.option(
    "--seeds", type=click.IntRange(1), default=3, show_default=True, help="Of each finalist."
)
@click.option("--seed", default=0, show_default=True, help="Of sampler and trials.")
@click.option(
    "--storage",
    help="Journal file, or URL of a database that Optuna opens. "
    "Default: tuning/studies.journal in the output folder.",
)
@click.option(
    "-j",
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes; with one, a study is the same every time.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    help="Seconds after which no trial of a study begins.",
)
@click.option("--list", "listing", is_flag=True, help="Show the search spaces.")
@options.data
@options.device
@options.plugin
@options.out("Folder for records, presets and figures.")
@options.track
def tune(methods: tuple[str, ...], everything: bool, listing: bool, **given: Any) -> None:
    """Tune METHODS on validation, each with the same number of trials and windows.

    Writes OUT/presets/METHOD.yaml, which `bench run TABLE --tuned` takes. The same command goes
    on where an earlier one stopped.
    """
    if bool(methods) == everything and not (listing and not methods):
        raise click.UsageError("name METHODS, or give --all")
    from bench import tuning

    if listing:
        for line in tuning.listed(methods, given["plugins"]):
            options.echo(line)
        return
    asked = tuning.Asked(methods=methods, **given)
    studies = tuning.tune(asked, lambda line: options.echo(line, err=True))
    for done in studies:
        _show(done)
    if any(done.preset is None for done in studies):
        sys.exit(1)


def _show(done: Any) -> None:
    for line in done.lines:
        options.echo(line)
    paths: list[Path] = done.files
    for path in paths:
        options.echo(path)
    for warning in done.warnings:
        options.echo(f"warning: {warning}", err=True)
