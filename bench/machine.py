"""Which machine this is, how many cores it has, and whether others use them at the moment."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from bench.provenance import hardware

_VERSIONS = ("torch", "onnxruntime")

# So large a share of all cores may be busy with the work of a desktop that nobody uses.
_IDLE = 0.1

# What /proc/stat counts as time in which a core does nothing: idle, and waiting for a disk.
_RESTING = slice(3, 5)
# User, nice, system, idle, iowait, irq, softirq, steal; guests are in `user` already.
_COUNTED = 8

Reading = tuple[int, int]
"""Ticks since the start, summed over all cores: busy ones, and all."""


@dataclass(frozen=True)
class Machine:
    """What times depend on: those of two machines do not stand in one table.

    cores: that this process may use; system: kernel and architecture; versions: of Python and of
    what computes.
    """

    cpu: str
    cores: int
    system: str
    versions: Mapping[str, str]

    @property
    def key(self) -> str:
        """Eight hexadecimal digits, for the names of files."""
        said = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:8]

    @property
    def words(self) -> str:
        """`AMD EPYC, 2 cores, Linux x86_64, python 3.11.7, torch 2.13.0`."""
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        versions = (f"{name} {version}" for name, version in self.versions.items())
        return ", ".join((self.cpu, cores, self.system, *versions))


def this_machine() -> Machine:
    """The machine that this process runs on; packages that are not installed have no version."""
    found = hardware("cpu")
    versions = {"python": platform.python_version()}
    for name in _VERSIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    system = f"{platform.system()} {platform.machine()}"
    return Machine(found["cpu"], found["cores"], system, versions)


def physical_cores(info: Path = Path("/proc/cpuinfo")) -> int:
    """Cores that this process may use, two threads of one core counted once where that is known."""
    usable = hardware("cpu")["cores"]
    if not info.is_file():
        return int(usable)
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    places: set[tuple[str, str]] = set()
    for block in info.read_text(encoding="utf-8", errors="replace").split("\n\n"):
        pairs = (line.partition(":") for line in block.splitlines())
        said = {name.strip(): value.strip() for name, _, value in pairs}
        known = {"processor", "physical id", "core id"} <= said.keys()
        if known and (allowed is None or int(said["processor"]) in allowed):
            places.add((said["physical id"], said["core id"]))
    return min(len(places), usable) or int(usable)


@dataclass(frozen=True)
class Load:
    """How many of a machine's cores were busy with other work, and how that is known."""

    busy: float
    cores: int
    known: str

    @property
    def idle(self) -> bool:
        """Whether so little else runs that times mean something."""
        return self.busy <= _IDLE * self.cores

    @property
    def words(self) -> str:
        """`1.4 of 2 cores busy with other work (measured for 1 s)`."""
        return f"{self.busy:.1f} of {self.cores} cores busy with other work ({self.known})"


def read_ticks(file: Path = Path("/proc/stat")) -> Reading | None:
    """Ticks of all cores together, None where the system does not count them in this file."""
    try:
        first = file.read_text(encoding="ascii").partition("\n")[0].split()
        ticks = [int(value) for value in first[1 : 1 + _COUNTED]]
    except (OSError, ValueError):
        return None
    if first[:1] != ["cpu"] or len(ticks) < _RESTING.stop:
        return None
    return sum(ticks) - sum(ticks[_RESTING]), sum(ticks)


def load(
    seconds: float = 1.0,
    *,
    read: Callable[[], Reading | None] = read_ticks,
    wait: Callable[[float], None] = time.sleep,
) -> Load:
    """How busy the machine is while this process waits for some seconds.

    read: what counts busy and all ticks; where it gives None, the system's mean over the last
    minute is taken, in which this process has a part. Where there is no such mean either, the
    machine counts as idle, and the words say that nothing is known.
    """
    cores = os.cpu_count() or 1
    before = read()
    if before is None:
        try:
            return Load(os.getloadavg()[0], cores, "mean of the last minute")
        except (AttributeError, OSError):
            return Load(0.0, cores, "not known on this system")
    wait(seconds)
    after = read() or before
    busy, ticks = after[0] - before[0], after[1] - before[1]
    return Load(cores * busy / max(ticks, 1), cores, f"measured for {seconds:g} s")


# Of glibc's mallopt: from how many free bytes on memory goes back to the system, and from which
# size on it is asked for and given back piece by piece.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER = 1 << 30


def keep_memory() -> bool:
    """Let this process keep memory that it has freed; whether its C library can be told to.

    Networks ask for the same tensors again at every step, and pages that were given back cost a
    fault each.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    told = [mallopt(what, _NEVER) for what in (_TRIM_THRESHOLD, _MMAP_THRESHOLD)]
    return all(told)
