"""How much memory this process uses while something runs."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

_STATUS = Path("/proc/self/status")
_PAUSE = 0.005


class Watch:
    """Looks every few milliseconds; after the block, the largest numbers of bytes seen.

    What is taken and given back between two looks is missed, as on a machine that is busy.

    resident: all pages in memory, those of mapped files too; private: those of no file. Where the
    system does not tell them apart, both are the process's peak so far.
    """

    def __init__(self) -> None:
        self.resident = self.private = 0
        self._done = Event()
        self._thread = Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            resident, private = usage()
            self.resident = max(self.resident, resident)
            self.private = max(self.private, private)
            if self._done.wait(_PAUSE):
                return


def usage(status: Path = _STATUS) -> tuple[int, int]:
    """Bytes in memory now: all, and those that belong to no file."""
    if not status.is_file():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak *= 1 if sys.platform == "darwin" else 1024
        return peak, peak
    said = dict(
        line.split(":", 1)
        for line in status.read_text(encoding="ascii").splitlines()
        if ":" in line
    )
    resident, private = (int(said[name].split()[0]) * 1024 for name in ("VmRSS", "RssAnon"))
    return resident, private
