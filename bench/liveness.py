"""Names of processes by which others can tell later whether they still run."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path


def this_process() -> str:
    """A name for this process: its machine, its number, and when it began."""
    return f"{_machine()} {os.getpid()} {_began(os.getpid())}"


def is_gone(process: str) -> bool:
    """Whether a process of this machine has ended; False for those of others, which cannot be seen.

    process: what `this_process` gave there. One that has got the number since is another one.
    """
    machine, number, began = process.split()
    return machine == _machine() and _began(int(number)) != began


def is_elsewhere(process: str) -> bool:
    """Whether a process is one of another machine; process: what `this_process` gave there."""
    return process.split()[0] != _machine()


def _machine() -> str:
    """A name for this machine that does not tell its own."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:12]


def _began(number: int) -> str:
    """When a process began, as its system counts; `0` where that is not told, `-` without it."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return "-"
    except PermissionError:
        pass
    try:
        text = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "0"
    state, *rest = text.rpartition(")")[2].split()
    return "-" if state == "Z" else rest[18]
