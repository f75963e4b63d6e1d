"""The commands that compute or draw tables: options and messages, no logic."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bench import options

if TYPE_CHECKING:
    from bench.commands import Outcome
    from bench.request import Request

_out = options.out("Folder for results, weights and tables.")


def _together(*given: Callable[..., Any]) -> Callable[..., Any]:
    """Options in the order in which the help shows them."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(given):
            command = option(command)
        return command

    return add


# What `run` and `report` must agree on, since it decides which cells a table holds.
_of_tables = _together(
    click.option(
        "--methods",
        type=options.Names(),
        help="Only these columns of the table, or methods; `method:preset` for another preset.",
    ),
    options.datasets,
    options.seeds,
    options.budget("How long to train."),
    options.metrics,
    options.protocol,
    options.checkpoints,
    click.option("--by", type=click.Choice(("action",)), help="A column for each action besides."),
    options.selection,
    options.tuned,
    options.data,
    options.device,
    options.precision,
    options.plugin,
    _out,
    options.long_form,
)
# What only matters where something is computed.
_of_runs = _together(
    options.redo,
    options.workers,
    options.engine,
    options.scheduler,
    options.track,
    options.compiled,
)
# What `ablate` and `sweep` share with `run`: they make their tables themselves.
_of_studies = _together(
    options.seeds,
    options.budget("How long to train."),
    options.metrics,
    options.selection,
    options.data,
    options.device,
    options.precision,
    options.plugin,
    _out,
    options.long_form,
    _of_runs,
)


@click.command()
@click.argument("table")
@_of_tables
@_of_runs
@click.option("--dry-run", is_flag=True, help="Say what would be computed, and how long it takes.")
@click.option(
    "--calibrate", is_flag=True, help="With --dry-run: time a few steps of what is not measured."
)
def run(table: str, *, dry_run: bool, calibrate: bool, **given: Any) -> None:
    """Compute a table: `bench run table3`, or `all` of them. What is stored is not redone."""
    if calibrate and not dry_run:
        raise click.UsageError("--calibrate goes with --dry-run")
    if dry_run:
        from bench import commands

        given.pop("long_form")
        say = partial(options.echo, err=True)
        for line in commands.dry_run(_requests(table, given), calibrate=calibrate, say=say):
            options.echo(line)
        return
    _tables(table, given)


@click.command()
@click.argument("table")
@_of_tables
def report(table: str, **given: Any) -> None:
    """Draw a table (or `all`) from stored results, computing nothing. Takes `run`'s options."""
    _tables(table, {**given, "compute": False, "track": False})


def _tables(table: str, given: dict[str, Any]) -> None:
    long_form = given.pop("long_form")
    _leave(_show(_requests(table, given), long_form=long_form))


def _requests(table: str, given: dict[str, Any]) -> list[Request]:
    """What is asked of one table, or of each that the options suit."""
    from bench.config import table_names
    from bench.request import Request, that_fit

    if given["tuned"] == options.USUAL_TUNED:
        given["tuned"] = given["out"] / "presets"
    names = table_names() if table == "all" else [table]
    requests = [Request(table=name, command=_redrawing(name), **given) for name in names]
    if table == "all":
        requests, left_out = that_fit(requests)
        for line in left_out:
            options.echo(line, err=True)
    return requests


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    epilog="Every option of the method is a flag with one or more values, such as --rt 1,4 or "
    "--depth 2,4; `bench ablate --list` names them.",
)
@click.option("--method", default="mixsynthformer", show_default=True, help="Whose options.")
@click.option("--preset", help="Preset of the baseline. Default: the budget's.")
@click.option("--without", type=options.Names(), help="Parts to remove, each in a row of its own.")
@click.option(
    "--grid",
    type=click.Choice(("full", "single")),
    default="full",
    show_default=True,
    help="All combinations of the values, or one change at a time.",
)
@click.option(
    "--datasets",
    "--dataset",
    "datasets",
    type=options.Names(),
    help="Default: h36m-fcn, or h36m-motion.",
)
@click.option("--interval", type=click.IntRange(1), help="K. Default: 10.")
@click.option("--intervals", type=click.IntRange(1), help="Q. Default: the preset's.")
@click.option("--protocol", help="Default: the task's usual one.")
@click.option("--name", help="Name of the files written. Default: ablate-METHOD.")
@click.option("--list", "listing", is_flag=True, help="Name the method's flags and parts.")
@_of_studies
@click.pass_context
def ablate(context: click.Context, /, **given: Any) -> None:
    """Vary options of a method against its default: `bench ablate --rt 1,4 --rs 1,4`."""
    from bench import ablation, plans, registry
    from bench.request import Request

    for plugin in given["plugins"]:
        registry.load_plugin(plugin)
    method = given.pop("method")
    if given.pop("listing"):
        for line in ablation.listed(method, given["budget"], given["preset"]):
            options.echo(line)
        return
    own = [flag.lstrip("-") for option in context.command.params for flag in option.opts]
    asked = ablation.Asked(
        beside=tuple(own),
        method=method,
        changes=ablation.parsed(context.args),
        without=given.pop("without") or (),
        budget=given["budget"],
        **{
            name: given.pop(name)
            for name in ("preset", "grid", "interval", "intervals", "protocol")
        },
        datasets=given.pop("datasets") or (ablation.usual_dataset(method),),
        metrics=given.pop("metrics"),
    )
    long_form = given.pop("long_form")
    name = plans.check_name(given.pop("name") or f"ablate-{method}")
    request = Request(table=name, config=ablation.table(asked), command=options.typed(), **given)
    _leave(_show([request], long_form=long_form))


