"""Datasets made from raw Human3.6M: splits, who lifts whom, and that no work is lost."""

import shutil

import numpy as np
import pytest

from bench.contracts import BadInput
from bench.data import h36m, prepare, store
from bench.data.clips import SPLITS
from bench.data.h36m import CAMERAS, TRAIN_SUBJECTS, Take
from bench.data.prepare import folder_for
from bench.data.skeletons import H36M_17, HOURGLASS_14


@pytest.fixture
def made(h36m_folder, cache):
    """Prepare a dataset in the test's own cache and load it."""

    def make(name: str, **given):
        return store.load(prepare.prepare(name, h36m_folder, "smoke", **given))

    return make


@pytest.fixture
def spied(monkeypatch):
    """What lifters are trained on, and which lifter lifts what, in order."""
    trained, lifted = [], []
    train, lift = prepare.train, prepare.lift

    def watched_train(config, scene, **given):
        model = train(config, scene, **given)
        trained.append((model, scene.pixels.numpy(), scene.poses.numpy()))
        return model

    def watched_lift(model, pixels, device="cpu"):
        lifted.append((model, pixels))
        return lift(model, pixels, device)

    monkeypatch.setattr(prepare, "train", watched_train)
    monkeypatch.setattr(prepare, "lift", watched_lift)
    return trained, lifted


def names(dataset, split: str) -> set[str]:
    return {clip.recording for clip in dataset.clips[split]}


def recordings(*subjects: str) -> set[str]:
    return {f"{subject}/{take}" for subject in subjects for take in ("Walking", "Walking 1")}


@pytest.fixture(scope="module")
def subjects_in(h36m_folder):
    """Tells whose detections some frames are."""
    owner = {
        frame.tobytes(): take.subject
        for take, _, seen in h36m.views(h36m_folder, (*TRAIN_SUBJECTS, *h36m.TEST_SUBJECTS))
        for frame in seen
    }
    return lambda pixels: {owner[frame.tobytes()] for frame in pixels}


def test_held_out_keeps_a_subject_for_validation(made, h36m_folder):
    dataset = made("h36m-fcn")
    assert names(dataset, "train") == recordings("S1", "S5", "S6", "S7")
    assert names(dataset, "validation") == recordings("S8")
    assert names(dataset, "test") == {*recordings("S9", "S11"), "S11/Greeting"}
    assert [len(dataset.clips[split]) for split in SPLITS] == [32, 8, 16 + 3]
    assert (dataset.space, dataset.skeleton, dataset.fps) == ("3d", H36M_17, 50)
    assert not dataset.standin
    assert "smoke budget, held-out: trained on S1, S5, S6, S7" in dataset.origin
    assert dataset.notes == (
        "left out for misaligned ground truth: S9 Greeting, S9 SittingDown 1, S9 Waiting 1",
        "not in the data: S5/Discussion 2 (motion capture), S11/Walking/54138969 (detections)",
    )
    for split in SPLITS:
        for clip in dataset.clips[split]:
            assert clip.truth.shape == clip.detected.shape == (clip.frames, 17, 3)
            assert not clip.truth[:, 0].any()
            assert not clip.detected[:, 0].any()
            assert np.isfinite(clip.detected).all()
            assert clip.image is None
    # Metres in the camera's frame: distances are the motion capture's, in mm.
    clip = dataset.clips["test"][1]
    assert clip.name == f"S9/Walking/{CAMERAS[1]}"
    world = Take("S9", "Walking", h36m_folder).world[:, h36m.MOCAP_17]
    away = np.linalg.norm(world - world[:, :1], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(clip.truth, axis=-1) * 1000, away, atol=0.01)
    seen = h36m.cameras(h36m_folder)["S9", CAMERAS[1]].to_camera(world)
    np.testing.assert_allclose(clip.truth * 1000, seen - seen[:, :1], rtol=0, atol=0.01)


