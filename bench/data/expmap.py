"""Motion capture as text: one frame per line, a rotation vector for each joint (spec 4.3).

Human3.6M: `h3.6m/dataset/S*/ACTION_{1,2}.txt`, 99 numbers per line. CMU:
`cmu_mocap/{train,test}/ACTION/ACTION_N.txt`, 117 numbers per line. Either as a folder or as the
archive `h3.6m.zip` or `cmu_mocap.zip` it comes in. Every second frame is kept, which leaves 25 per
second; the body's place and direction in the room are not.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from bench.config import DatasetConfig, Source, nearest_names
from bench.contracts import BadInput
from bench.data.assembly import assemble
from bench.data.clips import SPLITS, Clip, Dataset, Split, check_clip, place_of
from bench.data.figures import CMU_38, H36M_32, Figure
from bench.data.npz import guarded
from bench.kinematics import Floats

_MM = 1000.0
_EVERY = 2

H36M_ACTIONS = (
    "walking", "eating", "smoking", "discussion", "directions", "greeting", "phoning", "posing",
    "purchases", "sitting", "sittingdown", "takingphoto", "waiting", "walkingdog",
    "walkingtogether",
)  # fmt: skip
H36M_SUBJECTS: Mapping[str, Split] = {
    "S1": "train", "S6": "train", "S7": "train", "S8": "train", "S9": "train",
    "S11": "validation", "S5": "test",
}  # fmt: skip
CMU_ACTIONS = (
    "basketball", "basketball_signal", "directing_traffic", "jumping", "running", "soccer",
    "walking", "washwindow",
)  # fmt: skip

_HINT = "docs/data.md says where to get it"
_AGAIN = "copy the file again"


# Far more than any text has, and how much more than its own bytes an archive may make of one.
_LARGEST_TEXT = 1 << 26
_INFLATION = 50
_SMALL_TEXT = 1 << 20


@dataclass(frozen=True)
class _Layout:
    """How the texts of one data set are named.

    folders: from a data root to the folder with the texts; archive: the file they come in; glob:
    the texts in that folder; text: what a text's path there looks like, its first and its last
    group make the name; least: frames a test text must have after every second one is dropped.
    """

    figure: Figure
    words: str
    folders: tuple[str, ...]
    archive: str
    glob: str
    text: re.Pattern[str]
    least: int

    def named(self, paths: Iterable[str]) -> dict[str, str]:
        """Those of the paths that are texts, by name (SUBJECT/ACTION_TAKE), sorted."""
        depth = self.glob.count("/") + 1
        found = {}
        for path in paths:
            match = self.text.fullmatch("/".join(path.split("/")[-depth:]))
            if match is not None:
                part, *_, text = match.groups()
                found[f"{part}/{text}"] = path
        return dict(sorted(found.items(), key=lambda item: place_of(item[0])))


# Test clips of Human3.6M start between frames 16 and T - 150 (spec 4.4), those of CMU before frame
# T - 75 (the code named in bench/data/figures.py).
_LAYOUTS = {
    "h36m": _Layout(
        H36M_32,
        "Human3.6M motion capture",
        ("h3.6m/dataset", "dataset"),
        "h3.6m.zip",
        "S*/*.txt",
        re.compile(rf"({'|'.join(H36M_SUBJECTS)})/((?:{'|'.join(H36M_ACTIONS)})_[12])\.txt"),
        167,
    ),
    "cmu": _Layout(
        CMU_38,
        "CMU motion capture",
        ("cmu_mocap",),
        "cmu_mocap.zip",
        "t*/*/*.txt",
        re.compile(rf"(train|test)/({'|'.join(CMU_ACTIONS)})/(\2_\d+)\.txt"),
        76,
    ),
}
NAMES = tuple(_LAYOUTS)


def find(root: Path, dataset: str = "h36m") -> Path | None:
    """The folder or archive with the texts of `dataset` (h36m or cmu), or None.

    root: the folder or archive itself, a folder around it, or a data root that holds either; a
    folder is preferred to the archive beside it.
    """
    layout = _layout(dataset)
    for folder in (root, *(root / below for below in layout.folders)):
        if folder.is_dir() and _texts(folder, layout):
            return folder
    archives = (root, root / layout.archive)
    return next((p for p in archives if p.name == layout.archive and p.is_file()), None)


def files(place: Path, source: Source) -> list[Path]:
    """The files on disk that a place which `find` found consists of."""
    if place.is_file():
        return [place]
    return [place / path for path in _texts(place, _layout(source.dataset)).values()]


def missing(place: Path, dataset: str = "h36m") -> tuple[str, ...]:
    """What is not there: of Human3.6M's 210 texts by name, of CMU's splits and actions."""
    there = set(_texts(place, _layout(dataset)))
    if dataset == "h36m":
        wanted = product(H36M_SUBJECTS, H36M_ACTIONS, (1, 2))
        names = (f"{subject}/{action}_{take}" for subject, action, take in wanted)
        return tuple(name for name in names if name not in there)
    there = {name.rpartition("_")[0] for name in there}
    wanted_actions = (
        f"{part}/{action}" for part, action in product(("train", "test"), CMU_ACTIONS)
    )
    return tuple(name for name in wanted_actions if name not in there)


def load(place: Path, source: Source, config: DatasetConfig, name: str) -> Dataset:
    """Read a data set: what is given and what is wanted are both the motion capture.

    place: what `find` found; source: which data set; config: title, skeleton and frame rate; name:
    the dataset's name. Clips are (T, J, 3) metres, the root at the origin and the body facing one
    way, named SUBJECT/ACTION_TAKE (CMU: train or test for the subject). Human3.6M trains on S1, S6,
    S7, S8 and S9, validates on S11 and tests on S5. Of CMU's training texts the last one of every
    action that has several is the validation split; the literature has none.
    BadInput names the file and text that cannot be read, has not 99 (117) finite numbers in every
    line, is empty, or too short for a test clip, and a split without any text.
    """
    layout = _layout(source.dataset)
    figure = layout.figure
    if config.skeleton != figure.skeleton.name or config.space != "3d":
        raise BadInput(
            f"the skeleton or space of dataset {name} does not fit its files",
            found=f"{config.skeleton}, {config.space}",
            expected=f"{figure.skeleton.name}, 3d",
        )
    clips: dict[Split, list[Clip]] = {split: [] for split in SPLITS}
    texts = _texts(place, layout)
    splits = _splits(texts, source.dataset)
    for split in SPLITS:
        if split not in splits.values():
            found = ", ".join(texts) or "none"
            raise BadInput(f"no file of the {split} split", file=place, found=found, hint=_HINT)
    for text, path in texts.items():
        split = splits[text]
        frames = parse(_read(place, path), figure.values, place, text)
        if split == "test" and len(frames) < layout.least:
            raise BadInput(
                "too short for the test clips",
                file=place,
                clip=text,
                found=f"{len(frames)} frames at {config.fps:g} per second",
                expected=f"at least {layout.least}",
                hint=_AGAIN,
            )
        poses = (figure.pose(frames)[:, list(figure.used)] / _MM).astype(np.float32)
        clip = Clip(name=text, recording=text, detected=poses, truth=poses)
        check_clip(clip, figure.skeleton, "3d", place)
        clips[split].append(clip)
    origin = f"{layout.words} in exponential maps, {len(texts)} files"
    return assemble(name, config, clips, origin, notes=_notes(place, source.dataset, splits))


def parse(content: bytes, values: int, file: Path, text: str) -> Floats:
    """Every second frame of a text, (T, values) float64.

    content: lines of `values` numbers separated by commas; file, text: what to name in errors.
    BadInput when there is no line, a line of another length, or a kept one without finite numbers.
    """
    hint = _AGAIN
    expected = f"{values} numbers separated by commas in every line"

    def wrong(found: str) -> BadInput:
        problem = "not motion capture in exponential maps"
        return BadInput(problem, file=file, clip=text, found=found, expected=expected, hint=hint)

    lines = [line for line in content.splitlines() if line.strip()]
    if not lines:
        raise BadInput("the file is empty", file=file, clip=text, expected=expected, hint=hint)
    for number, line in enumerate(lines, start=1):
        if line.count(b",") != values - 1:
            raise wrong(f"{line.count(b',') + 1} in line {number}")
    try:
        numbers = np.loadtxt(lines[::_EVERY], delimiter=",", comments=None, ndmin=2)
    except (ValueError, OverflowError) as error:
        raise wrong(str(error).partition(" at row")[0]) from error
    if not np.isfinite(numbers).all():
        bad = np.argwhere(~np.isfinite(numbers))[0, 0]
        raise wrong(f"NaN or infinity in line {_EVERY * bad + 1}")
    return numbers


def actions(dataset: Dataset, split: Split = "test") -> dict[str, int]:
    """How many clips of each action a split has, for clips named SUBJECT/ACTION_TAKE."""
    counts: dict[str, int] = {}
    for clip in dataset.clips[split]:
        action = place_of(clip.name).action
        counts[action] = counts.get(action, 0) + 1
    return counts


def _layout(dataset: str) -> _Layout:
    if dataset not in _LAYOUTS:
        raise BadInput(
            f"no motion capture in exponential maps is called '{dataset}'",
            hint=nearest_names(dataset, _LAYOUTS),
        )
    return _LAYOUTS[dataset]


def _texts(place: Path, layout: _Layout) -> dict[str, str]:
    """The texts of a folder or archive: name and path in it, in the order of the clips."""
    if place.is_dir():
        return layout.named(
            path.relative_to(place).as_posix() for path in place.glob(layout.glob) if path.is_file()
        )
    with guarded(place, _AGAIN), zipfile.ZipFile(place) as archive:
        return layout.named(archive.namelist())


def _read(place: Path, path: str) -> bytes:
    """The content of one text of a folder or archive; BadInput when it is far too large."""
    file = place / path
    with guarded(file, _AGAIN):
        if place.is_dir():
            _check_size(file, file.stat().st_size, _LARGEST_TEXT)
            return file.read_bytes()
        with zipfile.ZipFile(place) as archive, archive.open(path) as stream:
            member = archive.getinfo(path)
            most = min(_LARGEST_TEXT, _INFLATION * member.compress_size + _SMALL_TEXT)
            _check_size(file, member.file_size, most)
            # Reading a given size keeps the decompressor within it.
            return stream.read(member.file_size)


def _check_size(file: Path, size: int, most: int) -> None:
    if size > most:
        problem = "too large for motion capture as text"
        raise BadInput(problem, file=file, found=f"{size} bytes", expected=f"at most {most}")


def _splits(texts: Iterable[str], dataset: str) -> dict[str, Split]:
    """The split of every text, by name."""
    if dataset == "h36m":
        return {text: H36M_SUBJECTS[text.partition("/")[0]] for text in texts}
    splits: dict[str, Split] = {}
    last: dict[str, str] = {}
    for text in texts:
        splits[text] = "test" if text.startswith("test/") else "train"
        action = place_of(text).action
        if splits[text] == "train":
            if action in last:
                splits[last[action]] = "train"
                splits[text] = "validation"
            last[action] = text
    return splits


def _notes(place: Path, source: str, splits: Mapping[str, Split]) -> tuple[str, ...]:
    """What is not there, by name, and which test actions are complete."""
    notes = []
    absent = missing(place, source)
    if absent:
        notes.append(f"not in the data: {_compact(absent)}")
    if source == "cmu":
        held = [text for text, split in splits.items() if split == "validation"]
        notes.append(f"validation, held out of the training files: {_compact(held)}")
        return tuple(notes)
    lacking = {
        text.action for text in map(place_of, absent) if H36M_SUBJECTS[text.subject] == "test"
    }
    if lacking:
        complete = [action for action in H36M_ACTIONS if action not in lacking]
        notes.append(
            f"complete test actions, {len(complete)} of {len(H36M_ACTIONS)}: {', '.join(complete)}"
        )
    return tuple(notes)


def _compact(names: Iterable[str]) -> str:
    """'S5 directions_1, waiting_1/2; S7 ...' for names SUBJECT/ACTION_TAKE or PART/ACTION."""
    takes: dict[str, dict[str, list[str]]] = {}
    for subject, action, take in map(place_of, names):
        takes.setdefault(subject, {}).setdefault(action, []).append(str(take) if take else "")
    return "; ".join(
        f"{subject} "
        + ", ".join("_".join(filter(None, (a, "/".join(t)))) for a, t in actions.items())
        for subject, actions in takes.items()
    )
