"""The command line with any values: a usage error or bad input, and never a traceback."""

import os
from random import Random

import pytest
from click.testing import CliRunner

from bench.cli import main

VALUES = (
    "", "0", "1", "-1", "2:3", "1e99", str(10**30), "nan", "table3", "all", "linear", "linear:x",
    "ridge,linear", "h36m-fcn", "pw3d-spin", "mpjpe", "mpjpe@80", "../../x", "/dev/null", "a\nb",
    "/etc/passwd", "\x1b[2J", "x" * 5000, "é", "--", "=", "[", "{a: 1}", "&a [*a]", "null",
    "deciwatch", "smoke", "cpu", "%s", "5:1", "2:20:0", ":", ",", "1,,2", "\u202e",
)  # fmt: skip
TRIES = int(os.environ.get("BENCH_FUZZ_COMMANDS", "40"))
OPTIONS = {
    "run": ("--methods", "--datasets", "--seeds", "--budget", "--metrics", "--protocol", "--by",
            "--checkpoints", "--selection", "--data", "--device", "--plugin", "--redo",
            "--workers"),
    "report": ("--methods", "--datasets", "--seeds", "--budget", "--metrics", "--protocol", "--by",
               "--checkpoints", "--data", "--plugin", "--selection"),
    "ablate": ("--method", "--preset", "--without", "--grid", "--datasets", "--interval", "--rt",
               "--intervals", "--protocol", "--name", "--depth", "--metrics", "--seeds", "--data"),
    "sweep": ("--interval", "--methods", "--dataset", "--frames", "--protocol", "--name",
              "--metrics", "--seeds", "--data"),
    "cost": ("--dataset", "--preset", "--interval", "--intervals", "--set", "--format"),
    "tables": ("--format", "--results", "--decimals", "--spread"),
    "audit": ("--results", "--format"),
    "show": ("--clip", "--methods", "--at", "--dataset", "--budget", "--data"),
    "list": ("--plugin", "--data"),
}  # fmt: skip


@pytest.mark.parametrize("command", OPTIONS)
def test_any_values_end_in_a_line_and_a_code(command: str, tmp_path) -> None:
    file = tmp_path / "no-folder"
    file.write_text("")
    for number in range(TRIES):
        rng = Random(f"{command}/{number}")
        words = [command]
        if command not in ("ablate", "sweep"):
            words += [rng.choice(VALUES) for _ in range(rng.randrange(3))]
        for option in rng.sample(OPTIONS[command], rng.randint(1, 2)):
            words += [option, rng.choice(VALUES)]
        if command in ("run", "report", "ablate", "sweep", "tables", "show"):
            # Whatever else is right, nothing can be written, so nothing is computed.
            words += ["--out", str(file)]
        done = CliRunner().invoke(main, words)
        assert done.exit_code in (0, 2), (words, done.output[-2000:], done.exception)
        assert done.exception is None or isinstance(done.exception, SystemExit), words
        assert "Traceback" not in done.output, words
        assert "\x1b" not in done.output, words
