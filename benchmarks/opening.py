"""Start-up, and two million frames: opened, and evaluated within how much memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.contracts import BadInput
from bench.data import store
from bench.data.clips import Array, Clip, Dataset
from bench.evaluation import evaluate
from bench.protocols import Protocol, protocol
from benchmarks.measuring import Request, Row, apart, seconds_of
from benchmarks.memory import Watch
from benchmarks.workloads import Workload, workload

_FRAMES = 2_000_000
_WORKLOAD = "pw3d"
_MIB = 2**20

# Tells, at the end, whether anything brought torch along.
_HELP = """
import sys
from bench.cli import main
try:
    main(["--help"])
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


@dataclass(frozen=True)
class Cost:
    """Seconds, and the memory of the process at its largest, in bytes.

    resident: with the pages of files, which the system takes back when it needs them; private:
    without them.
    """

    seconds: float
    resident: int
    private: int


def measure(request: Request) -> list[Row]:
    """Start-up, opening and evaluation; each turn in a process of its own."""
    case = workload(_WORKLOAD)
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared"
        write(case, _FRAMES, prepared)
        opened = [apart(opening, 1, prepared).seconds for _ in range(request.turns)]
        # Once: a minute of work has no use for five turns.
        evaluated = apart(evaluation, 1, prepared, _WORKLOAD, "mixsynthformer")
    helped = [seconds_of(_help) for _ in range(request.turns)]
    title = f"{case.title}, 2 million frames"
    gib = evaluated.resident / 2**30
    about = {"seconds": evaluated.seconds, "private GiB": evaluated.private / 2**30}
    return [
        Row("opening", "bench --help", "s", "lower", {"ours": tuple(helped)}),
        Row("opening", f"{title}, opened", "s", "lower", {"ours": tuple(opened)}),
        Row("opening", f"{title}, evaluated", "GiB", "lower", {"ours": (gib,)}, about=about),
    ]


def write(case: Workload, frames: int, folder: Path) -> None:
    """Prepared data with a test split of so many frames, in clips of the dataset's mean length.

    All clips hold the same poses, so that nothing but the files is large.
    """
    pattern = case.with_clips(0, 1).build()
    (clip,) = pattern.clips["test"]
    detected, truth, box = (
        None if part is None else _tiled(part, case.test_frames)
        for part in (clip.detected, clip.truth, clip.box)
    )
    if detected is None or truth is None:
        raise BadInput("a clip needs poses")
    clips = []
    for number, begin in enumerate(range(0, frames, case.test_frames)):
        part = slice(0, min(case.test_frames, frames - begin))
        boxes = None if box is None else box[part]
        name = f"test/{number}"
        clips.append(Clip(name, name, detected[part], truth[part], clip.image, boxes))
    about = {name: getattr(pattern, name) for name in pattern.__dataclass_fields__}
    store.save(
        Dataset(**{**about, "clips": {"train": (), "validation": (), "test": tuple(clips)}}), folder
    )


def _tiled(values: Array, frames: int) -> Array:
    """The first frames, again and again where there are too few."""
    repeat = -(-frames // len(values))
    whole: Array = values.repeat(repeat, axis=0)[:frames] if repeat > 1 else values[:frames]
    return whole


def opening(folder: Path) -> Cost:
    """In a new process: what opening prepared data takes."""
    with Watch() as watch:
        seconds = seconds_of(lambda: store.load(folder))
    return Cost(seconds, watch.resident, watch.private)


def evaluation(folder: Path, name: str, method: str) -> Cost:
    """In a new process: what the evaluation of a prepared test split takes."""
    from bench import registry

    case = workload(name)
    used = protocol("deciwatch")
    if not isinstance(used, Protocol):
        raise BadInput("a protocol for recovery is needed", found=used.name)
    dataset = store.load(folder)
    built = case.method().eval() if method == "mixsynthformer" else None
    ready = built or registry.build(method, {}, case.window)
    with Watch() as watch:
        seconds = seconds_of(lambda: evaluate(ready, dataset, "test", used, case.window))
    return Cost(seconds, watch.resident, watch.private)


def _help() -> None:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _HELP], capture_output=True, text=True, check=True
    )
    if done.stderr.strip() != "False":
        raise BadInput("`bench --help` imports torch", found=done.stderr.strip())
