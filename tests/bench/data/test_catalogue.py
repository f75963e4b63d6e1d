"""Where a dataset comes from: order of places, stand-ins, and what is made once."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bench.contracts import BadInput
from bench.data import catalogue, store
from bench.data.catalogue import data_roots, locate, open_folder, prepared_budgets
from bench.data.clips import SPLITS, Clip, Dataset
from bench.data.prepare import folder_for
from bench.data.skeletons import H36M_17, SKELETONS


def packed(items: list) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def write_smpl(folder: Path, model) -> None:
    """A body model's two files."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "SMPL_NEUTRAL.npz",
        v_template=model.template,
        shapedirs=model.shape_basis,
        posedirs=model.pose_basis.T.reshape(len(model.template), 3, -1),
        J_regressor=model.regressor,
        weights=model.weights,
        kintree_table=np.array([model.parents, range(24)]),
    )
    np.save(folder / "J_regressor_extra.npy", np.tile(model.headtop, (9, 1)))


def write_deciwatch(root: Path, dataset="h36m", estimator="fcn", seed: int = 0) -> Path:
    """The four files of one 3D dataset: three short training clips and one test clip."""
    rng = np.random.default_rng(seed)
    videos = {"train": ["S1/Eating/c0", "S5/Eating/c0", "S8/Eating/c0"], "test": ["S9/Eating/c0"]}
    for part, named in videos.items():
        for path in (
            root / f"groundtruth_poses/{dataset}/{dataset}_gt_{part}.npz",
            root / f"detected_poses/{dataset}/{estimator}/{dataset}_{estimator}_{part}.npz",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            poses = [rng.uniform(-0.5, 0.5, (6 + i, 51)) for i, _ in enumerate(named)]
            images = [np.array([f"{v}/{n}" for n in range(6 + i)]) for i, v in enumerate(named)]
            turns = [rng.normal(size=(len(p), 72)) for p in poses]
            shapes = [rng.normal(size=(len(p), 10)) for p in poses]
            np.savez(
                path,
                imgname=packed(images),
                joints_3d=packed(poses),
                pose=packed(turns),
                shape=packed(shapes),
            )
    return root


@pytest.fixture
def deciwatch_root(tmp_path) -> Path:
    return write_deciwatch(tmp_path / "deciwatch-root")


@pytest.fixture
def h36m_root(h36m_folder) -> Path:
    return h36m_folder.parent


def test_roots_come_from_the_environment_unless_given(monkeypatch, deciwatch_root, h36m_root):
    assert data_roots() == ()
    monkeypatch.setenv("BENCH_DATA", os.pathsep.join([str(h36m_root), "", str(deciwatch_root)]))
    assert data_roots() == (h36m_root, deciwatch_root)
    assert data_roots([deciwatch_root]) == (deciwatch_root,)
    assert data_roots([deciwatch_root, h36m_root]) == (deciwatch_root, h36m_root)


def test_a_root_may_hold_its_layouts_in_subfolders(tmp_path, h36m_folder):
    write_deciwatch(tmp_path / "both" / "deciwatch")
    (tmp_path / "both" / "h36m").symlink_to(h36m_folder)
    roots = data_roots([tmp_path / "both"])
    found = locate("h36m-fcn", roots)
    assert (found.layout, found.root) == ("deciwatch", tmp_path / "both")
    found = locate("h36m-sh", roots)
    assert (found.layout, found.root) == ("h36m", tmp_path / "both" / "h36m")


def test_a_folder_that_is_not_there_is_told(tmp_path, monkeypatch):
    with pytest.raises(BadInput, match=r"none: no such data folder; see docs/data\.md"):
        data_roots([tmp_path / "none"])
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "none"))
    with pytest.raises(BadInput, match="no such data folder"):
        data_roots()


def test_a_folder_without_a_known_layout_is_told(tmp_path, deciwatch_root):
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "groundtruth_poses").mkdir()  # half a layout is none
    with pytest.raises(BadInput, match=r"some: no data in a known layout.*h36m/cameras\.h5"):
        data_roots([deciwatch_root, tmp_path / "some"])


