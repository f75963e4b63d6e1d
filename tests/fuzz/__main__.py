"""Feed every reader with spoilt files and say what became of them: `python -m fuzz`.

Run it with `tests` on the path, as `tox -e fuzz` does.
"""

import sys
from pathlib import Path

import click
import torch

from fuzz.readers import BY_NAME, READERS
from fuzz.running import tallied


@click.command()
@click.option("--inputs", default=110_000, show_default=True, help="In all.")
@click.option("--reader", "names", multiple=True, type=click.Choice(list(BY_NAME)))
@click.option("--engine", type=click.Choice(("spoil", "atheris")), default="spoil")
@click.option("--run", default=0, show_default=True, help="Another number, other inputs.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for inputs that fail.")
def main(inputs: int, names: tuple[str, ...], engine: str, run: int, keep: Path | None) -> None:
    """Print a line for each reader; exit with 1 where anything but BadInput came out."""
    torch.set_num_threads(1)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    readers = [BY_NAME[name] for name in names] or list(READERS)
    if engine == "atheris":
        from fuzz import guided as engine_of

        tally_of = engine_of.tallied
    else:
        tally_of = tallied
    whole = sum(reader.share for reader in readers)
    heads = ("reader", "inputs", "refused", "accepted", "other", "slowest ms", "peak MiB")
    click.echo(f"| {' | '.join(heads)} |\n| :-- |{' --: |' * (len(heads) - 1)}")
    others: list[str] = []
    sums = [0, 0, 0, 0]
    for reader in readers:
        tally = tally_of(reader, round(inputs * reader.share / whole), run=run, keep=keep)
        counts = [tally.inputs, tally.refused, tally.accepted, len(tally.others)]
        sums = [a + b for a, b in zip(sums, counts, strict=True)]
        cells = [reader.name, *counts, f"{tally.slowest * 1e3:.0f}", f"{tally.memory / 1024:.0f}"]
        click.echo(f"| {' | '.join(map(str, cells))} |")
        others += [f"{reader.name}: {said}" for said in tally.others]
    click.echo(f"| all | {' | '.join(map(str, sums))} | | |")
    for said in others[:50]:
        click.echo(said, err=True)
    sys.exit(bool(others))


if __name__ == "__main__":
    main()
