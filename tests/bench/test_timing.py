"""Times are measured in turns, in processes of their own, of what computes the right thing."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bench import exporting, timing
from bench.contracts import BadInput, Window
from bench.timing import ROUNDS, Measured, Setup, Stand, measure

WINDOW = Window(3, 3, 2, 2)

needs_runtime = pytest.mark.skipif(
    bool(exporting.missing_packages()),
    reason=f"not installed: {', '.join(exporting.missing_packages())}",
)


def setup(method: str = "linear", **changed: object) -> Setup:
    said: dict = {
        "options": "{}",
        "window": WINDOW,
        "engine": "eager",
        "precision": "float32",
        "batch": 2,
        "threads": 1,
    }
    return Setup(method, **{**said, **changed})


@pytest.fixture
def stand() -> Iterator[Stand]:
    threads = torch.get_num_threads()
    yield Stand(1)
    torch.set_num_threads(threads)


def test_quartiles_are_of_all_blocks_and_rounds_of_each_turn() -> None:
    found = Measured.of([[1.0, 2.0, 3.0], [4.0, 5.0]])
    assert (found.low, found.median, found.high) == (2.0, 3.0, 4.0)
    assert found.rounds == (2.0, 4.5)
    assert found.blocks == 5


def test_one_block_has_no_spread() -> None:
    assert Measured.of([[2.0]]) == Measured(2.0, 2.0, 2.0, (2.0,), 1)


@pytest.mark.parametrize("method", ["linear", "ridge", "estimator"])
def test_eager_methods_and_refiners_are_measured(stand: Stand, method: str) -> None:
    asked = setup(method)
    assert stand.prepare(asked) == ""
    blocks = stand.turn(asked, 0.002)
    assert blocks
    assert all(0 < seconds < 1 for seconds in blocks)


def test_a_turn_measures_the_method_and_lasts_as_long_as_asked(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    from methods.interpolation import Linear

    recover = Linear.recover

    def slow(self: Linear, keyframes: torch.Tensor) -> torch.Tensor:
        time.sleep(0.01)
        return recover(self, keyframes)

    monkeypatch.setattr(Linear, "recover", slow)
    assert stand.prepare(setup()) == ""
    began = time.perf_counter()
    blocks = stand.turn(setup(), 0.05)
    assert time.perf_counter() - began >= 0.05
    assert all(seconds >= 0.01 for seconds in blocks)


def test_networks_are_measured_in_bfloat16_but_not_by_onnx(stand: Stand) -> None:
    options = json.dumps({"width": 8, "depth": 1})
    assert stand.prepare(setup("deciwatch", options=options, precision="bfloat16")) == ""
    assert stand.prepare(setup("ridge", precision="bfloat16")) == ""
    reason = stand.prepare(setup(engine="onnx", precision="bfloat16"))
    assert "bfloat16" in reason


@needs_runtime
@pytest.mark.parametrize(
    ("method", "options"), [("ridge", {}), ("mct", {"width": 8, "depth": 1, "feed": 8})]
)
def test_onnx_is_measured_beside_eager(stand: Stand, method: str, options: dict) -> None:
    for engine in ("eager", "onnx"):
        asked = setup(method, engine=engine, options=json.dumps(options))
        assert stand.prepare(asked) == ""
        assert stand.turn(asked, 0.002)


@needs_runtime
@pytest.mark.parametrize("method", ["mixsynthformer", "deciwatch"])
def test_folded_forms_are_measured(stand: Stand, method: str) -> None:
    options = json.dumps({"width": 8, "depth": 1})
    for engine in ("folded", "folded-onnx"):
        asked = setup(method, engine=engine, options=options)
        assert stand.prepare(asked) == ""
        assert stand.turn(asked, 0.002)
    assert (
        stand.prepare(setup(method, engine="folded", options=options, precision="bfloat16")) == ""
    )


@pytest.mark.parametrize("engine", ["folded", "folded-onnx"])
def test_a_method_without_a_folded_form_says_so(stand: Stand, engine: str) -> None:
    assert stand.prepare(setup(engine=engine)) == "it has no folded form"


def test_without_a_compiler_the_reason_is_one_line(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiled(*_: object, **__: object) -> None:
        raise RuntimeError("No working C++ compiler found\nSet TORCHDYNAMO_VERBOSE=1")

    monkeypatch.setattr(torch, "compile", compiled)
    assert stand.prepare(setup(engine="compiled")) == "No working C++ compiler found"


def test_what_computes_something_else_is_not_measured(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda run, **_: lambda given: run(given) * 1.01)
    asked = setup(engine="compiled")
    assert "off that of eager" in stand.prepare(asked)
    with pytest.raises(KeyError):
        stand.turn(asked, 0.001)


@pytest.mark.slow
def test_compiled_is_measured(stand: Stand) -> None:
    assert stand.prepare(setup(engine="compiled")) == ""
    assert stand.turn(setup(engine="compiled"), 0.002)


def test_processes_take_turns_and_leave_this_one_as_it_is(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "import os\n"
        "import torch\n"
        "from dataclasses import dataclass\n"
        "class Counting:\n"
        "    title, source, revision, name = 'counting', 'test', 1, 'counting-threads'\n"
        "    @dataclass(frozen=True)\n"
        "    class Options:\n"
        "        expected: int = 0\n"
        "    def __init__(self, options, window):\n"
        "        self.expected, self.window = options.expected, window\n"
        "    def recover(self, keyframes):\n"
        "        found = torch.get_num_threads(), int(os.environ['OMP_NUM_THREADS'])\n"
        "        if found != (self.expected, self.expected):\n"
        "            raise ValueError(f'threads {found}')\n"
        "        return keyframes[:, :1].expand(-1, self.window.frames, -1)\n"
    )
    here = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    setups = [
        setup("counting-threads", threads=threads, options=json.dumps({"expected": expected}))
        for threads, expected in ((1, 1), (2, 2), (2, 3))
    ]
    said: list[str] = []
    found = measure(setups, seconds=0.01, plugins=(plugin,), say=said.append)
    assert [type(each) for each in found] == [Measured, Measured, str]
    assert found[2] == "threads (2, 2)"
    assert all(len(each.rounds) == ROUNDS for each in found[:2])
    assert said[0] == "preparing counting-threads, eager, float32, batch 2, 1 thread"
    assert said[-1] == f"measuring, turn {ROUNDS} of {ROUNDS}"
    assert (torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")) == here


def test_measurements_are_interleaved(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, str, str]] = []

    class Recorded:
        def __init__(self, threads: int, plugins: object) -> None:
            self.threads = threads

        def ask(self, what: str, setup: Setup, *_: object) -> object:
            asked.append((self.threads, what, setup.method))
            return "" if what == "prepare" else (1.0,)

        def close(self) -> None:
            asked.append((self.threads, "close", ""))

    monkeypatch.setattr(timing, "_Process", Recorded)
    measure([setup(), setup("cubic"), setup(threads=2)], seconds=1.0)
    one_round = [(1, "turn", "linear"), (1, "turn", "cubic"), (2, "turn", "linear")]
    assert asked[3:-2] == one_round * ROUNDS
    assert {entry[1] for entry in asked[-2:]} == {"close"}


def test_a_process_that_dies_is_one_line(tmp_path: Path) -> None:
    plugin = tmp_path / "fatal.py"
    plugin.write_text(
        "import os\n"
        "from dataclasses import dataclass\n"
        "class Fatal:\n"
        "    title, source, revision = 'fatal', 'test', 1\n"
        "    @dataclass(frozen=True)\n"
        "    class Options:\n"
        "        pass\n"
        "    def __init__(self, options, window):\n"
        "        os._exit(9)\n"
        "    def recover(self, keyframes):\n"
        "        return keyframes\n"
    )
    with pytest.raises(BadInput, match="a measuring process died"):
        measure([setup("fatal")], seconds=0.01, plugins=(plugin,))
