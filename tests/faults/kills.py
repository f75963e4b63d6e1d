"""Kills commands at random instants until nothing is left to kill, and looks for what was lost.

`python tests/faults/kills.py --kills 100` starts commands on stand-ins, kills the whole process
group with SIGKILL, half of the times at a random instant and half at a named one (around the n-th
write to the disk or rename), resumes until the command is through, and compares everything with an
uninterrupted run. Exit code 1 when something was lost, differs, or was computed twice.
"""

import argparse
import importlib.util
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import yaml

from bench.storages import open_storage, usual
from bench.studies import finished

ROOT = Path(__file__).parents[2]
INSTANTS = Path(__file__).parent / "instants"
SMOKE = ("--budget", "smoke", "--no-track", "--device", "cpu", "--workers", "2")

HEADS = (
    "command", "kills", "at a random instant", "around a write or a rename", "started", "through",
    "complete", "lost", "written twice", "different", "left half-written",
)  # fmt: skip

# A training is killed so often at most before it is let through.
PATIENCE = 6


@dataclass(frozen=True)
class Case:
    """A command, and what it leaves that must not depend on kills.

    words: of the command, without its output folder; whole: everything that is complete in that
    folder, by name, with what must be equal; stamps: what is complete, with what changes when it
    is written again; out: an output folder is also a cache, so that data is made and killed too;
    instants: how many calls of each function a kill may wait for; hit: whether another kill could
    be the second for a configuration, which then would have failed: the command is let through.
    """

    name: str
    words: tuple[str, ...]
    whole: Callable[[Path], dict[str, object]]
    stamps: Callable[[Path], dict[str, object]]
    out: bool = True
    instants: Mapping[str, int] = field(
        default_factory=lambda: {"fsync": 6, "replace": 6, "rename": 6}
    )
    hit: Callable[[Path], bool] = lambda _folder: False


@dataclass
class Count:
    """What happened to one case. recomputed: complete at the start of a command, written again."""

    commands: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    through: int = 0
    complete: int = 0
    lost: int = 0
    recomputed: int = 0
    differ: int = 0
    left: int = 0
    wrong: list[str] = field(default_factory=list)


def results(folder: Path) -> dict[str, object]:
    """Every complete result, without where and how fast it was computed."""
    found = {}
    for path in (folder / "out/results").glob("*.json"):
        said = json.loads(path.read_text(encoding="utf-8"))
        del said["provenance"], said["digest"]
        found[path.name] = said
    return found


def prepared(folder: Path) -> dict[str, object]:
    """Every file of every prepared data set."""
    found = {}
    for about in (folder / "cache/prepared").glob("*/dataset.json"):
        for path in about.parent.iterdir():
            found[f"{about.parent.name}/{path.name}"] = path.read_bytes()
    return found


def trials(folder: Path) -> dict[str, object]:
    """Every trial and every final of every record, what was chosen, and the tuned presets.

    Trials have their places in place of their numbers: those that were killed have numbers too.
    """
    found: dict[str, object] = {}
    for path in (folder / "out/tuning").glob("*.json"):
        said = json.loads(path.read_text(encoding="utf-8"))
        study = said["study"]
        places = {trial["number"]: place for place, trial in enumerate(said["trials"])}
        for number, trial in enumerate(said["trials"]):
            found[f"{study} {number}"] = {**trial, "number": number, "seconds": None}
        for final in said["finals"]:
            final["label"] = _placed(final["label"], places)
            found[f"{study} {final['label']} {final['seed']}"] = {**final, "seconds": None}
        chosen = said["chosen"]
        chosen["label"] = _placed(chosen["label"], places)
        chosen["finals"] = {_placed(k, places): v for k, v in chosen["finals"].items()}
        for changing in ("lost", "seconds", "provenance", "trials", "finals"):
            del said[changing]
        found[study] = said
        preset = folder / f"out/presets/{said['base']['method']}.yaml"
        tuned = yaml.safe_load(preset.read_text(encoding="utf-8"))
        for of_data in tuned["datasets"].values():
            of_data["origin"]["label"] = _placed(of_data["origin"]["label"], places)
        found[preset.name] = tuned
    return found


