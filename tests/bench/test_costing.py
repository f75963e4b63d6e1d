"""Lines of costs, and how they are printed."""

from __future__ import annotations

import csv as reader
import json
from pathlib import Path

import pytest

from bench import costing
from bench.contracts import BadInput, Span, Window
from bench.costing import Asked, Line, costs, parsed

PLUGIN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class _Options:
    fail: bool = False

class Halting:
    title, source, revision, Options = "halts & fails", "here", 1, _Options
    name = "halting"
    def __init__(self, options, window):
        self.fail = options.fail
    def recover(self, keyframes):
        if self.fail:
            raise ValueError("no such thing")
        return keyframes
"""


def one(*methods: str, **asked: object) -> Line:
    (line,) = costs(Asked(methods, **asked))
    return line


def printed(*methods: str, width: int = 120, **asked: object) -> list[str]:
    lines = costing.text(costs(Asked(methods, **asked)), width=width, plain=True)
    return [line.plain for line in lines]


def test_a_line_has_what_its_preset_and_dataset_say() -> None:
    line = one("mixsynthformer", datasets=("pw3d-spin",))
    assert (line.preset, line.name) == ("released", "mixsynthformer:released")
    assert line.geometry == Window(10, 5, 14, 3)
    assert line.cost is not None
    assert line.cost.parameters == 54_391
    assert line.estimator == pytest.approx(0.413)
    assert line.total == pytest.approx(0.413 + line.cost.macs / 1e9)


@pytest.mark.parametrize(
    ("method", "preset", "chosen"),
    [
        ("mixsynthformer", None, "released"),
        ("mct", None, "paper"),
        ("linear", None, "default"),
        ("mixsynthformer", "quick", "quick"),
        ("mixsynthformer:paper", "quick", "paper"),
        ("linear", "quick", "default"),
    ],
)
def test_preset(method: str, preset: str | None, chosen: str) -> None:
    assert one(method, preset=preset).preset == chosen


def test_a_preset_that_a_named_method_has_not_is_refused() -> None:
    with pytest.raises(BadInput, match="unknown preset 'released' of mct"):
        costs(Asked(("mct",), preset="released"))


def test_what_is_asked_for_comes_before_the_preset() -> None:
    line = one("mixsynthformer", interval=5, intervals=2, options={"width": 8})
    assert line.geometry == Window(5, 2, 17, 3)
    assert line.options == {"width": 8}


def test_an_option_brings_what_it_asks_for() -> None:
    line = one("mixsynthformer", options={"attention": "vanilla"})
    assert line.options == {"branches": "temporal", "reweight": "none", "attention": "vanilla"}


def test_a_refiner_needs_the_estimator_at_every_frame() -> None:
    line = one("estimator")
    assert (line.estimator, line.total) == (6.21, 6.21)


def test_every_method_of_the_datasets_task() -> None:
    names = {line.method for line in costs(Asked(datasets=("h36m-motion",)))}
    assert {"zero-velocity", "dct-ridge", "stsgcn", "simlpe"} <= names
    assert "linear" not in names


def test_prediction_has_no_estimator() -> None:
    line = one("stsgcn:single", datasets=("h36m-motion",))
    assert line.geometry == Span(10, 25, 22, 3)
    assert line.cost is not None
    assert (line.cost.parameters, line.estimator, line.total) == (57_531, None, None)


def test_datasets_of_another_task_are_refused() -> None:
    with pytest.raises(BadInput, match="linear is not for h36m-motion"):
        costs(Asked(("linear",), datasets=("h36m-motion",)))


def test_a_method_that_cannot_be_built_is_refused_where_it_was_named() -> None:
    with pytest.raises(BadInput, match="too few keyframes for cubic"):
        costs(Asked(("cubic",), datasets=("jhmdb-simplepose",)))


def test_a_method_that_cannot_be_built_keeps_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costing.registry, "method_names", lambda: ["cubic", "linear"])
    cubic, linear = costs(Asked(datasets=("jhmdb-simplepose",)))
    assert cubic.cost is None
    assert linear.cost is not None
    lines = [line.plain for line in costing.text([cubic, linear], width=120, plain=True)]
    row = next(line for line in lines if line.startswith("cubic"))
    assert row.split() == ["cubic", "11", "-", "-", "-", "1.1960", "-"]
    assert any(line.startswith("cubic on jhmdb-simplepose: too few keyframes") for line in lines)


def test_a_named_method_that_fails_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "halting.py"
    path.write_text(PLUGIN)
    assert one("halting", options={"fail": False}, plugins=(path,)).cost is not None
    with pytest.raises(BadInput, match=r"halting cannot be built on .*ValueError: no such thing"):
        one("halting", options={"fail": True}, plugins=(path,))


@pytest.mark.parametrize(
    ("text", "value"),
    [("width=64", 64), ("dead_weights=false", False), ("norm=post", "post"), ("a=[1, 2]", [1, 2])],
)
def test_settings(text: str, value: object) -> None:
    assert parsed([text]) == {text.partition("=")[0]: value}


@pytest.mark.parametrize("text", ["width", "=3", "width=[1"])
def test_settings_that_cannot_be_read(text: str) -> None:
    with pytest.raises(BadInput, match="cannot read the setting"):
        parsed([text])


def test_text() -> None:
    lines = printed("mixsynthformer", "linear", options={}, datasets=("h36m-fcn", "h36m-sh"))
    assert lines[0] == "Human3.6M / FCN (h36m-fcn), K=10, FCN at 6.21 G"
    name, frames = "mixsynthformer:released", "  101     "
    assert lines[3] == f"{name}{frames}211 003  194 363  0.1193     0.1416    0.6210     0.62114"
    assert (
        lines[4]
        == f"{'linear':23}{frames}      0        0  -          0.0000    0.6210     0.62100"
    )
    # Nothing is published of the estimator of h36m-sh.
    assert lines[6] == "Human3.6M / stacked hourglass (h36m-sh), K=10"
    assert "estimator" not in lines[8]


def test_text_says_what_was_set() -> None:
    lines = printed("mixsynthformer", options={"width": 32})
    assert lines[-1] == "mixsynthformer:released: with width=32"


def test_text_fits() -> None:
    assert max(map(len, printed("mixsynthformer", "mct", width=80))) <= 80


def test_markdown_and_tex() -> None:
    lines = costs(Asked(("mixsynthformer:quick", "linear")))
    row = "MixSynthFormer | 101 | 99 961 | 99 961 | 0.0626 | 0.0743 | 0.6210 | 0.62107"
    assert f"| {row} |" in costing.markdown(lines).splitlines()
    tex = costing.tex(lines)
    assert f"{row.replace('|', '&')} \\\\" in tex.splitlines()
    assert tex.count(r"\begin") == tex.count(r"\end") == 2


def test_csv() -> None:
    lines = costs(Asked(("mixsynthformer", "linear"), options={}))
    ours, linear = reader.DictReader(costing.csv(lines).splitlines())
    assert (ours["method"], ours["preset"], ours["interval"]) == (
        "mixsynthformer",
        "released",
        "10",
    )
    assert float(ours["macs_published"]) == pytest.approx(119_302.86, abs=0.01)
    assert float(ours["total_g"]) == pytest.approx(0.621141558)
    assert (linear["macs_published"], linear["history"], linear["options"]) == ("", "", "")
    (changed,) = reader.DictReader(
        costing.csv([one("mixsynthformer", options={"width": 8})]).splitlines()
    )
    assert json.loads(changed["options"]) == {"width": 8}
