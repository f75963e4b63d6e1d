"""How long methods take on a CPU, measured in turns so that a slow phase hits all of them alike.

Threads are a matter of a process (OpenMP, MKL and ONNX Runtime keep their pools), so that every
number of threads has a process of its own. It is started before anything is measured, holds all
that is measured with so many threads, and waits while others have their turn. The calling
process keeps its threads as they are.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

from pydantic import Field

from bench.contracts import FOREIGN_ERRORS, BadInput, Fitted, Window
from bench.folding import folded, plain
from bench.stopping import follow_parent

if TYPE_CHECKING:
    from torch import Tensor

Engine = Literal["eager", "compiled", "onnx", "folded", "folded-onnx"]
"""PyTorch as it is; compiled by `torch.compile`; ONNX Runtime; the method's own form for inference
(`bench.contracts.Foldable`) in PyTorch, and in ONNX Runtime."""

Precision = Literal["float32", "bfloat16"]

ENGINES: tuple[Engine, ...] = get_args(Engine)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

ROUNDS = 5
"""Turns that every measurement has."""

# How far an engine may be from PyTorch as it is, relative to the largest value.
_AGREEMENT = {"float32": 1e-4, "bfloat16": 5e-2}

# Runs before the first turn: lazy set-up, caches, and the first choices of an allocator.
_WARM_UP = 3


@dataclass(frozen=True)
class Setup:
    """What is measured: a method built for a window, one engine, one batch, so many threads.

    options: hyper-parameters, as a JSON object.
    """

    method: str
    options: str
    window: Window
    engine: Engine
    precision: Precision
    batch: int
    threads: int

    @property
    def words(self) -> str:
        """`linear, onnx, float32, batch 1, 2 threads`."""
        batch, threads = f"batch {self.batch}", counted(self.threads, "thread")
        return ", ".join((self.method, self.engine, self.precision, batch, threads))


# Checked where it is read from a file: anything else is no time, and ratios of it no numbers.
Seconds = Annotated[float, Field(gt=1e-12, lt=1e9)]


@dataclass(frozen=True)
class Measured:
    """Seconds of one call, which recovers a batch of windows.

    median, low, high: the median and the quartiles of all blocks of calls; rounds: the median of
    every turn, so that two measurements of one run can be compared turn by turn; blocks: how many
    there were.
    """

    median: Seconds
    low: Seconds
    high: Seconds
    rounds: tuple[Seconds, ...]
    blocks: int

    @classmethod
    def of(cls, turns: Sequence[Sequence[float]]) -> Measured:
        """From the seconds per call of every block of every turn."""
        blocks = [seconds for turn in turns for seconds in turn]
        low, median, high = (
            statistics.quantiles(blocks, n=4, method="inclusive") if len(blocks) > 1 else blocks * 3
        )
        rounds = tuple(statistics.median(turn) for turn in turns)
        return cls(median, low, high, rounds, len(blocks))


def counted(number: int, noun: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def measure(
    setups: Sequence[Setup],
    *,
    seconds: float,
    plugins: Sequence[Path] = (),
    say: Callable[[str], None] = lambda _: None,
) -> list[Measured | str]:
    """Measure everything in turns; for each set-up its times, or why it has none.

    seconds: of each measurement, at least, over all its turns; say: told what is being done.
    BadInput when a process dies, as it does without enough memory.
    """
    turns: list[list[tuple[float, ...]]] = [[] for _ in setups]
    with ExitStack() as stack:
        stands = {}
        for threads in {setup.threads for setup in setups}:
            stands[threads] = process = _Process(threads, plugins)
            stack.callback(process.close)
        reasons = []
        for setup in setups:
            say(f"preparing {setup.words}")
            reasons.append(stands[setup.threads].ask("prepare", setup))
        for number in range(0 if all(reasons) else ROUNDS):
            say(f"measuring, turn {number + 1} of {ROUNDS}")
            for setup, reason, turn in zip(setups, reasons, turns, strict=True):
                if not reason:
                    turn.append(stands[setup.threads].ask("turn", setup, seconds / ROUNDS))
    return [reason or Measured.of(turn) for reason, turn in zip(reasons, turns, strict=True)]


class Stand:
    """What is ready to be measured in this process."""

    def __init__(self, threads: int) -> None:
        """threads: of this process from now on, in every engine."""
        import torch

        torch.set_num_threads(threads)
        # A limit of entries for one piece of code, beyond which nothing would be compiled.
        torch._dynamo.config.recompile_limit = 256
        self.threads = threads
        self._methods: dict[tuple[object, ...], Any] = {}
        self._ready: dict[Setup, Callable[[], object]] = {}

    def prepare(self, setup: Setup) -> str:
        """Build, compile or export, compare with PyTorch, warm up; why not, or nothing.

        What computes something else than PyTorch as it is is not measured.
        """
        import torch

        try:
            # Outside of inference mode, whose tensors cannot be traced for an export.
            method, given = self._built(setup)
            run = plain(method)
            with torch.no_grad():
                expected = run(given).float()
                call, result = _engine(setup, method, run, given)
            with torch.inference_mode():
                for _ in range(_WARM_UP):
                    found = result(call())
            off = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-6))
            if not off <= _AGREEMENT[setup.precision]:
                return f"its result is {off:.1g} off that of eager"
        except BadInput as error:
            return str(error)
        except FOREIGN_ERRORS as error:
            # What a compiler has to say goes on for many lines.
            return next(iter(str(error).strip().splitlines()), type(error).__name__)
        self._ready[setup] = call
        return ""

    def _built(self, setup: Setup) -> tuple[Any, Tensor]:
        """A method as if it had learned something, and a batch of what it is given."""
        import torch

        from bench.checks import Subject

        subject = Subject(setup.method, setup.window, json.loads(setup.options))
        kind = getattr(torch, setup.precision)
        # Fitting takes seconds, and engines and batches share what was fitted.
        key = (setup.method, setup.options, setup.window, setup.precision)
        method = self._methods.get(key)
        if method is None:
            self._methods[key] = method = subject.ready()
            if isinstance(method, torch.nn.Module):
                method.to(kind)
            elif isinstance(method, Fitted):
                state = method.state_dict()
                method.load_state_dict({name: x.to(kind) for name, x in state.items()})
        return method, subject.seen(subject.clips(setup.batch)[0]).clone().to(kind)

    def turn(self, setup: Setup, seconds: float) -> tuple[float, ...]:
        """Seconds per call of every block of calls, for so many seconds at least."""
        import torch
        from torch.utils.benchmark import Timer

        timer = Timer("call()", globals={"call": self._ready[setup]}, num_threads=self.threads)
        with torch.inference_mode():
            return tuple(timer.blocked_autorange(min_run_time=seconds).times)


def _engine(
    setup: Setup, method: Any, run: Callable[[Tensor], Tensor], given: Tensor
) -> tuple[Callable[[], object], Callable[[Any], Tensor]]:
    """A call without arguments, and what makes a tensor (float32) of what it returns."""
    import torch

    if setup.engine.startswith("folded"):
        method = run = folded(method)
    if setup.engine.endswith("onnx"):
        from bench.exporting import session, to_onnx

        if setup.precision != "float32":
            raise BadInput(f"ONNX Runtime is not measured in {setup.precision}")
        function = session(to_onnx(method, run, given), setup.threads)
        array = given.numpy()
        return lambda: function(array), torch.from_numpy
    if setup.engine == "compiled":
        run = cast("Callable[[Tensor], Tensor]", torch.compile(run, dynamic=False))
    return lambda: run(given), lambda found: found.float()


class _Process:
    """A process with a stand of its own, which ends when this one does."""

    def __init__(self, threads: int, plugins: Sequence[Path]) -> None:
        context = get_context("spawn")
        self._connection, other = context.Pipe()
        # A daemon: what is interrupted takes its processes with it.
        arguments = (other, threads, tuple(plugins))
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        other.close()

    def ask(self, what: Literal["prepare", "turn"], *given: object) -> Any:
        """What the stand's method of that name returns; BadInput when the process died."""
        try:
            self._connection.send((what, given))
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise BadInput(
                "a measuring process died; it may have run out of memory",
                hint="measure fewer methods or smaller batches at once",
            ) from error

    def close(self) -> None:
        """End the process, whatever it is at."""
        self._connection.close()
        self._process.kill()
        self._process.join()


def _serve(connection: Connection, threads: int, plugins: tuple[Path, ...]) -> None:
    """In a new process: do what is asked for, until nobody is there to ask."""
    follow_parent()
    # Numeric libraries read these when they are loaded, which is below.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    # Processes that compile would stay, and take time from what is measured.
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    from bench.registry import load_plugin

    for plugin in plugins:
        load_plugin(plugin)
    stand = Stand(threads)
    while True:
        try:
            what, given = connection.recv()
        except EOFError:
            return
        connection.send(getattr(stand, what)(*given))
