"""Trials of tuning as plain records, one JSON file each: what MLflow shows of a study.

`FOLDER/trials/STUDY/study.json` says what was tuned, `FOLDER/trials/STUDY/00012.json` what came of
trial 12. They are written to a temporary name and renamed, like results.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.contracts import BadInput
from bench.documents import Form
from bench.files import file_name, write_whole

FORMAT = 1

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""What a study, an experiment or a table may be called: it becomes part of paths."""

_ABOUT = "study.json"


@dataclass(frozen=True)
class Study:
    """One method tuned on one dataset.

    name: of its folder, the same for everyone who adds to it; experiment: what MLflow groups
    studies by, `tune-...`; objectives: the metrics, on validation, the leading one first, and
    whether each is to be 'minimize'd or 'maximize'd; standin: whether the clips are synthetic;
    about: whatever else is to be shown, as plain values: sampler, pruner, budget.
    """

    name: str
    experiment: str
    method: str
    dataset: str
    fingerprint: str
    protocol: str
    objectives: Mapping[str, Literal["minimize", "maximize"]]
    standin: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (self.name, self.experiment):
            if not NAME.fullmatch(name):
                raise BadInput(
                    "not a name for a study", found=repr(name), expected="letters, digits, - and _"
                )


@dataclass(frozen=True)
class Trial:
    """What came of one configuration.

    params: what was varied, by name, as plain values; values: what the objectives came to, empty
    unless complete; curve: intermediate values, an entry for each look, with `epoch` (counted from
    1) or `windows` (seen so far) or both, and metrics by name; seed: of training; provenance: as
    of a result (`bench.provenance`), with `seconds`; error: why it failed.
    """

    number: int
    state: Literal["complete", "pruned", "failed"]
    params: Mapping[str, Any]
    values: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[Mapping[str, float], ...] = ()
    seed: int = 0
    error: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)


_WORDS = ("trials", "not the file of a study or trial", "move it out of the way")
_STUDY = Form(Study, FORMAT, *_WORDS)
_TRIAL = Form(Trial, FORMAT, *_WORDS)


class Trials:
    """The trials of one output folder; nothing is made before something is stored."""

    def __init__(self, folder: Path) -> None:
        """folder: the output folder."""
        self.folder = folder / "trials"

    def put(self, study: Study, trial: Trial) -> Path:
        """Store a trial, and its study if that is new or has changed; returns the trial's file.

        A kill at any instant leaves old files or new ones. BadInput when they cannot be written.
        """
        about = self.folder / study.name / _ABOUT
        text = _to_json(study)
        # A study is written once, and not for each of its hundreds of trials.
        if not about.is_file() or about.read_text(encoding="utf-8") != text:
            self._write(about, text)
        return self._write(self.path(study.name, trial.number), _to_json(trial))

    def path(self, study: str, number: int) -> Path:
        """Where a trial lies."""
        # What queues and files call a study becomes part of a path here.
        return self.folder / file_name(study) / f"{number:05d}.json"

    def studies(self) -> list[str]:
        """The names of the studies that are there."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{_ABOUT}"))

    def numbers(self, study: str) -> list[int]:
        """The numbers of a study's trials."""
        paths = (self.folder / file_name(study)).glob("*.json")
        return sorted(int(path.stem) for path in paths if path.stem.isdecimal())

    def study(self, name: str) -> Study:
        """A study; BadInput when its file is none."""
        return _STUDY.read(self.folder / file_name(name) / _ABOUT)

    def trial(self, study: str, number: int) -> Trial:
        """A trial; BadInput when its file is none."""
        return _TRIAL.read(self.path(study, number))

    def _write(self, path: Path, text: str) -> Path:
        write_whole(path, text, what="a trial", hint="make room; the same command goes on")
        return path


def _to_json(record: Study | Trial) -> str:
    return json.dumps({"format": FORMAT, **asdict(record)}, indent=1, sort_keys=True)