def _placed(label: str, places: dict[int, int]) -> str:
    """`trial 7` with its place in place of its number."""
    word, _, number = label.partition(" ")
    return f"{word} {places[int(number)]}" if number else label


def told(folder: Path) -> dict[str, object]:
    """Every trial that is over and counts, and every final, as the storage has them."""
    found: dict[str, object] = {}
    for study in studies(folder):
        name = study.study_name
        for trial in finished(study):
            found[f"{name} {trial.number}"] = (trial.datetime_complete, trial.values)
        found |= {f"{name} {k}": v for k, v in study.user_attrs.items() if "final:" in k}
    return found


def studies(folder: Path) -> list[optuna.Study]:
    """The studies of an output folder."""
    place = usual(folder / "out")
    if not Path(place).is_file():
        return []
    storage = open_storage(place)
    names = optuna.get_all_study_names(storage)
    return [optuna.load_study(study_name=name, storage=storage) for name in names]


def hit(folder: Path) -> bool:
    """Whether a trial or a final was killed that is not over since."""
    for study in studies(folder):
        over = [trial.params for trial in finished(study)]
        said = study.user_attrs
        claimed = [name.replace("claim:", "final:", 1) for name in said if "claim:" in name]
        if not all(trial.params in over for trial in study.get_trials() if trial.params):
            return True
        if not said.keys() >= set(claimed):
            return True
    return False


def files(*places: str) -> Callable[[Path], dict[str, object]]:
    """When complete files in a folder were written, and which files they are."""

    def stamps(folder: Path) -> dict[str, object]:
        found = {str(path): path.stat() for place in places for path in folder.glob(place)}
        return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}

    return stamps


def cases(folder: Path) -> list[Case]:
    """The commands: a table, an ablation, a study, and data that needs a training of its own."""
    spec = importlib.util.spec_from_file_location("raw", ROOT / "tests/bench/data/conftest.py")
    if spec is None or spec.loader is None:
        raise SystemExit("tests/bench/data/conftest.py is not there")
    raw = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(raw)
    data = raw.write_h36m(folder / "data/h36m").parent
    table = ("--datasets", "pw3d-spin", "--methods", "linear,ridge,deciwatch")
    cells = files("out/results/*.json")
    short = ("--trials", "6", "--windows", "128", "--finalists", "1", "--seeds", "2")
    long = ("--datasets", "pw3d-spin", "--methods", "deciwatch", "--budget", "quick")
    return [
        Case("run", ("run", "table3", *table, "--seeds", "2", *SMOKE), results, cells),
        Case(
            "run, one long cell",
            ("run", "table3", *long, "--seeds", "1", *SMOKE[2:]),
            results,
            cells,
        ),
        Case(
            "ablate",
            ("ablate", "--rt", "1,4", "--dataset", "pw3d-spin", "--seeds", "1", *SMOKE),
            results,
            cells,
        ),
        Case(
            "tune",
            ("tune", "mct", "kalman", "--dataset", "pw3d-spin", *short, *SMOKE[:-2]),
            trials,
            told,
            # Every line of the journal is a write of its own.
            instants={"fsync": 120, "replace": 4},
            hit=hit,
        ),
        Case(
            "data prepare",
            ("data", "prepare", "h36m-fcn", "--data", str(data), "--budget", "quick"),
            prepared,
            files("cache/prepared/*/*"),
            out=False,
        ),
    ]


class Command:
    """A command in a process group of its own, with its own output folder and cache."""

    def __init__(self, case: Case, folder: Path, instant: str = "") -> None:
        words = [*case.words, *(("--out", str(folder / "out")) if case.out else ())]
        folder.mkdir(parents=True, exist_ok=True)
        paths = [str(INSTANTS)] if instant else []
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([*paths, str(ROOT)]),
            "BENCH_CACHE": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
            "BENCH_INSTANT": instant,
        }
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench", *words],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def wait(self, seconds: float | None = None) -> int | None:
        """The exit code, or None when it still runs after so many seconds."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """Kill every process of the group, and wait until none is left."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        with suppress(ProcessLookupError):
            while True:
                os.killpg(self.process.pid, 0)
                time.sleep(0.01)


