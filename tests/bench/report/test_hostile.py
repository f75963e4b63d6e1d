"""Names and reasons of others in every form of a table: printed, never acted on."""

import csv as reading
import io
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from fuzz.readers import CELL, RESULT
from rich.console import Console

from bench import config as configs
from bench.contracts import BadInput, printable
from bench.plans import Plan, load, save
from bench.report import csv, figure, write
from bench.report.latex import latex
from bench.report.markdown import markdown
from bench.report.terminal import draw, show
from bench.report.tex import escape
from bench.results import Cell, Planned, Results

HOSTILE = (
    "\x1b[2J\x1b]0;x\x07a\x00b\u202eb\x9bc<script>alert(1)</script>&amp;|$\\frac{$\\input{/etc/passwd}"
    "%#_^~{}\"'`*[a](http://b)\r\n=1+1\ud800"
)


def table(text: str, status: str = "done"):
    """A table whose titles, labels, notes and reasons are all this text."""
    config = configs.table_config("table3")
    columns = tuple(c.model_copy(update={"label": text + c.key}) for c in config.columns)
    row = config.rows[1].model_copy(update={"note": text, "differs": text})
    config = config.model_copy(
        update={"title": text, "columns": columns, "rows": (row,), "notes": (text,), "source": text}
    )
    result = replace(
        RESULT,
        status=status,
        error=text,
        dataset={**RESULT.dataset, "title": text, "origin": text, "notes": [text]},
    )
    return Plan("table3", config, (Planned(0, 2, CELL),)).drawn([result])


@pytest.fixture(params=[HOSTILE, HOSTILE * 80], ids=["short", "10 000 characters"])
def hostile(request):
    return table(request.param)


def safe(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def test_a_terminal_is_told_nothing_but_text(hostile) -> None:
    assert all(safe(line.plain) for line in draw(hostile, width=90, plain=True))


def test_nor_in_the_long_form_and_with_styles() -> None:
    hostile = table(HOSTILE)
    console = Console(file=io.StringIO(), force_terminal=True, width=90, color_system=None)
    show(hostile, console, long=True)
    escapes = set(re.findall(r"\x1b.{0,2}", console.file.getvalue()))
    assert all(sign.startswith("\x1b[") and sign[2:].isdigit() for sign in escapes)


def test_latex_has_no_command_of_theirs(hostile) -> None:
    drawn = latex(hostile)
    assert safe(drawn.replace("\t", ""))
    theirs = drawn.split(r"\begin{table*}", 1)[1]
    # Two backslashes end a line.
    assert not re.search(r"(?<!\\)\\(input|frac)|(?<!\\)[%$]\\?(#|f)|<script", theirs)
    assert "\\textbackslash{}input\\{/etc/passwd\\}" in drawn


def test_markdown_has_no_mark_up_of_theirs(hostile) -> None:
    drawn = markdown(hostile)
    assert safe(drawn)
    assert not re.search(r"(?<!\\)(<script|\]\(http|\|[^ :\n-]|\$)", drawn)
    assert "\\<script\\>" in drawn


def test_csv_has_no_formula_and_one_line_for_each_number(hostile) -> None:
    lines = list(reading.DictReader(io.StringIO(csv.csv(hostile))))
    for line in lines:
        for name, value in line.items():
            number = re.fullmatch(r"-?[\d.e+-]+", value)
            assert number or not value.startswith(("=", "+", "-", "@", "\t", "\r")), (name, value)
            assert value.isprintable()


def test_a_formula_is_text_and_a_number_is_a_number() -> None:
    line = csv.plain({"a": "=HYPERLINK(1)", "b": -1.5, "c": "-", "d": " @x", "e": "5 - 3"})
    assert line == {"a": "'=HYPERLINK(1)", "b": -1.5, "c": "-", "d": "' @x", "e": "5 - 3"}


def test_figures_take_a_formula_for_a_name(tmp_path) -> None:
    drawn = figure.against_interval(table(HOSTILE), tmp_path)
    assert [path.suffix for path in drawn] == [".pdf", ".svg", ".png"]
    assert safe(drawn[1].read_text(encoding="utf-8"))


def test_a_failure_may_say_anything(tmp_path) -> None:
    failed = table(HOSTILE, "failed")
    assert all(safe(line.plain) for line in draw(failed, width=90, plain=True, long=True))
    for path in write(failed, tmp_path):
        assert safe(path.read_text(encoding="utf-8").replace("\t", ""))


def test_printable_keeps_the_length_and_all_that_is_seen() -> None:
    assert printable("é ± 日本") == "é ± 日本"
    assert printable("a\x1b[2J\n\u202e\u00a0b\ud800") == "a?[2J ? b?"
    assert escape("\x1b\\x") == " \\textbackslash{}x"


def test_an_error_is_one_short_line(tmp_path) -> None:
    line = str(BadInput("a" * 50_000, file="\x1b]0;x\x07", clip="b\nc", found="\ud800"))
    assert line.isprintable()
    assert len(line) < 2100


NAMES = ("../../x", "/x", "..", "a\0b", "a" * 10_000, "a\nb", "x\\y", "~", "-rf", "\ud800", "CON:")


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_the_output_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "out"
    cell = replace(CELL, dataset=name, method=name)
    path = Results(folder).put(replace(RESULT, cell=cell))
    assert path.parent == folder / "results"
    assert len(path.name) < 255
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]
    assert configs.method_config(name).presets["default"].options == {}
    assert Results(folder).path(replace(cell, seed=1)) != path


def test_other_names_give_other_files_and_plain_ones_are_as_they_were() -> None:
    def named(name: str) -> Cell:
        return replace(CELL, dataset=name)

    assert named("a/b").key != named("a-b").key
    assert CELL.key.startswith("pw3d-spin_linear_s0_")


def test_a_plan_with_foreign_names_stays_in_its_folder(tmp_path: Path) -> None:
    secret = tmp_path / "x.json"
    secret.write_text("{}")
    cell = replace(CELL, dataset="../../x", method="../../x")
    plan = Plan("table3", configs.table_config("table3"), (Planned(1, 2, cell),))
    loaded = load(save(plan, tmp_path / "out"))
    assert loaded.stored(tmp_path / "out") == []
    for name in ("../x", "a/b", "", ".x", "a" * 300):
        with pytest.raises(BadInput):
            save(replace(plan, name=name), tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["out", "x.json"]


def test_a_link_in_the_place_of_a_result_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("as it was")
    results = Results(tmp_path / "out")
    results.folder.mkdir(parents=True)
    results.path(CELL).symlink_to(target)
    results.put(RESULT)
    assert target.read_text() == "as it was"
    assert results.get(CELL) == RESULT
