"""The command line: options and messages, no logic. Heavy imports wait until a command runs."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import click

from bench import __version__, options
from bench.cli_cost import cost
from bench.cli_run import ablate, audit, report, run, sweep, tables
from bench.cli_show import show
from bench.cli_time import time_methods
from bench.cli_track import export, mlflow
from bench.cli_tune import tune
from bench.stopping import Stopped, stoppable

# Whatever could not be written where no writer has a better word for it.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class _Group(click.Group):
    """Turns bad input into one line and exit code 2, and Ctrl-C into how to go on."""

    # The groups in it are of this class too.
    group_class = type

    def invoke(self, ctx: click.Context) -> Any:
        from bench.contracts import BadInput

        if ctx.parent is not None:
            return super().invoke(ctx)
        try:
            with stoppable():
                return super().invoke(ctx)
        except BadInput as error:
            options.echo(f"bench: {error}", err=True)
            ctx.exit(BadInput.exit_code)
        except Stopped as stop:
            notes = "".join(f": {note}" for note in getattr(stop, "__notes__", ()))
            options.echo(
                f"\nstopped{notes}; nothing finished is lost, go on with: {options.typed()}",
                err=True,
            )
            ctx.exit(stop.exit_code)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            place = f"{error.filename}: " if error.filename else ""
            hint = "make room; the same command goes on"
            options.echo(f"bench: {place}{error.strerror}; {hint}", err=True)
            ctx.exit(BadInput.exit_code)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            from bench.config import nearest_names

            hint = nearest_names(args[0], self.list_commands(ctx))
            raise click.UsageError(f"no such command '{args[0]}'; {hint}", ctx) from None


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Benchmark the recovery of human pose sequences from sparse keyframes, and motion "
    "prediction.",
)
@click.version_option(__version__, prog_name="bench")
def main() -> None:
    """The command `bench`."""


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
        options.echo(line)


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
        options.echo(line)


@data.command()
@click.argument("name")
@options.data
@options.device
@options.budget("How long the lifter of h36m-fcn is trained.")
def prepare(name: str, data: tuple[Path, ...], device: str, budget: str) -> None:
    """Make a data set ready, e.g. `h36m-fcn`: trains its lifter. Goes on where it stopped."""
    from rich.console import Console

    from bench.listing import prepared
    from bench.progress import Shown

    with Shown(Console(stderr=True)) as progress:
        lines = prepared(name, data, device, budget, progress.say)
    for line in lines:
        options.echo(line)


for command in (
    run,
    report,
    ablate,
    sweep,
    tables,
    audit,
    cost,
    time_methods,
    show,
    export,
    mlflow,
    tune,
):
    main.add_command(command)


@main.command()
@options.data
@options.out("Folder for results, weights and tables.")
def doctor(data: tuple[Path, ...], out: Path) -> None:
    """Say what is installed, which device is used, and what data was found."""
    from bench.listing import diagnosis

    for line in diagnosis(data, out):
        options.echo(line)