def instants(case: Case, draw: random.Random) -> Iterator[str]:
    """'' for a random instant, and names of others in turn."""
    while True:
        yield ""
        function = draw.choice(tuple(case.instants))
        when = draw.choice(("before", "after"))
        yield f"{function}:{when}:{draw.randint(1, case.instants[function])}"


def campaign(
    case: Case, folder: Path, uninterrupted: tuple[dict[str, object], float],
    count: Count, kinds: Iterator[str], draw: random.Random, most: int,
) -> None:  # fmt: skip
    """Kill a command until it was through or killed `most` times; then let it through."""
    wanted, duration = uninterrupted
    for turn in range(most + 1):
        before = case.stamps(folder)
        count.commands += 1
        last = turn == most or case.hit(folder)
        instant = "" if last else next(kinds)
        command = Command(case, folder, instant)
        code = command.wait(None if instant or last else draw.uniform(0, duration))
        command.kill()
        after = case.stamps(folder)
        count.lost += len(before.keys() - after.keys())
        count.recomputed += sum(after[name] != before[name] for name in before.keys() & after)
        if code == 0:
            count.through += 1
            break
        if code not in (None, -signal.SIGKILL):
            said = command.log.read_text(encoding="utf-8", errors="replace")
            count.wrong.append(f"exit code {code}: {said[-300:]}")
            break
        count.kills[" ".join(instant.split(":")[1::-1]) or "random"] += 1
    found = case.whole(folder)
    count.complete += len(found)
    count.lost += len(wanted.keys() - found.keys())
    count.recomputed += len(found.keys() - wanted.keys())
    count.differ += sum(found[name] != wanted[name] for name in wanted.keys() & found.keys())
    count.left += sum(1 for _ in folder.rglob("*.tmp"))


def killed(case: Case, folder: Path, kills: int, seed: int) -> Count:
    """Kill a command so many times and look for what was lost."""
    began = time.monotonic()
    whole = Command(case, folder / "whole")
    code = whole.wait()
    duration = time.monotonic() - began
    if code != 0:
        raise SystemExit(whole.log.read_text(encoding="utf-8", errors="replace"))
    wanted = case.whole(folder / "whole")
    draw = random.Random(f"{seed} {case.name}")
    count, kinds, number = Count(), instants(case, draw), 0
    while count.kills.total() < kills and not count.wrong:
        number += 1
        place = folder / f"killed-{number}"
        if case.out and number % 4:
            # Making stand-ins takes long, and is not what most kills are for.
            shutil.copytree(folder / "whole/cache", place / "cache")
        most = min(PATIENCE, kills - count.kills.total())
        campaign(case, place, (wanted, duration), count, kinds, draw, most)
    return count


def main() -> int:
    """Kill every command in turn; print what came out; 1 when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=30, help="in all, over the commands")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", action="append", help="by name, repeatable; default: all")
    given = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="bench-kills-") as name:
        chosen = [c for c in cases(Path(name)) if not given.case or c.name in given.case]
        print(f"{platform.platform()}, {os.cpu_count()} cores, seed {given.seed}")
        print(f"| {' | '.join(HEADS)} |")
        print(f"|{' --- |' * len(HEADS)}", flush=True)
        for number, case in enumerate(chosen):
            share = given.kills // len(chosen) + (number < given.kills % len(chosen))
            place = Path(name) / case.name.replace(" ", "-")
            place.mkdir()
            count = killed(case, place, share, given.seed)
            drawn, total = count.kills["random"], count.kills.total()
            row = (
                f"`{case.name}`", total, drawn, total - drawn, count.commands, count.through,
                count.complete, count.lost, count.recomputed, count.differ, count.left,
            )  # fmt: skip
            print(f"| {' | '.join(map(str, row))} |", flush=True)
            for line in count.wrong:
                print(line, flush=True)
            bad += count.lost + count.recomputed + count.differ + count.left + len(count.wrong)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