@click.command()
@click.option(
    "--interval",
    default="2:20",
    show_default=True,
    help="Values of K: FIRST:LAST[:STEP] or a list.",
)
@click.option("--methods", type=options.Names(), help="Default: those of Table 3 but MCT.")
@click.option("--dataset", default="h36m-fcn", show_default=True, help="The dataset.")
@click.option(
    "--frames",
    type=click.IntRange(2),
    help="Window length, about. Default: 101; short clips: 11.",
)
@click.option("--protocol", default="deciwatch", show_default=True, help="See `run`.")
@click.option("--name", help="Name of the files written. Default: sweep-DATASET.")
@_of_studies
def sweep(**given: Any) -> None:
    """Error and cost against the sampling interval K, as table and figure."""
    from bench import plans
    from bench import sweep as sweeping
    from bench.request import Request

    dataset = given.pop("dataset")
    config = sweeping.table(
        dataset,
        sweeping.parsed(given.pop("interval")),
        given.pop("methods"),
        frames=given.pop("frames"),
        protocol=given.pop("protocol"),
        metrics=given.pop("metrics"),
        plugins=given["plugins"],
    )
    long_form = given.pop("long_form")
    name = plans.check_name(given.pop("name") or f"sweep-{dataset}")
    request = Request(table=name, config=config, command=options.typed(), **given)
    outcomes = _show([request], long_form=long_form)
    for path in sweeping.draw(outcomes[0].table, request.out):
        options.echo(path)
    _leave(outcomes)


@click.command()
@click.argument("names", nargs=-1)
@click.option(
    "--format",
    "formats",
    type=options.Names(),
    default="tex",
    show_default=True,
    help="Any of tex, md, csv.",
)
@click.option(
    "--results",
    type=options.Place(),
    default=Path("out"),
    show_default=True,
    help="Folder that tables were run into.",
)
@options.out("Folder for the tables.")
@options.style
def tables(
    names: tuple[str, ...], formats: tuple[str, ...], results: Path, out: Path, **style: Any
) -> None:
    """Write all tables that have results: `bench tables --format tex --out paper/`."""
    from bench.gathering import gather
    from bench.report.style import Style

    written, problems = gather(names, formats, results, out, Style(**style))
    for path in written:
        options.echo(path)
    for problem in problems:
        options.echo(f"warning: {problem}", err=True)


@click.command()
@click.argument("names", nargs=-1)
@click.option(
    "--results",
    type=options.Place(),
    default=Path("out"),
    show_default=True,
    help="Folder that tables were run into.",
)
@click.option(
    "--format", "form", type=click.Choice(("text", "markdown")), default="text", show_default=True
)
def audit(names: tuple[str, ...], results: Path, form: str) -> None:
    """Say of every published number whether it comes out here, and if not, why.

    What counts is the last `bench run` of each table into the folder.
    """
    from bench import audit as auditing

    if not (results / "plans").is_dir():
        options.echo(f"no table was run into {results}: costs alone are checked", err=True)
    findings = auditing.audit(names, results)
    for line in auditing.lines(findings, markdown=form == "markdown"):
        options.echo(line)


def _show(requests: Sequence[Request], *, long_form: bool) -> list[Outcome]:
    """Run and print tables one after another."""
    from rich.console import Console

    from bench.commands import run_table
    from bench.progress import Shown
    from bench.report.terminal import show

    outcomes = []
    for number, request in enumerate(requests):
        with Shown(Console(stderr=True)) as progress:
            outcome = run_table(request, progress)
        if number:
            options.echo("")
        show(outcome.table, Console(), long=long_form)
        for warning in outcome.warnings:
            options.echo(f"warning: {warning}", err=True)
        outcomes.append(outcome)
    return outcomes


def _leave(outcomes: Sequence[Outcome]) -> None:
    """Exit with 1 where cells failed."""
    failed = sum(outcome.failed for outcome in outcomes)
    if failed:
        cells = "1 cell" if failed == 1 else f"{failed} cells"
        options.echo(f"{cells} failed; the same command with --redo failed tries again", err=True)
        sys.exit(1)


def _redrawing(table: str) -> str:
    """The `report` command that draws a table of the running command again."""
    context = click.get_current_context()
    words = ["bench", "report", table]
    for parameter in report.params:
        name = parameter.name or ""
        typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if isinstance(parameter, click.Argument) or not typed:
            continue
        given = context.params[name]
        values = given if parameter.multiple else [given]
        for value in values:
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            words += [parameter.opts[0]] if value is True else [parameter.opts[0], text]
    return shlex.join(words)
