"""`python -m benchmarks`: options and messages, no logic."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench.contracts import BadInput

_out = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out/benchmarks"),
    show_default=True,
    help="Folder for the runs.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Measure ours against the straightforward way, and both against the floor."""


@main.command("list")
def list_() -> None:
    """List the benchmarks."""
    from benchmarks.catalogue import BENCHMARKS

    for name, benchmark in BENCHMARKS.items():
        click.echo(f"{name:12} {benchmark.summary}")


@main.command()
@click.argument("names", nargs=-1)
@click.option("--turns", type=click.IntRange(2), default=5, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=2.0,
    show_default=True,
    help="How long each turn lasts at least.",
)
@click.option(
    "--device", default="cuda", show_default=True, help="Of the benchmark gpu; others use the CPU."
)
@click.option("--json", "raw", is_flag=True, help="Print what is stored, in place of a table.")
@_out
def run(
    names: tuple[str, ...], turns: int, seconds: float, device: str, raw: bool, out: Path
) -> None:
    """Measure NAMES, or everything; side by side in one run. Exit code 1 where anything failed."""
    from benchmarks.measuring import Request
    from benchmarks.report import text
    from benchmarks.runs import run as run_all
    from benchmarks.runs import save

    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    found = run_all(
        names, Request(turns, seconds, device), command, lambda line: click.echo(line, err=True)
    )
    path = save(found, out)
    click.echo(path.read_text(encoding="utf-8") if raw else text([found]))
    click.echo(f"stored in {path}", err=True)
    if found.failed:
        sys.exit(1)


@main.command()
@click.option("--markdown", is_flag=True, help="As docs/performance.md has it.")
@_out
def report(markdown: bool, out: Path) -> None:
    """Print the newest measurement of everything that is stored; measures nothing."""
    from benchmarks import report as reports
    from benchmarks.runs import stored

    found = stored(out)
    click.echo(reports.markdown(found) if markdown else reports.text(found))


@main.command()
@click.option(
    "--most",
    type=click.IntRange(100_000),
    default=10_000_000,
    show_default=True,
    help="Frames of the largest data set; 10 million take 3.2 GiB of temporary files.",
)
@click.option(
    "--figures",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the figures. Default: OUT.",
)
@click.option("--draw", is_flag=True, help="Measure nothing; draw what is stored.")
@_out
def growth(most: int, figures: Path | None, draw: bool, out: Path) -> None:
    """Measure how time and memory grow, and draw it."""
    from benchmarks import figures as drawing
    from benchmarks import growth as growing

    path = out / "growth" / "growth.json"
    if not draw:
        command = " ".join(["python -m benchmarks", *sys.argv[1:]])
        found = growing.measure(command, most, lambda line: click.echo(line, err=True))
        growing.save(found, path)
    for drawn in drawing.draw(growing.stored(path), figures or out):
        click.echo(drawn)


@main.command()
@click.argument("what", type=click.Choice(("training", "straightforward", "evaluation")))
@click.argument("size", type=click.Choice(("jhmdb", "pw3d", "h36m")))
@click.option("--device", default="cpu", show_default=True)
def profile(what: str, size: str, device: str) -> None:
    """Print the operations that take longest in WHAT of a SIZE."""
    from benchmarks.profiling import profiled

    click.echo(profiled(what, size, device))


if __name__ == "__main__":
    try:
        main()
    except BadInput as error:
        click.echo(f"benchmarks: {error}", err=True)
        sys.exit(BadInput.exit_code)
