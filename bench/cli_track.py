"""The commands around MLflow: options and messages, no logic."""

from __future__ import annotations

from pathlib import Path

import click

from bench import options


@click.command()
@click.option("--mlflow", is_flag=True, required=True, expose_value=False, help="To MLflow.")
@options.out("Folder with the results.")
def export(out: Path) -> None:
    """Copy all results, tables, weights and trials of a folder to where they can be browsed.

    What is there already is not written again. The store is OUT/mlflow.db, or what
    MLFLOW_TRACKING_URI names.
    """
    from bench.tracking.flush import export as exported

    for one in exported(out):
        options.echo(f"{one.experiment}: {one.new} written, {one.same} there already")


@click.command()
@options.out("Folder with the store, OUT/mlflow.db.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=5000,
    show_default=True,
    help="Port to listen at; 0 for any that is free.",
)
def mlflow(out: Path, host: str, port: int) -> None:
    """Open MLflow's pages for a folder, until Ctrl-C."""
    from bench.tracking.server import pages, serving

    if address := pages(out):
        options.echo(f"{address} is a server of its own (MLFLOW_TRACKING_URI)")
        return
    with serving(out, host, port) as (address, process):
        options.echo(f"MLflow shows {out} at {address}; Ctrl-C ends it")
        try:
            process.wait()
        except KeyboardInterrupt:
            options.echo("")