def test_held_out_lifts_everybody_by_one_lifter_that_saw_four_subjects(
    made, spied, h36m_folder, subjects_in
):
    dataset = made("h36m-fcn")
    ((model, pixels, poses),), lifted = spied
    assert subjects_in(pixels) == {"S1", "S5", "S6", "S7"}
    assert all(other is model for other, _ in lifted)
    # The lifter learns truth in mm, of the frame that it sees.
    truth = np.concatenate([clip.truth for clip in dataset.clips["train"]])
    np.testing.assert_array_equal(poses, truth * np.float32(1000))
    assert len(pixels) == len(poses) == len(truth)
    clip = dataset.clips["test"][0]
    pixels = Take("S9", "Walking", h36m_folder).pixels(CAMERAS[0])
    np.testing.assert_array_equal(clip.detected[:, 1:], prepare.lift(model, pixels))


def test_all_trains_one_lifter_on_all_five_and_validates_on_takes(made, spied, subjects_in):
    dataset = made("h36m-fcn-all")
    assert names(dataset, "train") == {f"{s}/Walking 1" for s in TRAIN_SUBJECTS}
    assert names(dataset, "validation") == {f"{s}/Walking" for s in TRAIN_SUBJECTS}
    assert names(dataset, "test") == {*recordings("S9", "S11"), "S11/Greeting"}
    ((model, pixels, _),), lifted = spied
    assert subjects_in(pixels) == set(TRAIN_SUBJECTS)
    assert all(other is model for other, _ in lifted)
    assert "all: trained on S1, S5, S6, S7, S8" in dataset.origin


def test_out_of_fold_lifts_every_training_subject_by_a_lifter_that_has_not_seen_it(
    made, spied, subjects_in
):
    dataset = made("h36m-fcn-oof")
    assert names(dataset, "train") == {f"{s}/Walking 1" for s in TRAIN_SUBJECTS}
    assert names(dataset, "validation") == {f"{s}/Walking" for s in TRAIN_SUBJECTS}
    trained, lifted = spied
    seen = {id(model): subjects_in(pixels) for model, pixels, _ in trained}
    assert sorted(map(len, seen.values())) == [4, 4, 4, 4, 4, 5]
    assert len(lifted) == 40 + 19
    for model, pixels in lifted:
        (subject,) = subjects_in(pixels)
        assert seen[id(model)] == set(TRAIN_SUBJECTS) - {subject}


def test_the_detectors_joints_and_their_projected_truth(made, h36m_folder):
    dataset = made("h36m-sh")
    assert (dataset.space, dataset.skeleton, dataset.unit) == ("2d", HOURGLASS_14, "px")
    assert names(dataset, "train") == recordings("S1", "S5", "S6", "S7")
    assert names(dataset, "validation") == recordings("S8")
    assert names(dataset, "test") == {*recordings("S9", "S11"), "S11/Greeting"}
    rig = h36m.cameras(h36m_folder)
    scored = [0, 1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15]
    for clip in dataset.clips["test"]:
        subject, take_name, camera = clip.name.split("/")
        take = Take(subject, take_name, h36m_folder)
        np.testing.assert_array_equal(clip.detected, take.pixels(camera)[:, scored])
        joints = [h36m.MOCAP_DETECTED[joint] for joint in scored]
        truth = rig[subject, camera].project(take.world[:, joints])
        np.testing.assert_allclose(clip.truth, truth, rtol=0, atol=0.01)
        # The box goes around the truth.
        np.testing.assert_array_equal(clip.box[:, :2], clip.truth.min(1))
        np.testing.assert_array_equal(clip.box[:, 2:], clip.truth.max(1))
        tall = camera in ("54138969", "60457274")
        assert clip.image == (1000, 1002 if tall else 1000)
    assert len({clip.image for clip in dataset.clips["test"]}) == 2


@pytest.mark.parametrize("name", ["h36m-fcn", "h36m-sh"])
def test_a_second_call_does_nothing(made, h36m_folder, monkeypatch, name):
    said = []
    made(name, say=said.append)
    assert said[0].startswith(f"{name}: ")
    assert said[-1] == f"{name}: writing 59 clips"
    monkeypatch.setattr(h36m, "views", None)
    monkeypatch.setattr(store, "save", None)
    said.clear()
    assert made(name, say=said.append).name == name
    assert said == []


