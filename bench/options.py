"""Options that several commands have: their names, types and defaults, and what is said of them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bench.contracts import printable

BUDGETS = ("smoke", "quick", "paper")

Command = TypeVar("Command", bound=Callable[..., Any])


def echo(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Print text that may hold names of others: a terminal acts on nothing in it."""
    lines = str(text).split("\n")
    click.echo("\n".join(map(printable, lines)), err=err, nl=nl)


class Names(click.ParamType[tuple[str, ...]]):
    """Names separated by commas; at least one."""

    name = "NAME,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The names, without the spaces around them."""
        names = tuple(part.strip() for part in str(value).split(",") if part.strip())
        if not names:
            self.fail("expected one or more names separated by commas", param, ctx)
        return names


class Place(click.Path):
    """A path, there or not; one that cannot even be looked for is a usage error."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path as it was given."""
        try:
            Path(value).exists()
        except OSError as error:
            self.fail(f"'{printable(str(value)[:80])}': {error.strerror}", param, ctx)
        return super().convert(value, param, ctx)


def budget(said: str) -> Callable[[Command], Command]:
    """`--budget`; said: what it decides here."""
    return click.option(
        "--budget", type=click.Choice(BUDGETS), default="quick", show_default=True, help=said
    )


def out(said: str) -> Callable[[Command], Command]:
    """`--out`; said: what the folder is for here."""
    return click.option("--out", type=Place(), default=Path("out"), show_default=True, help=said)


def long_form(command: Command) -> Command:
    """`--long`."""
    return click.option(
        "--long", "long_form", is_flag=True, help="One line per entry, all numbers."
    )(command)


DEVICES = ("auto", "cpu", "cuda")

device = click.option(
    "--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="Where to run."
)
precision = click.option(
    "--precision",
    type=click.Choice(("float32", "tf32", "bfloat16")),
    default="float32",
    show_default=True,
    help="Arithmetic of training; tf32 needs a GPU.",
)
compiled = click.option(
    "--compile", "compiled", is_flag=True, help="Fuse the operations of training steps."
)
datasets = click.option(
    "--datasets", "--dataset", "datasets", type=Names(), help="Only these datasets."
)
seeds = click.option("--seeds", type=click.IntRange(1), help="Seeds per trained method.")
metrics = click.option(
    "--metrics",
    type=Names(),
    help="Other metrics than the table's, the leading one first.",
)
protocol = click.option(
    "--protocol", help="Another protocol than the table's: `bench list protocols`."
)
selection = click.option(
    "--selection",
    type=click.Choice(("last", "validation", "test")),
    default="validation",
    show_default=True,
    help="Which weights are kept; `test` is how the release did it, and is flagged.",
)
USUAL_TUNED = Path("OUT/presets")
"""What `--tuned` is given without a value: the output folder is not known yet."""

tuned = click.option(
    "--tuned",
    is_flag=False,
    flag_value=str(USUAL_TUNED),
    type=click.Path(path_type=Path),
    help="Take tuned presets (docs/tuning.md) from a file or folder. "
    "Without a PATH: presets/ of the output folder.",
)
redo = click.option(
    "--redo",
    type=click.Choice(("missing", "failed", "all")),
    default="missing",
    show_default=True,
    help="Which cells to compute although they may be stored.",
)
workers = click.option(
    "--workers",
    "-j",
    "workers",
    type=click.IntRange(1),
    help="Processes on the CPU. Default: all cores.",
)
engine = click.option(
    "--engine",
    type=click.Choice(("local", "dask")),
    default="local",
    show_default=True,
    help="Processes of this machine, or a Dask cluster (docs/cluster.md).",
)
scheduler = click.option(
    "--scheduler",
    metavar="ADDRESS|FILE",
    help="Of the cluster: tcp://HOST:PORT, a scheduler's file, or a YAML file that starts one.",
)
track = click.option(
    "--track/--no-track", default=True, show_default=True, help="Log cells to MLflow."
)
data = click.option(
    "--data",
    multiple=True,
    type=Place(),
    help="Folder with real data (docs/data.md); repeatable. Default: BENCH_DATA.",
)
plugin = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=Place(),
    help="Python file with a method of your own (docs/plugins.md); repeatable.",
)
checkpoints = click.option(
    "--checkpoints",
    multiple=True,
    type=Place(),
    help="File or folder with published weights; repeatable.",
)


class Decimals(click.ParamType[dict[str, int]]):
    """`mpjpe=2,accel=1`: numbers by metric."""

    name = "METRIC=N,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, int]:
        """The numbers by metric; which metrics there are is known later."""
        if isinstance(value, dict):
            return value
        decimals = {}
        for part in str(value).split(","):
            metric, sign, number = part.strip().rpartition("=")
            if not sign or not number.isdecimal():
                self.fail(f"'{part}' is not METRIC=N", param, ctx)
            decimals[metric] = int(number)
        return decimals


def style(command: Command) -> Command:
    """How numbers are set: what `bench.report.style.Style` takes, by the same names."""
    for option in reversed(
        (
            click.option("--decimals", type=Decimals(), default={}, help="E.g. mpjpe=2,pck=1."),
            click.option("--units/--no-units", default=False, help="Units in the heads too."),
            click.option(
                "--arrows/--no-arrows", default=None, help="Which way is better. Default: in tex."
            ),
            click.option(
                "--marks",
                type=click.Choice(("bold-underline", "bold", "none")),
                default="bold-underline",
                show_default=True,
                help="Of the best and the second.",
            ),
            click.option(
                "--spread",
                type=click.Choice(("sd", "ci", "none")),
                default="sd",
                show_default=True,
                help="Behind a mean over seeds: deviation, or 95 % interval of the mean.",
            ),
            click.option(
                "--published/--no-published", default=True, help="Published numbers below ours."
            ),
            click.option(
                "--significance/--no-significance",
                default=False,
                help="A sign where the difference to the reference is not zero (95 %).",
            ),
            click.option("--standins/--no-standins", default=True, help="Rows of stand-ins."),
        )
    ):
        command = option(command)
    return command


def typed() -> str:
    """The running command as it was typed: nothing stored is computed again by it."""
    return shlex.join(["bench", *sys.argv[1:]])
