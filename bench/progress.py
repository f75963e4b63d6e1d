"""Progress on the way: a live bar on a terminal, plain lines in a pipe or a log."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from bench.contracts import printable
from bench.report.sentences import duration
from bench.results import Result

# In a log, a line about a running cell at most this often, in seconds.
_QUIET = 15.0


class Shown:
    """Tells on a console how a run goes on; closes with the block."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shares: dict[str, float] = {}
        self._names: Mapping[str, str] = {}
        self._finished = self._cells = 0
        self._began = self._last = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )

    def __enter__(self) -> Shown:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def say(self, text: str) -> None:
        """A line about data being made ready."""
        self._line(text)

    def begin(self, cells: int, earlier: int, names: Mapping[str, str]) -> None:
        """So many cells will be computed, so many are there from earlier; names: by cell key."""
        self._cells, self._names = cells, names
        if cells:
            what = "1 cell" if cells == 1 else f"{cells} cells"
            self._line(f"{what} to run, {earlier} from earlier")
        if self._bar and cells:
            self._task = self._bar.add_task("starting", total=cells)

    def tell(self, key: str, share: float, text: str) -> None:
        """A cell is `share` (0 to 1) done and at `text`."""
        # What a worker told may arrive after its result.
        share = self._shares[key] = max(share, self._shares.get(key, 0.0))
        name = self._names.get(key, key)
        if self._bar and self._task is not None:
            done = sum(self._shares.values())
            self._bar.update(self._task, completed=done, description=printable(f"{name}: {text}"))
        elif share < 1 and time.monotonic() - self._last > _QUIET:
            self._line(f"  {self._done()} {name}: {100 * share:.0f} %, {text}")

    def done(self, result: Result) -> None:
        """A cell is finished."""
        self._shares[result.cell.key] = 1.0
        self._finished += 1
        name = self._names.get(result.cell.key, result.cell.key)
        outcome = _took(result) if result.status == "done" else f"failed: {result.error}"
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=sum(self._shares.values()))
        if not self._bar or result.status == "failed":
            self._line(f"  {self._done()} {name}: {outcome}")

    def _done(self) -> str:
        return f"[{self._finished}/{self._cells}]"

    def _line(self, text: str) -> None:
        self._last = time.monotonic()
        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def _took(result: Result) -> str:
    """How long a cell took, and its weights, which may have been learned before or with others."""
    scored = f"{result.provenance.get('seconds', 0):.0f} s"
    learning = result.provenance.get("training", {})
    if "seconds" not in learning:
        return scored
    verb = "fitted" if result.cell.training is None else "trained"
    others = learning.get("trained at once", 1) - 1
    shared = f" with {others} more" if others else ""
    return f"{scored}, its weights {verb}{shared} in {duration(learning['seconds'])}"
