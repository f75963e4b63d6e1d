"""What there is, in lines."""

from pathlib import Path

import numpy as np
import pytest
from layouts import packed

from bench import config, registry
from bench.contracts import BadInput
from bench.data import catalogue, store
from bench.listing import checked, diagnosis, listed, prepared

PLUGIN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class _Options:
    pass

class Mine:
    title, source, revision, Options = "my own", "here", 1, _Options
    def __init__(self, options, window):
        pass
    def recover(self, keyframes):
        return keyframes
"""


@pytest.fixture
def data(tmp_path) -> Path:
    """3DPW with SPIN in the DeciWatch layout; each detection is 30 mm beside its truth."""
    rng = np.random.default_rng(4)
    for part, videos in (("train", "abc"), ("test", "de")):
        names = [[f"{video}/{i:06d}" for i in range(20)] for video in videos]
        truth = [rng.normal(0, 0.02, (20, 17, 3)).cumsum(0) for _ in videos]
        for poses in truth:
            # The root, between joints 1 and 4 of the 17, is seen rightly.
            poses[:, [1, 4]] = 0
        seen = [poses.copy() for poses in truth]
        for poses in seen:
            poses[:, 10, 0] += 0.14
        if part == "test":
            seen[0][3, 13] = np.nan
        for file, poses in (
            (tmp_path / f"groundtruth_poses/pw3d/pw3d_gt_{part}.npz", truth),
            (tmp_path / f"detected_poses/pw3d/spin/pw3d_spin_{part}.npz", seen),
        ):
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, imgname=packed(names), joints_3d=packed(poses))
    return tmp_path


@pytest.fixture(autouse=True)
def _clean(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_plugins", {})
    monkeypatch.setattr(registry, "_files", {})
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


def rows(lines: list[str]) -> dict[str, str]:
    return {line.split()[0]: line for line in lines[1:]}


def test_every_method_is_listed_with_kind_and_presets(tmp_path):
    found = rows(listed("methods", (), ()))
    assert list(found) == registry.method_names()
    assert "frames" in found["estimator"]
    assert "fitted" in found["ridge"]
    assert found["ridge"].split()[1] == "recovery"
    assert found["simlpe"].split()[1] == "prediction"
    assert all(preset in found["deciwatch"] for preset in config.method_config("deciwatch").presets)
    file = tmp_path / "plugin.py"
    file.write_text(PLUGIN)
    assert rows(listed("methods", (file,), ()))["mine"].split() == [
        "mine", "recovery", "fixed", "keyframes", "default", "my", "own", "here",
    ]  # fmt: skip


def test_every_table_is_listed():
    found = rows(listed("tables", (), ()))
    assert list(found) == config.table_names()
    assert [found[name].split()[1] for name in ("table3", "table4")] == ["recovery", "prediction"]


def test_every_dataset_is_listed_with_where_it_comes_from(data):
    found = rows(listed("datasets", (), (data,)))
    assert list(found) == config.dataset_names()
    assert f"DeciWatch files in {data}" in found["pw3d-spin"]
    assert "stand-in" in found["h36m-fcn"]
    assert found["h36m-fcn"].split()[1] == "recovery"
    assert found["h36m-motion"].split()[1] == "prediction"
    assert "no data for aist-spin-smpl, and it has no stand-in" in found["aist-spin-smpl"]


def test_a_check_says_what_a_dataset_holds_and_how_its_estimator_does(data):
    lines = list(checked(["pw3d-spin"], (data,)))
    assert lines[0].startswith("pw3d-spin: 3DPW / SPIN, from the DeciWatch files of pw3d")
    assert "[stand-in]" not in lines[0]
    assert "  test: 2 clips, 40 frames, 1 missed joints" in lines
    # One of 14 joints is 140 mm off at every frame.
    assert any("every frame: MPJPE 10.00 mm (published 96.6)" in line for line in lines)
    assert any("missed detections" in line for line in lines)


def test_a_check_of_everything_goes_on_where_there_is_no_data(monkeypatch, data):
    monkeypatch.setattr(config, "dataset_names", lambda: ["aist-spin-smpl", "pw3d-spin"])
    lines = list(checked([], (data,)))
    assert lines[0].startswith("aist-spin-smpl: no data for aist-spin-smpl")
    assert any(line.startswith("pw3d-spin: ") for line in lines)
    with pytest.raises(BadInput, match="no data for aist-spin-smpl"):
        list(checked(["aist-spin-smpl"], (data,)))


def test_a_check_finds_numbers_that_changed_after_they_were_prepared(data):
    folder = catalogue.open_folder("pw3d-spin", (data,), budget="quick")
    array = np.load(folder / "test_detected.npy", mmap_mode="r+")
    array[0, 0, 0] += 0.001
    array.flush()
    with pytest.raises(BadInput, match=r"the prepared data is damaged; .*delete the folder"):
        list(checked(["pw3d-spin"], (data,)))


def test_a_check_of_motion_capture_says_what_is_covered(tmp_path):
    names = {"S1/walking_1", "S11/eating_1", "S5/eating_1", "S5/eating_2", "S5/walking_2"}
    for name in names:
        file = tmp_path / f"h3.6m/dataset/{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((",".join(["0.1"] * 99) + "\n") * 334)
    lines = list(checked(["h36m-motion"], (tmp_path,)))
    assert lines[0] == (
        "h36m-motion: Human3.6M / motion capture, from Human3.6M motion capture in exponential "
        "maps, 5 files"
    )
    assert lines[1:4] == [
        "  train: 1 clip, 167 frames, 1 action",
        "  validation: 1 clip, 167 frames, 1 action",
        "  test: 3 clips, 501 frames, 2 actions",
    ]
    assert lines[4].startswith("  note: not in the data: S1 walking_2, eating_1/2")
    assert lines[5:] == ["  note: complete test actions, 1 of 15: eating"]


def test_preparing_says_where_the_data_is_kept(data):
    said = []
    lines = prepared("pw3d-spin", (data,), "cpu", "quick", said.append)
    assert said == [f"pw3d-spin: reading DeciWatch files in {data}"]
    assert lines[-1].startswith(f"  kept in {store.cache_folder()}")
    said.clear()
    prepared("pw3d-spin", (data,), "cpu", "quick", said.append)
    assert said == []


def test_the_diagnosis_names_versions_device_cache_and_data(data, tmp_path):
    lines = diagnosis((data,), tmp_path / "out")
    found = {line.split()[0]: line for line in lines if line}
    assert {"bench", "python", "torch", "device", "cache", *config.dataset_names()} <= set(found)
    assert str(store.cache_folder()) in found["cache"]
    assert "DeciWatch files" in found["pw3d-spin"]