def test_only_the_dataset_is_left(made, cache):
    made("h36m-fcn")
    (folder,) = (cache / "prepared").iterdir()
    assert folder.name.startswith("h36m-fcn-smoke-")
    assert sorted(path.name for path in folder.iterdir()) == [
        "dataset.json",
        *sorted(f"{split}_{what}.npy" for split in SPLITS for what in ("detected", "truth")),
    ]


def test_numbers_repeat(made, h36m_folder):
    first = made("h36m-fcn").fingerprint
    shutil.rmtree(folder_for("h36m-fcn", h36m_folder, "smoke"))
    assert made("h36m-fcn").fingerprint == first


def test_a_preparation_that_was_interrupted_goes_on(made, h36m_folder, monkeypatch):
    whole = made("h36m-fcn-oof").fingerprint
    shutil.rmtree(folder_for("h36m-fcn-oof", h36m_folder, "smoke"))
    train, begun = prepare.train, []

    def dies_at_the_third(*args, **given):
        begun.append(given["checkpoint"].name)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return train(*args, **given)

    with monkeypatch.context() as patch:
        patch.setattr(prepare, "train", dies_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            made("h36m-fcn-oof")
    said = []
    again = made("h36m-fcn-oof", say=said.append)
    assert again.fingerprint == whole
    # All five, then without S1: both were trained before, four are left.
    epochs = [line.partition(" (")[0] for line in said if ": epoch 1/1" in line]
    assert epochs == [
        f"h36m-fcn-oof: lifter on {', '.join(s for s in TRAIN_SUBJECTS if s != left_out)}"
        for left_out in TRAIN_SUBJECTS[1:]
    ]


def test_lifters_outlive_a_failure_to_write(made, cache, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(store, "save", lambda *_: (_ for _ in ()).throw(BadInput("disk full")))
        with pytest.raises(BadInput, match="disk full"):
            made("h36m-fcn")
    assert len(list((cache / "prepared").glob("*.S1-S5-S6-S7.safetensors"))) == 1
    said = []
    made("h36m-fcn", say=said.append)
    assert not [line for line in said if "epoch" in line]
    assert not list((cache / "prepared").glob("*.safetensors"))


def test_what_is_kept_is_told_apart_by_files_variant_and_budget(spoiled_h36m, cache):
    def folders():
        return {
            folder_for(name, spoiled_h36m, budget)
            for name in ("h36m-fcn", "h36m-fcn-all", "h36m-fcn-oof", "h36m-sh")
            for budget in ("smoke", "quick", "paper")
        }

    before = folders()
    assert len(before) == 3 * 3 + 1  # pairing has no budget
    assert before == folders()
    assert {folder.parent for folder in before} == {cache / "prepared"}
    (spoiled_h36m / "S11/StackedHourglass/Greeting.54138969.h5").unlink()
    assert not before & folders()


@pytest.mark.parametrize("name", ["h36m-fcn", "h36m-sh"])
def test_a_cache_that_cannot_be_written_is_told_first(h36m_folder, tmp_path, monkeypatch, name):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(h36m, "views", None)
    with pytest.raises(BadInput, match=r"the cache cannot be written.*set BENCH_CACHE"):
        prepare.prepare(name, h36m_folder, "smoke")


def test_bad_files_are_told_and_nothing_is_kept(spoiled_h36m, cache):
    file = spoiled_h36m / "S7/StackedHourglass/Walking_1.58860488.h5"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(BadInput, match=r"Walking_1\.58860488\.h5: cannot be read"):
        prepare.prepare("h36m-sh", spoiled_h36m, "smoke")
    assert not list(cache.rglob("dataset.json"))


def test_a_lifter_that_lifts_to_nowhere_is_told_with_its_clip(made, monkeypatch):
    lift = prepare.lift
    monkeypatch.setattr(prepare, "lift", lambda *args: lift(*args) * np.float32(np.inf))
    with pytest.raises(BadInput, match=r"clip S1/Walking/54138969: a detection is infinite"):
        made("h36m-fcn")


@pytest.mark.cuda
def test_a_lifter_may_be_trained_on_cuda(made):
    dataset = made("h36m-fcn", device="cuda")
    assert all(np.isfinite(clip.detected).all() for clip in dataset.clips["test"])
