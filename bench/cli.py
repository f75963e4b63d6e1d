"""The command line: options and messages, no logic. Heavy imports wait until a command runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bench import __version__, options
from bench.cli_show import show

_DEVICES = ("auto", "cpu", "cuda")


class _Group(click.Group):
    """Turns bad input into one line and exit code 2, and Ctrl-C into how to go on."""

    # The groups in it are of this class too.
    group_class = type

    def invoke(self, ctx: click.Context) -> Any:
        from bench.contracts import BadInput

        try:
            return super().invoke(ctx)
        except BadInput as error:
            click.echo(f"bench: {error}", err=True)
            ctx.exit(BadInput.exit_code)
        except KeyboardInterrupt:
            click.echo("\nstopped; nothing finished is lost, the same command goes on", err=True)
            ctx.exit(130)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            from bench.config import nearest_names

            hint = nearest_names(args[0], self.list_commands(ctx))
            raise click.UsageError(f"no such command '{args[0]}'; {hint}", ctx) from None


_device = click.option(
    "--device", type=click.Choice(_DEVICES), default="auto", show_default=True, help="Where to run."
)
_out = options.out("Folder for results, weights and tables.")


def _table_options(command: Callable[..., None]) -> Callable[..., None]:
    """What `run` and `report` must agree on, since it decides which cells a table holds."""
    for option in reversed(
        (
            click.option(
                "--methods",
                type=options.Names(),
                help="Only these methods; `method:preset` for another preset.",
            ),
            click.option("--datasets", type=options.Names(), help="Only these datasets."),
            click.option("--seeds", type=click.IntRange(1), help="Seeds per trained method."),
            options.budget("How long to train."),
            click.option(
                "--metrics",
                type=options.Names(),
                help="Other metrics than the table's, the leading one first.",
            ),
            click.option(
                "--protocol", help="Another protocol than the table's: `bench list protocols`."
            ),
            options.checkpoints,
            click.option(
                "--by", type=click.Choice(("action",)), help="A column for each action besides."
            ),
            click.option(
                "--selection",
                type=click.Choice(("last", "validation", "test")),
                default="validation",
                show_default=True,
                help="Which weights are kept; `test` is how the release did it, and is flagged.",
            ),
            options.data,
            _device,
            options.plugin,
            _out,
            click.option(
                "--long", "long_form", is_flag=True, help="One line per entry, all numbers."
            ),
        )
    ):
        command = option(command)
    return command


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Benchmark the recovery of human pose sequences from sparse keyframes, and motion "
    "prediction.",
)
@click.version_option(__version__, prog_name="bench")
def main() -> None:
    """The command `bench`."""


@main.command()
@click.argument("table")
@_table_options
@click.option(
    "--redo",
    type=click.Choice(("missing", "failed", "all")),
    default="missing",
    show_default=True,
    help="Which cells to compute although they may be stored.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes on the CPU. Default: all cores.")
@click.option("--track/--no-track", default=True, show_default=True, help="Log cells to MLflow.")
def run(table: str, **given: Any) -> None:
    """Compute a table: `bench run table3`. What is stored already is not computed again."""
    _run(table, given)


@main.command()
@click.argument("table")
@_table_options
def report(table: str, **given: Any) -> None:
    """Draw a table from stored results, computing nothing. Takes the options of its `run`."""
    _run(table, {**given, "compute": False, "track": False})


def _run(table: str, given: dict[str, Any]) -> None:
    from rich.console import Console

    from bench.commands import Request, run_table
    from bench.progress import Shown
    from bench.report.terminal import show

    long_form = given.pop("long_form")
    request = Request(table=table, command=_redrawing(), **given)
    with Shown(Console(stderr=True)) as progress:
        outcome = run_table(request, progress)
    show(outcome.table, Console(), long=long_form)
    for warning in outcome.warnings:
        click.echo(f"warning: {warning}", err=True)
    if outcome.failed:
        cells = "1 cell" if outcome.failed == 1 else f"{outcome.failed} cells"
        click.echo(f"{cells} failed; the same command with --redo failed tries again", err=True)
        sys.exit(1)


@main.command("list")
@click.argument(
    "what", type=click.Choice(("methods", "datasets", "tables", "budgets", "protocols"))
)
@options.plugin
@options.data
def list_(what: str, plugins: tuple[Path, ...], data: tuple[Path, ...]) -> None:
    """List methods, datasets (and where each would come from), tables, budgets or protocols."""
    from bench.listing import listed

    for line in listed(what, plugins, data):
        click.echo(line)


@main.group()
def data() -> None:
    """Check and prepare data sets."""


@data.command()
@click.argument("names", nargs=-1)
@options.data
def check(names: tuple[str, ...], data: tuple[Path, ...]) -> None:
    """Validate the data found (or the stand-ins) and say what it holds."""
    from bench.listing import checked

    for line in checked(names, data):
        click.echo(line)


@data.command()
@click.argument("name")
@options.data
@_device
@options.budget("How long the lifter of h36m-fcn is trained.")
def prepare(name: str, data: tuple[Path, ...], device: str, budget: str) -> None:
    """Make a data set ready, e.g. `h36m-fcn`: trains its lifter. Goes on where it stopped."""
    from rich.console import Console

    from bench.listing import prepared
    from bench.progress import Shown

    with Shown(Console(stderr=True)) as progress:
        lines = prepared(name, data, device, budget, progress.say)
    for line in lines:
        click.echo(line)


main.add_command(show)


@main.command()
@options.data
@_out
def doctor(data: tuple[Path, ...], out: Path) -> None:
    """Say what is installed, which device is used, and what data was found."""
    from bench.listing import diagnosis

    for line in diagnosis(data, out):
        click.echo(line)


def _redrawing() -> str:
    """The `report` command that draws the table of the running command again."""
    import shlex

    context = click.get_current_context()
    words = ["bench", "report"]
    for parameter in report.params:
        name = parameter.name or ""
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        given = context.params[name]
        values = given if parameter.multiple else [given]
        for value in values:
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            if isinstance(parameter, click.Argument):
                words.append(text)
            else:
                words += [parameter.opts[0]] if value is True else [parameter.opts[0], text]
    return shlex.join(words)
