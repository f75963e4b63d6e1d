"""Motion capture as text: found, read to the number, split by subject, and refused when wrong."""

from __future__ import annotations

import itertools
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bench.config import DatasetConfig, Source, dataset_config
from bench.contracts import BadInput
from bench.data import expmap
from bench.data.clips import SPLITS, Dataset, place_of
from bench.data.figures import CMU_38, H36M_32
from bench.data.skeletons import H36M_22

H36M, CMU = (Source(layout="expmap", dataset=name) for name in ("h36m", "cmu"))
# 333 frames of 50 per second leave 167 of 25, the least a test clip may have; 151 leave 76.
LEAST = {"h36m": 333, "cmu": 151}
# Two takes of two subjects that train, and one each that validates and tests.
H36M_TEXTS = {
    "S1/walking_1": 40, "S1/walking_2": 41, "S9/eating_1": 7, "S11/walking_1": 12,
    "S5/walking_1": 340, "S5/walking_2": 333, "S5/eating_2": 333,
}  # fmt: skip
CMU_TEXTS = {
    "train/walking_2": 20, "train/walking_10": 21, "train/walking_1": 22, "train/soccer_1": 9,
    "test/walking_1": 151, "test/basketball_signal_1": 160,
}  # fmt: skip


def frames(name: str, count: int, values: int) -> np.ndarray:
    """Numbers that no other text has, with 7 decimals as the files have."""
    rng = np.random.default_rng([ord(letter) for letter in name])
    return rng.normal(0, 0.4, (count, values)).round(7)


def lines(numbers: np.ndarray) -> str:
    return "".join(",".join(f"{value:.7f}" for value in row) + "\n" for row in numbers)


def path_of(name: str) -> str:
    part, _, text = name.partition("/")
    inner = f"{text.rpartition('_')[0]}/" if part in ("train", "test") else ""
    return f"{part}/{inner}{text}.txt"