def test_the_first_root_that_has_it_wins(deciwatch_root, h36m_root, h36m_folder):
    found = locate("h36m-fcn", (deciwatch_root, h36m_root))
    assert (found.layout, found.root) == ("deciwatch", deciwatch_root)
    assert (found.source.dataset, found.source.estimator) == ("h36m", "fcn")
    assert found.words == f"DeciWatch files in {deciwatch_root}"
    found = locate("h36m-fcn", (h36m_root, deciwatch_root))
    assert (found.layout, found.root) == ("h36m", h36m_folder)
    assert found.words == f"raw Human3.6M in {h36m_folder}"
    # What can only be made from raw data is not looked for elsewhere.
    assert locate("h36m-fcn-oof", (deciwatch_root, h36m_root)).root == h36m_folder


def test_a_dataset_that_is_nowhere_has_its_stand_in_or_is_refused(deciwatch_root):
    for roots in ((), (deciwatch_root,)):
        found = locate("pw3d-spin", roots)
        assert (found.layout, found.root, found.source) == ("stand-in", None, None)
        assert found.words == "stand-in, no data found"
    with pytest.raises(BadInput, match=r"no data for h36m-fcn-oof, and it has no stand-in"):
        locate("h36m-fcn-oof", (deciwatch_root,))


def write_captured(folder: Path, size: float = 0.1) -> Path:
    """Human3.6M as exponential maps: one file of each split."""
    for number, subject in enumerate(("S1", "S11", "S5")):
        file = folder / subject / "walking_1.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(",".join(["0"] * 98 + [str(size * number)]) + "\n")
        file.write_text(file.read_text() * 340)
    return folder


@pytest.fixture
def captured_root(tmp_path) -> Path:
    write_captured(tmp_path / "captured/h3.6m/dataset")
    return tmp_path / "captured"


def zipped(root: Path, file: Path) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in root.rglob("*.txt"):
            archive.writestr(path.relative_to(root).as_posix(), path.read_bytes())
    return file


def test_motion_capture_is_found_as_a_folder_or_an_archive_beside_other_data(
    captured_root, h36m_folder, tmp_path
):
    found = locate("h36m-motion", data_roots([captured_root]))
    place = captured_root / "h3.6m/dataset"
    assert (found.layout, found.root) == ("expmap", place)
    assert found.words == f"exponential maps in {place}"
    side_by_side = tmp_path / "all"
    side_by_side.mkdir()
    (side_by_side / "h36m").symlink_to(h36m_folder)
    assert locate("h36m-motion", data_roots([side_by_side])).layout == "stand-in"
    archive = zipped(captured_root, side_by_side / "h3.6m.zip")
    write_deciwatch(side_by_side / "deciwatch")
    roots = data_roots([side_by_side])
    assert locate("h36m-motion", roots).root == archive
    assert locate("h36m-sh", roots).root == side_by_side / "h36m"
    assert locate("h36m-fcn", roots).layout == "deciwatch"
    assert locate("h36m-motion", data_roots([archive])).root == archive
    with pytest.raises(BadInput, match="no data for cmu-motion"):
        locate("cmu-motion", roots)


def test_motion_capture_is_read_once_and_again_when_a_file_changes(cache, captured_root):
    said = []

    def opened() -> Path:
        return open_folder("h36m-motion", (captured_root,), budget="quick", say=said.append)

    folder = opened()
    assert said == [f"h36m-motion: reading exponential maps in {captured_root / 'h3.6m/dataset'}"]
    assert opened() == folder
    assert len(said) == 1
    dataset = store.load(folder)
    assert [len(dataset.clips[split]) for split in SPLITS] == [1, 1, 1]
    os.utime(captured_root / "h3.6m/dataset/S11/walking_1.txt", ns=(1, 1))
    assert opened() != folder
    archive = zipped(captured_root, captured_root.parent / "h3.6m.zip")
    from_archive = open_folder("h36m-motion", (archive,), budget="quick")
    assert store.load(from_archive).fingerprint == dataset.fingerprint
    os.utime(archive, ns=(1, 1))
    assert open_folder("h36m-motion", (archive,), budget="quick") != from_archive


def test_an_unknown_dataset_is_told():
    with pytest.raises(BadInput, match="h36m-fcn"):
        locate("h36m-fnc", ())


