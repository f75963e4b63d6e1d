"""Options that commands share: names separated by commas, and what each command says of them."""

import click
import pytest
from click.testing import CliRunner

from bench import options
from bench.cli import main
from bench.cli_show import show


@click.command()
@click.option("--names", type=options.Names())
@options.budget("How long.")
@options.out("Where to.")
def echo(names, budget, out):
    click.echo((names, budget, out.name))


@pytest.mark.parametrize(
    ("text", "names"), [("a", ("a",)), (" a , b:c,", ("a", "b:c")), ("a,,a", ("a", "a"))]
)
def test_names_are_separated_by_commas(text: str, names: tuple[str, ...]) -> None:
    result = CliRunner().invoke(echo, ["--names", text])
    assert result.output == f"{(names, 'quick', 'out')}\n"


@pytest.mark.parametrize("text", ["", " , "])
def test_no_name_is_refused(text: str) -> None:
    result = CliRunner().invoke(echo, ["--names", text])
    assert result.exit_code == 2
    assert "expected one or more names separated by commas" in result.output


def test_a_command_says_what_its_options_decide() -> None:
    said = CliRunner().invoke(echo, ["--help"]).output
    assert "[smoke|quick|paper]  How long.  [default: quick]" in said
    assert "Where to.  [default: out]" in said


@pytest.mark.parametrize("name", ["data", "checkpoints", "plugins", "methods"])
def test_run_and_show_agree_on_what_they_share(name: str) -> None:
    run, prediction = (
        next(each for each in command.params if each.name == name)
        for command in (main.commands["run"], show.commands["prediction"])
    )
    assert run.opts == prediction.opts
    assert run.multiple == prediction.multiple
    assert type(run.type) is type(prediction.type)


def test_the_help_says_what_is_benchmarked_and_where_things_go() -> None:
    words = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    assert "from sparse keyframes, and motion prediction." in words
    words = " ".join(CliRunner().invoke(main, ["run", "--help"]).output.split())
    assert "Folder for results, weights and tables." in words