def write(folder: Path, texts: dict[str, int], values: int) -> Path:
    for name, count in texts.items():
        file = folder / path_of(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(lines(frames(name, count, values)))
    return folder


def packed(
    folder: Path, file: Path, compression: int = zipfile.ZIP_DEFLATED, top: str = ""
) -> Path:
    with zipfile.ZipFile(file, "w", compression) as archive:
        for path in sorted(folder.rglob("*.txt")):
            archive.write(path, f"{top}{path.relative_to(folder).as_posix()}")
    return file


def load(place: Path, name: str = "h36m-motion") -> Dataset:
    config = dataset_config(name)
    return expmap.load(place, config.sources[0], config, name)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with Human3.6M as a folder; to read only."""
    root = tmp_path_factory.mktemp("root")
    write(root / "h3.6m/dataset", H36M_TEXTS, 99)
    return root


@pytest.fixture
def spoiled(written: Path, tmp_path: Path) -> Path:
    """A copy of the folder with the texts that a test may spoil."""
    return Path(shutil.copytree(written / "h3.6m/dataset", tmp_path / "dataset"))


@pytest.fixture(scope="module")
def dataset(written: Path) -> Dataset:
    return load(written / "h3.6m/dataset")


@pytest.fixture(scope="module")
def cmu_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cmu")
    write(root / "cmu_mocap", CMU_TEXTS, 117)
    (root / "cmu_mocap/train/walking_extra").mkdir()
    (root / "cmu_mocap/train/walking_extra/walking_3.txt").write_text("another data set's")
    return root


def refusal(place: Path, name: str = "h36m-motion") -> str:
    with pytest.raises(BadInput) as error:
        load(place, name)
    return str(error.value)


def test_a_folder_is_found_from_every_folder_around_it(written: Path, tmp_path: Path) -> None:
    inner = written / "h3.6m/dataset"
    for root in (written, written / "h3.6m", inner):
        assert expmap.find(root) == inner
    assert expmap.find(inner / "S5") is None
    assert expmap.find(tmp_path) is None
    assert expmap.find(written, "cmu") is None
    assert expmap.files(inner, H36M) == [
        inner / path_of(name)
        for name in (
            "S1/walking_1", "S1/walking_2", "S11/walking_1", "S5/eating_2", "S5/walking_1",
            "S5/walking_2", "S9/eating_1",
        )
    ]  # fmt: skip


def test_an_archive_is_found_beside_other_data(written: Path, tmp_path: Path) -> None:
    (tmp_path / "h36m").mkdir()
    file = packed(written, tmp_path / "h3.6m.zip")
    assert expmap.find(tmp_path) == expmap.find(file) == file
    assert expmap.files(file, H36M) == [file]
    file.rename(tmp_path / "other.zip")
    assert expmap.find(tmp_path / "other.zip") is None


def test_a_folder_is_preferred_to_its_archive(written: Path, tmp_path: Path) -> None:
    packed(written, tmp_path / "h3.6m.zip")
    shutil.copytree(written / "h3.6m", tmp_path / "h3.6m")
    assert expmap.find(tmp_path) == tmp_path / "h3.6m/dataset"


@pytest.mark.parametrize("name", ["h36m", "cmu"])
def test_other_text_files_are_no_motion_capture(tmp_path: Path, name: str) -> None:
    for path in ("S2/walking_1.txt", "S1/walking.txt", "S1/walking_3.txt", "S1/singing_1.txt",
                 "train/walking/running_1.txt", "train/singing/singing_1.txt"):  # fmt: skip
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert expmap.find(tmp_path, name) is None


def test_clips_are_the_used_joints_of_every_second_frame_in_metres(dataset: Dataset) -> None:
    clips = {clip.name: clip for split in SPLITS for clip in dataset.clips[split]}
    assert set(clips) == set(H36M_TEXTS)
    for name, count in H36M_TEXTS.items():
        clip = clips[name]
        expected = H36M_32.pose(frames(name, count, 99)[::2])[:, H36M_32.used] / 1000
        np.testing.assert_allclose(clip.truth, expected, atol=1e-7)
        assert clip.truth.shape == ((count + 1) // 2, 22, 3)
        assert clip.detected is clip.truth
        assert clip.recording == name
    assert (dataset.fps, dataset.space, dataset.skeleton) == (25, "3d", H36M_22)


def test_subjects_are_split_as_published(dataset: Dataset) -> None:
    named = {split: [clip.name for clip in dataset.clips[split]] for split in SPLITS}
    assert named == {
        "train": ["S1/walking_1", "S1/walking_2", "S9/eating_1"],
        "validation": ["S11/walking_1"],
        "test": ["S5/eating_2", "S5/walking_1", "S5/walking_2"],
    }
    assert expmap.actions(dataset) == {"eating": 1, "walking": 2}
    assert expmap.actions(dataset, "validation") == {"walking": 1}


@pytest.mark.parametrize(
    "compression",
    [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA],
)
def test_an_archive_holds_what_the_folder_holds(
    written: Path, dataset: Dataset, tmp_path: Path, compression: int
) -> None:
    file = packed(written, tmp_path / "h3.6m.zip", compression, top="some/")
    assert load(file).fingerprint == dataset.fingerprint
    assert expmap.missing(file, "h36m") == expmap.missing(written / "h3.6m/dataset", "h36m")


def test_what_is_missing_is_named(written: Path, dataset: Dataset) -> None:
    absent = expmap.missing(written / "h3.6m/dataset")
    assert len(absent) == 210 - len(H36M_TEXTS)
    assert {"S5/eating_1", "S7/sittingdown_2"} <= set(absent)
    assert not set(absent) & set(H36M_TEXTS)
    missed, complete = dataset.notes
    assert missed.startswith("not in the data: S1 eating_1/2, smoking_1/2, ")
    assert "S5 eating_1, smoking_1/2" in missed
    assert complete == "complete test actions, 1 of 15: walking"
    assert dataset.origin == "Human3.6M motion capture in exponential maps, 7 files"


def test_complete_data_needs_no_notes(tmp_path: Path) -> None:
    body, short = lines(frames("all", 333, 99)), lines(np.zeros((2, 99)))
    with zipfile.ZipFile(tmp_path / "h3.6m.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z:
        for subject, action, take in itertools.product(
            expmap.H36M_SUBJECTS, expmap.H36M_ACTIONS, (1, 2)
        ):
            text = body if subject == "S5" else short
            z.writestr(f"h3.6m/dataset/{subject}/{action}_{take}.txt", text)
    assert expmap.missing(tmp_path / "h3.6m.zip") == ()
    complete = load(tmp_path / "h3.6m.zip")
    assert complete.notes == ()
    assert [len(complete.clips[split]) for split in SPLITS] == [150, 30, 30]


def test_cmu_is_read_and_split(cmu_root: Path) -> None:
    place = cmu_root / "cmu_mocap"
    assert expmap.find(cmu_root, "cmu") == expmap.find(place, "cmu") == place
    assert len(expmap.files(place, CMU)) == len(CMU_TEXTS)
    read = load(place, "cmu-motion")
    named = {split: [clip.name for clip in read.clips[split]] for split in SPLITS}
    assert named == {
        "train": ["train/soccer_1", "train/walking_1", "train/walking_2"],
        "validation": ["train/walking_10"],
        "test": ["test/basketball_signal_1", "test/walking_1"],
    }
    clip = read.clips["test"][1]
    numbers = frames(clip.name, 151, 117)[::2]
    np.testing.assert_allclose(clip.truth, CMU_38.pose(numbers)[:, CMU_38.used] / 1000, atol=1e-7)
    assert expmap.actions(read) == {"basketball_signal": 1, "walking": 1}
    assert read.notes == (
        "not in the data: train basketball, basketball_signal, directing_traffic, jumping, running,"
        " washwindow; test basketball, directing_traffic, jumping, running, soccer, washwindow",
        "validation, held out of the training files: train walking_10",
    )


def test_cmu_is_read_from_an_archive(cmu_root: Path, tmp_path: Path) -> None:
    file = packed(cmu_root, tmp_path / "cmu_mocap.zip")
    assert expmap.find(tmp_path, "cmu") == file
    assert load(file, "cmu-motion").fingerprint == (
        load(cmu_root / "cmu_mocap", "cmu-motion").fingerprint
    )


def spoil(folder: Path, name: str, change) -> None:
    file = folder / path_of(name)
    rows = file.read_text().splitlines(keepends=True)
    file.write_text("".join(change(rows)))


def with_line(number: int, text: str):
    return lambda rows: [*rows[: number - 1], text, *rows[number:]]


LINE = "0.1," * 98 + "0.1\n"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (with_line(3, LINE[4:]), "98 in line 3"),
        (with_line(4, "0.1," + LINE), "100 in line 4"),
        (with_line(1, LINE[4:]), "98 in line 1"),
        (lambda rows: [row.replace(",", " ") for row in rows], "1 in line 1"),
        (lambda rows: [*rows[:-1], rows[-1][:40]], "in line 333"),
        (with_line(5, LINE.replace("0.1", "nan", 1)), "NaN or infinity in line 5"),
        (with_line(7, LINE.replace("0.1", "-inf", 1)), "NaN or infinity in line 7"),
        (with_line(7, LINE.replace("0.1", "1e999", 1)), "NaN or infinity in line 7"),
        (with_line(3, LINE.replace("0.1", "one", 1)), "could not convert string 'one' to float64"),
        (with_line(3, LINE.replace("0.1", "", 1)), "could not convert string '' to float64"),
    ],
)
def test_a_line_that_is_no_frame_is_told(spoiled: Path, change, found: str) -> None:
    spoil(spoiled, "S5/walking_2", change)
    message = refusal(spoiled)
    assert message.startswith(f"{spoiled}: clip S5/walking_2: not motion capture")
    assert found in message
    assert "expected 99 numbers separated by commas in every line" in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file_is_told(spoiled: Path, text: str) -> None:
    (spoiled / "S1/walking_1.txt").write_text(text)
    assert "clip S1/walking_1: the file is empty; expected 99 numbers" in refusal(spoiled)


def test_blank_lines_windows_line_ends_and_no_last_one_change_nothing(
    spoiled: Path, dataset: Dataset
) -> None:
    file = spoiled / "S5/walking_1.txt"
    file.write_bytes(b"\r\n\r\n".join(file.read_bytes().splitlines()))
    assert load(spoiled).fingerprint == dataset.fingerprint


def test_a_test_file_too_short_for_the_test_clips_is_told(spoiled: Path) -> None:
    spoil(spoiled, "S5/walking_2", lambda rows: rows[:332])
    message = refusal(spoiled)
    assert "clip S5/walking_2: too short for the test clips" in message
    assert "found 166 frames at 25 per second; expected at least 167" in message


def test_a_cmu_test_file_too_short_is_told(cmu_root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(cmu_root / "cmu_mocap", tmp_path / "cmu_mocap"))
    spoil(copy, "test/walking_1", lambda rows: rows[:150])
    assert "found 75 frames at 25 per second; expected at least 76" in refusal(copy, "cmu-motion")


@pytest.mark.parametrize(("subject", "split"), [("S5", "test"), ("S11", "validation")])
def test_a_split_without_files_is_told(spoiled: Path, subject: str, split: str) -> None:
    shutil.rmtree(spoiled / subject)
    message = refusal(spoiled)
    assert f"no file of the {split} split; found S1/walking_1" in message
    assert "docs/data.md" in message


def test_cmu_actions_with_one_training_file_each_cannot_be_divided(tmp_path: Path) -> None:
    texts = {"train/walking_1": 9, "train/soccer_1": 9, "test/walking_1": 151}
    place = write(tmp_path / "cmu_mocap", texts, 117)
    assert "no file of the validation split" in refusal(place, "cmu-motion")


@pytest.mark.parametrize("kept", [0, 4, 0.3, 0.9])
def test_a_truncated_archive_is_told(written: Path, tmp_path: Path, kept: float) -> None:
    file = packed(written, tmp_path / "h3.6m.zip")
    content = file.read_bytes()
    file.write_bytes(content[: int(kept if kept >= 1 else kept * len(content))])
    assert expmap.find(tmp_path) == file
    message = refusal(file)
    assert message.startswith(f"{file}: cannot be read; found ")
    assert message.endswith("copy the file again")


@pytest.mark.parametrize(
    "compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_an_archive_that_was_changed_inside_is_told(
    written: Path, tmp_path: Path, compression: int
) -> None:
    file = packed(written, tmp_path / "h3.6m.zip", compression)
    content = bytearray(file.read_bytes())
    for place in range(200, 4000, 7):
        content[place] ^= 0x5A
    file.write_bytes(content)
    assert f"{file}/h3.6m/dataset/S1/walking_1.txt: cannot be read; found " in refusal(file)


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "h3.6m.zip").write_text("not found")
    assert "cannot be read; found File is not a zip file" in refusal(tmp_path / "h3.6m.zip")


def test_an_archive_of_something_else_is_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "h3.6m.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    assert "no file of the train split; found none" in refusal(tmp_path / "h3.6m.zip")


def test_a_configuration_that_does_not_fit_is_told(written: Path) -> None:
    config: DatasetConfig = dataset_config("cmu-motion")
    with pytest.raises(BadInput, match=r"does not fit its files; found cmu-25, 3d; expected h36m"):
        expmap.load(written / "h3.6m/dataset", H36M, config, "mine")
    with pytest.raises(BadInput, match=r"is called 'h36n'; did you mean h36m"):
        expmap.find(written, "h36n")


@pytest.mark.shared
def test_the_reference_data_is_read(shared: Path, tmp_path: Path) -> None:
    """Four files: all 189 take some 20 CPU seconds."""
    place = expmap.find(shared / "data")
    assert place == shared / "data/h3.6m.zip"
    assert len(expmap.missing(place)) == 21
    with zipfile.ZipFile(place) as archive:
        for name in ("S1/walking_1", "S11/walking_1", "S5/walking_1", "S5/walking_2"):
            archive.extract(f"h3.6m/dataset/{name}.txt", tmp_path)
    read = load(tmp_path / "h3.6m/dataset")
    assert {clip.name: clip.frames for split in SPLITS for clip in read.clips[split]} == {
        "S1/walking_1": 1738, "S11/walking_1": 819, "S5/walking_1": 1500, "S5/walking_2": 1261,
    }  # fmt: skip
    text = (tmp_path / "h3.6m/dataset/S5/walking_1.txt").read_bytes()
    pose = H36M_32.pose(expmap.parse(text, 99, place, "S5/walking_1"))
    # The still joints stand at their offsets, and the others coincide as listed (spec 4.3).
    for joint in (0, 1, 6, 11):
        still = np.broadcast_to(H36M_32.offsets[joint], (1500, 3))
        np.testing.assert_allclose(pose[:, joint], still, atol=1e-9)
    for joint, twin in {16: 13, 20: 19, 23: 22, 24: 13, 28: 27, 31: 30}.items():
        np.testing.assert_allclose(pose[:, joint], pose[:, twin], atol=1e-9)
    # Both ankles stay below the hips and swing past each other.
    assert pose[:, [3, 8], 1].max() < -500
    assert np.ptp(pose[:, 3, 2] - pose[:, 8, 2]) > 400


@pytest.mark.shared
def test_standing_still_errs_as_much_as_was_measured_elsewhere(shared: Path) -> None:
    """Spec 4.5, row 'repeat last frame, at horizon, 256': files, bodies and draws together."""
    place = shared / "data/h3.6m.zip"
    absent = {place_of(name).action for name in expmap.missing(place) if name.startswith("S5/")}
    errors = []
    with zipfile.ZipFile(place) as archive:
        for action in sorted(set(expmap.H36M_ACTIONS) - absent):
            paths = [f"h3.6m/dataset/S5/{action}_{take}.txt" for take in (1, 2)]
            poses = [
                H36M_32.pose(expmap.parse(archive.read(path), 99, place, path)) for path in paths
            ]
            rng = np.random.RandomState(1234567890)
            for pose in itertools.chain.from_iterable(itertools.repeat(poses, 128)):
                first = rng.randint(16, len(pose) - 150) + 50
                moved = pose[first : first + 25] - pose[first - 1]
                errors.append(np.linalg.norm(moved, axis=-1).mean(-1))
    assert len(errors) == 11 * 256
    at = np.mean(errors, axis=0)
    horizons = [2, 4, 8, 10, 14, 18, 22, 25]
    assert at[[h - 1 for h in horizons]].round(1).tolist() == [
        24.3, 45.3, 77.5, 89.7, 108.7, 122.7, 132.5, 137.1,
    ]  # fmt: skip
    assert [round(at[:h].mean(), 1) for h in horizons] == [
        18.4, 29.4, 47.9, 55.7, 68.9, 79.8, 88.8, 94.4,
    ]  # fmt: skip


def test_a_text_that_expands_without_end_is_refused(spoiled: Path, tmp_path: Path) -> None:
    text = spoiled / "S1/walking_1.txt"
    text.write_bytes(text.read_bytes() + b"\n" * 5_000_000)
    message = refusal(packed(spoiled, tmp_path / "h3.6m.zip", top="h3.6m/dataset/"))
    assert "S1/walking_1.txt: too large for motion capture as text" in message


def test_an_archive_may_name_any_path(spoiled: Path, tmp_path: Path) -> None:
    file = packed(spoiled, tmp_path / "h3.6m.zip", top="../../../h3.6m/dataset/")
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("/etc/x\x1b[2J", "x")
    before = sorted(tmp_path.rglob("*"))
    assert len(load(file).clips["test"]) > 0
    assert sorted(tmp_path.rglob("*")) == before


def test_a_pipe_among_the_texts_is_not_read(spoiled: Path) -> None:
    os.mkfifo(spoiled / "S1/eating_1.txt")
    assert "S1/eating_1" not in {clip.name for clip in load(spoiled).clips["train"]}
