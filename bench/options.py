"""Options that several commands have: their names, types and defaults, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

BUDGETS = ("smoke", "quick", "paper")

Command = TypeVar("Command", bound=Callable[..., Any])


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


def budget(said: str) -> Callable[[Command], Command]:
    """`--budget`; said: what it decides here."""
    return click.option(
        "--budget", type=click.Choice(BUDGETS), default="quick", show_default=True, help=said
    )


def out(said: str) -> Callable[[Command], Command]:
    """`--out`; said: what the folder is for here."""
    return click.option(
        "--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help=said
    )


data = click.option(
    "--data",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder with real data (docs/data.md); repeatable. Default: BENCH_DATA.",
)
plugin = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Python file with a method of your own (docs/plugins.md); repeatable.",
)
checkpoints = click.option(
    "--checkpoints",
    multiple=True,
    type=click.Path(path_type=Path),
    help="File or folder with published weights; repeatable.",
)
