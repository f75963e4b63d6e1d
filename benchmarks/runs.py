"""One run: what was measured, where, by which command; one JSON file each."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.contracts import BadInput
from bench.documents import Form
from bench.files import write_whole
from bench.machine import Machine, load, this_machine
from bench.provenance import commit, hardware
from benchmarks.catalogue import chosen
from benchmarks.measuring import Request, Row, Skipped, brief

FORMAT = 1


@dataclass(frozen=True)
class Run:
    """What one call of `run` found.

    command: that was given; gpu, cuda: name of the GPU and version of CUDA, where a row is of one;
    busy: what else the machine did, in words, empty when nothing; skipped, failed: why a benchmark
    has no rows, or not all of them.
    """

    command: str
    time: str
    commit: str
    machine: Machine
    memory: float
    gpu: str
    busy: str
    rows: tuple[Row, ...]
    skipped: Mapping[str, str]
    failed: Mapping[str, str] = field(default_factory=dict)
    cuda: str = ""


_FILE = Form(
    Run, FORMAT, "runs of the benchmarks", "not a run of the benchmarks", "delete the file"
)


def run(names: Sequence[str], request: Request, command: str, say: Callable[[str], None]) -> Run:
    """Measure the named benchmarks, or all; a busy machine is said, and does not stop anything.

    Neither does a benchmark that fails: its error is said and kept, with the rows before it.
    """
    before = load()
    if not before.idle:
        say(f"warning: {before.words}: quote ratios alone")
    rows: list[Row] = []
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    for name, benchmark in chosen(names).items():
        say(f"measuring {name}: {benchmark.summary}")
        try:
            for row in benchmark.measure(request):
                rows.append(replace(row, benchmark=name))
        except Skipped as reason:
            say(f"skipped {name}: {reason}")
            skipped[name] = str(reason)
        except Exception as error:
            # Hours of other benchmarks may lie before it, and after it.
            say("".join(traceback.format_exception(error)).rstrip())
            failed[name] = brief(error)
            say(f"failed {name}: {failed[name]}")
    worst = max(before, load(), key=lambda each: each.busy)
    used = hardware(next((row.device for row in rows if row.device != "cpu"), "cpu"))
    return Run(
        command=command,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit(),
        machine=this_machine(),
        memory=used["memory"],
        gpu=used.get("gpu", ""),
        busy="" if worst.idle else worst.words,
        rows=tuple(rows),
        skipped=skipped,
        failed=failed,
        cuda=used.get("cuda", ""),
    )


def save(found: Run, folder: Path) -> Path:
    """Write a run to a file of its own; BadInput when it cannot be written."""
    path = folder / f"{found.time.replace(':', '')}.json"
    said = {"format": FORMAT, **asdict(found)}
    write_whole(
        path,
        json.dumps(said, indent=1),
        what="a run of the benchmarks",
        hint="choose another --out",
    )
    return path


def stored(folder: Path) -> list[Run]:
    """All runs in a folder, the oldest first; BadInput when there is none, or a damaged one."""
    found = [_FILE.read(path) for path in sorted(folder.glob("*.json"))]
    if not found:
        raise BadInput(
            "no stored runs", file=folder, hint="measure with `python -m benchmarks run`"
        )
    return sorted(found, key=lambda each: each.time)
