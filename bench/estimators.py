"""What estimators' own errors are, kept beside the prepared data so that they are computed once."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.contracts import FOREIGN_ERRORS, BadInput
from bench.data.clips import Dataset
from bench.evaluation import full_rate
from bench.files import write_whole

# Raised when a change of the code moves an error.
_REVISION = 1


def own_errors(dataset: Dataset, folder: Path) -> dict[str, float]:
    """`evaluation.full_rate` of the test split: read where it was computed before, else kept.

    folder: of the prepared dataset. A file that is lost, damaged or of other clips is made anew,
    and a folder that cannot be written costs nothing but the time.
    """
    file = folder / "full_rate.json"
    stamp = {"revision": _REVISION, "fingerprint": dataset.fingerprint}
    kept = _read(file, stamp)
    if kept is not None:
        return kept
    errors = full_rate(dataset)
    if dataset.fingerprint:
        with suppress(BadInput):
            content = json.dumps(stamp | {"errors": errors}, indent=1)
            write_whole(file, content, what="the estimator's errors", hint="set BENCH_CACHE")
    return errors


def _read(file: Path, stamp: dict[str, Any]) -> dict[str, float] | None:
    """The errors in a file with this stamp, or None."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        errors = said.pop("errors")
        if said != stamp:
            return None
        return {str(name): float(value) for name, value in errors.items()}
    except FOREIGN_ERRORS:
        return None