FOUR = (
    "groundtruth_poses/h36m/h36m_gt_train.npz",
    "groundtruth_poses/h36m/h36m_gt_test.npz",
    "detected_poses/h36m/fcn/h36m_fcn_train.npz",
    "detected_poses/h36m/fcn/h36m_fcn_test.npz",
)


@pytest.mark.parametrize("file", FOUR)
def test_a_dataset_with_one_file_missing_is_no_stand_in(deciwatch_root, file):
    (deciwatch_root / file).unlink()
    with pytest.raises(BadInput) as error:
        locate("h36m-fcn", (deciwatch_root,))
    assert str(error.value) == (
        f"{deciwatch_root / file}: no such file; expected all four files of h36m with fcn; "
        "docs/data.md says where to get it"
    )


def test_truth_without_this_estimators_detections_is_not_an_incomplete_dataset(tmp_path):
    write_deciwatch(tmp_path, "pw3d", "spin")
    assert locate("pw3d-spin", (tmp_path,)).layout == "deciwatch"
    assert locate("pw3d-eft", (tmp_path,)).layout == "stand-in"


def test_the_stand_in_is_made_once_and_says_what_it_is(cache, monkeypatch):
    made = []

    def tiny(name, config):
        made.append((name, config.title))
        poses = np.zeros((3, 15, 2), np.float32)
        box = np.tile(np.float32([0, 0, 1, 1]), (3, 1))
        clip = Clip("a", "a", poses, poses, (9, 9), box)
        return Dataset(
            name, config.title, "none", "2d", 25, SKELETONS[config.skeleton],
            dict.fromkeys(SPLITS, (clip,)), "synthetic", standin=True,
        )  # fmt: skip

    monkeypatch.setattr(catalogue, "standin", tiny)
    said = []
    folder = open_folder("jhmdb-simplepose", (), budget="quick", say=said.append)
    assert said == ["jhmdb-simplepose: no data found, making its stand-in"]
    assert store.load(folder).standin
    assert folder.is_relative_to(cache / "stand-ins")
    assert open_folder("jhmdb-simplepose", (), budget="paper", say=said.append) == folder
    assert len(made) == len(said) == 1


def test_deciwatch_files_are_read_once_and_again_when_one_changes(cache, deciwatch_root):
    said = []

    def opened() -> Path:
        return open_folder("h36m-fcn", (deciwatch_root,), budget="quick", say=said.append)

    folder = opened()
    assert said == [f"h36m-fcn: reading DeciWatch files in {deciwatch_root}"]
    assert folder.is_relative_to(cache / "read")
    dataset = store.load(folder)
    assert not dataset.standin
    assert [len(dataset.clips[split]) for split in SPLITS] == [2, 1, 1]
    assert opened() == folder
    assert len(said) == 1
    # Only the time differs: it may be another file of the same size.
    file = deciwatch_root / FOUR[3]
    os.utime(file, ns=(1, 1))
    touched = opened()
    assert touched != folder
    assert len(said) == 2
    assert store.load(touched).fingerprint == dataset.fingerprint
    write_deciwatch(deciwatch_root, seed=1)
    assert store.load(opened()).fingerprint != dataset.fingerprint


def test_a_body_model_that_comes_later_makes_bodies_of_the_same_files(
    cache, tmp_path, small_body, monkeypatch
):
    pytest.importorskip("smplx", reason="the extra 'body' is not installed")
    monkeypatch.delenv("BENCH_SMPL", raising=False)
    root = write_deciwatch(tmp_path / "root", "pw3d", "spin")

    def opened(name="pw3d-spin-smpl") -> Path:
        return open_folder(name, (root,), budget="quick")

    bare, joints = opened(), opened("pw3d-spin")
    assert store.load(bare).body is None
    assert locate("pw3d-spin-smpl", (root,)).words == f"DeciWatch files in {root}"
    write_smpl(root / "smpl", small_body)
    shaped = opened()
    assert shaped != bare
    assert store.load(shaped).body.digest == small_body.digest
    assert store.load(shaped).fingerprint != store.load(bare).fingerprint
    assert locate("pw3d-spin-smpl", (root,)).words == (
        f"DeciWatch files in {root}, body model in {root / 'smpl'}"
    )
    # What has no rotations needs no body, and is not read again for one.
    assert opened("pw3d-spin") == joints
    assert locate("pw3d-spin", (root,)).body is None
    (root / "smpl/J_regressor_extra.npy").unlink()
    with pytest.raises(BadInput, match=r"J_regressor_extra\.npy: no such file"):
        opened()
    assert opened("pw3d-spin") == joints


