"""Progress in a log and on a terminal."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from bench import progress
from bench.progress import Shown
from bench.results import Cell, Result


def cell(method: str = "ridge") -> Cell:
    return Cell("d-x", "f", method, "p", 1, {}, None, {}, "full", "smoke", {}, "last", 2)


def done(method: str = "ridge") -> Result:
    return Result(cell(method), "done", provenance={"seconds": 3.4})


NAMES = {cell(method).key: f"d-x {method} seed 2" for method in ("ridge", "mct")}


@pytest.fixture
def clock(monkeypatch):
    """Seconds that only the test lets pass."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_one_line_per_cell_and_not_more_than_now_and_then(clock):
    out = StringIO()
    with Shown(Console(file=out, width=40)) as shown:
        shown.say("d-x: making its stand-in, which is said in one line however long it is")
        shown.begin(2, 5, NAMES)
        shown.tell(cell().key, 0.2, "training, loss 1")
        clock[0] += 16
        shown.tell(cell().key, 0.5, "training, loss 0.5")
        shown.tell(cell().key, 0.6, "training, loss 0.4")
        shown.done(done())
        clock[0] += 16
        shown.tell(cell().key, 0.9, "late words of a finished cell")
        shown.done(Result(cell("mct"), "failed", error="RuntimeError: [red]no[/red]"))
    assert out.getvalue().splitlines() == [
        "d-x: making its stand-in, which is said in one line however long it is",
        "2 cells to run, 5 from earlier",
        "  [0/2] d-x ridge seed 2: 50 %, training, loss 0.5",
        "  [1/2] d-x ridge seed 2: 3 s",
        "  [2/2] d-x mct seed 2: failed: RuntimeError: [red]no[/red]",
    ]


@pytest.mark.parametrize(
    ("training", "about", "words"),
    [
        (None, {}, "its weights fitted in 1 min 2 s"),
        ({"windows": 9}, {}, "its weights trained in 1 min 2 s"),
        ({"windows": 9}, {"trained at once": 3}, "its weights trained with 2 more in 1 min 2 s"),
    ],
)
def test_what_was_learned_has_a_time_of_its_own(training, about, words):
    out = StringIO()
    learned = {"seconds": 3.4, "training": {"seconds": 61.7, **about}}
    with Shown(Console(file=out, width=80)) as shown:
        shown.begin(1, 0, NAMES)
        shown.done(Result(replace(cell(), training=training), "done", provenance=learned))
    assert out.getvalue().endswith(f": 3 s, {words}\n")


def test_nothing_is_said_when_nothing_is_computed():
    out = StringIO()
    with Shown(Console(file=out)) as shown:
        shown.begin(0, 7, {})
    assert out.getvalue() == ""


def test_a_terminal_gets_a_bar_that_counts_each_cell_once():
    out = StringIO()
    with Shown(Console(file=out, force_terminal=True, width=100)) as shown:
        shown.begin(2, 0, NAMES)
        shown.tell(cell().key, 0.5, "training")
        shown.done(done())
        shown.tell(cell().key, 0.7, "scoring")
        (task,) = shown._bar.tasks
        assert (task.completed, task.total) == (1.0, 2)
        assert task.description == "d-x ridge seed 2: scoring"
        shown.done(Result(cell("mct"), "failed", error="RuntimeError: no"))
        assert task.finished
    assert "d-x mct seed 2: failed: RuntimeError: no" in out.getvalue()
    assert "d-x ridge seed 2: 3 s" not in out.getvalue()
