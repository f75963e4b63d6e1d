"""Inputs read one after the other in a child process, which a hang or a crash may end."""

import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bench.contracts import BadInput
from fuzz.readers import Reader

SECONDS = 10.0
"""An input that takes longer is a hang."""

MEMORY = 2 << 30
"""Bytes of address space that a reader may take beside what Python and torch have."""


@dataclass
class Tally:
    """What became of a reader's inputs; memory: KiB above what the process had before."""

    inputs: int = 0
    refused: int = 0
    accepted: int = 0
    others: list[str] = field(default_factory=list)
    slowest: float = 0.0
    memory: int = 0


def spoilt(reader: Reader, seeds: list[bytes], number: int, run: int) -> bytes:
    """The input of that number: the same in every process."""
    rng = Random(f"{reader.name}/{run}/{number}")
    return reader.spoil(rng, rng.choice(seeds), seeds)


def read(reader: Reader, file: Path) -> str:
    """`refused`, `accepted`, or what else was raised."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(file)
    except BadInput as error:
        line = str(error)
        return "refused" if line.isprintable() and len(line) < 3000 else "unprintable error"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "accepted"


def tallied(reader: Reader, inputs: int, *, run: int = 0, keep: Path | None = None) -> Tally:
    """Feed a reader; inputs that it should not have stumbled over are kept in a folder."""
    tally = Tally()
    while tally.inputs < inputs:
        first = tally.inputs
        status = _batch(reader, range(first, inputs), run, keep, tally)
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            what = "hang" if name == "SIGALRM" else f"crash {name}"
            tally.others.append(f"{what} at input {tally.inputs}")
            tally.inputs += 1
        elif tally.inputs < inputs:
            raise RuntimeError(f"the child of {reader.name} ended with {status}")
    return tally


def _batch(reader: Reader, numbers: range, run: int, keep: Path | None, tally: Tally) -> int:
    """Feed inputs in a child process until it ends; returns its exit status."""
    there, here = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(there)
        try:
            _feed(reader, numbers, run, keep, here)
            os._exit(0)
        except BaseException as error:
            print(f"{reader.name}: {error!r}", file=sys.stderr)
            os._exit(1)
    os.close(here)
    with os.fdopen(there, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            took, memory, said = line.rstrip("\n").split("\t", 2)
            tally.slowest = max(tally.slowest, float(took))
            tally.memory = max(tally.memory, int(memory))
            if said == "refused":
                tally.refused += 1
            elif said == "accepted":
                tally.accepted += 1
            else:
                tally.others.append(f"{said} at input {tally.inputs}")
            tally.inputs += 1
    return os.waitpid(child, 0)[1]


def _feed(reader: Reader, numbers: range, run: int, keep: Path | None, pipe: int) -> None:
    """In the child: a line for each input, of seconds, KiB and what became of it."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        file, seeds = reader.inputs(folder)
        read(reader, file)  # imports, caches
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in numbers:
            content = spoilt(reader, seeds, number, run)
            file.write_bytes(content)
            if keep is not None:
                (keep / f"{reader.name}.last").write_bytes(content)
            signal.setitimer(signal.ITIMER_REAL, SECONDS)  # which kills
            began = time.perf_counter()
            said = read(reader, file)
            took = time.perf_counter() - began
            signal.setitimer(signal.ITIMER_REAL, 0)
            if said not in ("refused", "accepted") and keep is not None:
                (keep / f"{reader.name}.{number}").write_bytes(content)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            line = " ".join(said.split())[:300]
            os.write(pipe, f"{took:.6f}\t{memory}\t{line}\n".encode("utf-8", "replace"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
