"""The command `bench cost` by itself."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from bench.cli_cost import cost
from bench.contracts import BadInput


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(cost, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_prints_costs() -> None:
    output = printed("mixsynthformer", "deciwatch", "--dataset", "pw3d-spin")
    assert output.startswith("3DPW / SPIN (pw3d-spin), K=10, SPIN at 4.13 G\n")
    ours, other = (line.split() for line in output.splitlines()[3:5])
    assert ours[:8] == [
        "mixsynthformer:released",
        "51",
        "54",
        "391",
        "50",
        "167",
        "0.0311",
        "0.0365",
    ]
    assert other[:6] == ["deciwatch:released", "101", "242", "708", "242", "708"]


def test_takes_geometry_and_options() -> None:
    output = printed(
        *("mixsynthformer", "--dataset", "pw3d-pare", "--interval", "5", "--format", "csv"),
        *("--set", "reduction_t=1", "--set", "reduction_s=4"),
    )
    line = output.splitlines()[1]
    assert line.startswith("pw3d-pare,mixsynthformer,released,")
    assert ",5,10,,,59746," in line


@pytest.mark.parametrize("form", ["markdown", "tex"])
def test_formats(form: str) -> None:
    assert "0.62100" in printed("linear", "--format", form)


def test_bad_input_is_left_to_the_group() -> None:
    with pytest.raises(BadInput, match="did you mean ridge"):
        printed("rigde")


def test_help_imports_nothing_heavy() -> None:
    program = "import sys, bench.cli_cost; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