def test_two_roots_are_not_taken_for_each_other(cache, tmp_path):
    folders = set()
    for seed, root in enumerate((tmp_path / "a", tmp_path / "b")):
        write_deciwatch(root, seed=seed)
        for file in FOUR:
            os.utime(root / file, ns=(1, 1))
        folders.add(open_folder("h36m-fcn", (root,), budget="quick"))
    assert len({store.load(folder).fingerprint for folder in folders}) == 2


def test_raw_data_is_prepared_with_the_budget_asked_for(cache, h36m_root, h36m_folder):
    folder = open_folder("h36m-fcn", (h36m_root,), budget="smoke")
    assert folder == folder_for("h36m-fcn", h36m_folder, "smoke")
    assert "smoke budget" in store.load(folder).origin
    pairs = open_folder("h36m-sh", (h36m_root,), budget="smoke")
    assert pairs == folder_for("h36m-sh", h36m_folder, "paper")
    assert store.load(pairs).space == "2d"


def put_prepared(root: Path, budget: str) -> Path:
    poses = np.zeros((3, 17, 3), np.float32)
    dataset = Dataset(
        "h36m-fcn", "t", "FCN", "3d", 50, H36M_17,
        dict.fromkeys(SPLITS, (Clip("a", "a", poses, poses),)), f"{budget} budget",
    )  # fmt: skip
    folder = folder_for("h36m-fcn", root, budget)
    store.save(dataset, folder)
    return folder


def test_only_a_quick_run_takes_a_better_lifter_than_its_own(
    cache, h36m_root, h36m_folder, monkeypatch
):
    monkeypatch.setattr(
        catalogue, "prepare", lambda name, root, budget, **_: folder_for(name, root, budget)
    )
    budgets = {folder_for("h36m-fcn", h36m_folder, b): b for b in ("smoke", "quick", "paper")}

    def taken() -> list[str]:
        return [
            budgets[open_folder("h36m-fcn", (h36m_root,), budget=budget)]
            for budget in budgets.values()
        ]

    assert prepared_budgets("h36m-fcn", h36m_folder) == []
    assert taken() == ["smoke", "quick", "paper"]
    put_prepared(h36m_folder, "quick")
    assert prepared_budgets("h36m-fcn", h36m_folder) == ["quick"]
    assert taken() == ["smoke", "quick", "paper"]
    put_prepared(h36m_folder, "paper")
    assert prepared_budgets("h36m-fcn", h36m_folder) == ["paper", "quick"]
    assert taken() == ["smoke", "paper", "paper"]


@pytest.mark.parametrize("name", ["h36m-fcn", "h36m-sh", "pw3d-spin"])
def test_nothing_is_made_when_that_is_not_wanted(cache, h36m_root, name):
    with pytest.raises(BadInput, match=f"{name} is not prepared; bench run prepares"):
        open_folder(name, (h36m_root,), budget="smoke", make=False)
    assert not cache.exists()


def test_what_is_there_is_opened_without_making_anything(cache, deciwatch_root):
    roots = (deciwatch_root,)
    with pytest.raises(BadInput, match="h36m-fcn is not prepared"):
        open_folder("h36m-fcn", roots, budget="quick", make=False)
    folder = open_folder("h36m-fcn", roots, budget="quick")
    assert open_folder("h36m-fcn", roots, budget="quick", make=False) == folder


def test_files_of_other_datasets_change_nothing(cache, deciwatch_root):
    folder = open_folder("h36m-fcn", (deciwatch_root,), budget="quick")
    write_deciwatch(deciwatch_root, "pw3d", "spin")
    assert open_folder("h36m-fcn", (deciwatch_root,), budget="quick") == folder
