"""Our own format: exact, memory-mapped, replaced as a whole, and nothing in it is ever run."""

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts import BadInput
from bench.data import store
from bench.data.clips import SPLITS, Clip, Dataset, missed
from bench.data.skeletons import H36M_17, JHMDB_15, SMPL_24

FRAMES = {"train": (5, 3), "validation": (4,), "test": (2, 6, 1)}


def dataset(space: str = "2d", seed: int = 0) -> Dataset:
    """Clips of 1 to 6 frames with missed detections; in 2D with boxes and images of two sizes."""
    rng = np.random.default_rng(seed)
    skeleton, dims = (JHMDB_15, 2) if space == "2d" else (H36M_17, 3)
    joints = len(skeleton.joints)
    clips = {}
    for split in SPLITS:
        made = []
        for index, frames in enumerate(FRAMES[split]):
            poses = rng.normal(size=(2, frames, joints, dims)).astype(np.float32)
            poses[0, frames // 2, 3] = np.nan
            box = np.sort(rng.uniform(0, 200, (frames, 4)), axis=1).astype(np.float32)
            made.append(
                Clip(
                    f"{split}/gehe_ö/{index}",
                    f"{split}/gehe",
                    *poses,
                    image=(320 + index, 240) if space == "2d" else None,
                    box=box if space == "2d" else None,
                )
            )
        clips[split] = tuple(made)
    return Dataset(
        name="jhmdb-simplepose",
        title="Sub-JHMDB / SimplePose",
        estimator="SimplePose",
        space=space,
        fps=25.5,
        skeleton=skeleton,
        clips=clips,
        origin="a test",
        standin=True,
        notes=("first note", "second note"),
        fingerprint=store.fingerprint((split, clip) for split in SPLITS for clip in clips[split]),
    )


def test_what_is_missed_is_counted_once_and_told(tmp_path, monkeypatch):
    store.save(dataset(), tmp_path / "d")
    monkeypatch.setattr(Clip, "missed", None)
    mapped = store.load(tmp_path / "d")
    assert [missed(mapped, split) for split in SPLITS] == [2, 1, 3]
    monkeypatch.undo()
    file = tmp_path / "d" / "dataset.json"
    meta = json.loads(file.read_text())
    del meta["missed"]  # as prepared before it was counted
    file.write_text(json.dumps(meta))
    assert [missed(store.load(tmp_path / "d"), split) for split in SPLITS] == [2, 1, 3]


def refusal(folder: Path) -> str:
    with pytest.raises(BadInput) as error:
        store.load(folder)
    return str(error.value)


@pytest.fixture
def folder(tmp_path) -> Path:
    store.save(dataset(), tmp_path / "d")
    return tmp_path / "d"


@pytest.mark.parametrize("space", ["2d", "3d"])
def test_what_is_saved_is_loaded(tmp_path, space):
    saved = dataset(space)
    store.save(saved, tmp_path / "deep" / "d")
    loaded = store.load(tmp_path / "deep" / "d")
    for field in (
        "name", "title", "estimator", "space", "fps", "skeleton", "origin", "standin", "notes",
        "fingerprint",
    ):  # fmt: skip
        assert getattr(loaded, field) == getattr(saved, field), field
    for split in SPLITS:
        for one, other in zip(saved.clips[split], loaded.clips[split], strict=True):
            assert (one.name, one.recording, one.image) == (
                other.name,
                other.recording,
                other.image,
            )
            np.testing.assert_array_equal(one.detected, other.detected)
            np.testing.assert_array_equal(one.truth, other.truth)
            assert other.truth.dtype == other.detected.dtype == np.float32
            if space == "2d":
                np.testing.assert_array_equal(one.box, other.box)
            else:
                assert other.box is None
    again = store.fingerprint((split, clip) for split in SPLITS for clip in loaded.clips[split])
    assert again == saved.fingerprint
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["d"]


def motion_capture() -> Dataset:
    """A dataset whose detections are its truth."""
    saved = dataset("3d")
    clips = {
        split: tuple(replace(clip, detected=clip.truth) for clip in saved.clips[split])
        for split in SPLITS
    }
    listed = [(split, clip) for split in SPLITS for clip in clips[split]]
    return replace(saved, clips=clips, fingerprint=store.fingerprint(listed))


def test_what_is_detected_without_error_is_stored_once(tmp_path):
    saved = motion_capture()
    store.save(saved, tmp_path / "d")
    assert sorted(path.name for path in (tmp_path / "d").glob("*.npy")) == [
        "test_truth.npy", "train_truth.npy", "validation_truth.npy",
    ]  # fmt: skip
    loaded = store.load(tmp_path / "d")
    for split in SPLITS:
        for one, other in zip(saved.clips[split], loaded.clips[split], strict=True):
            assert other.detected is other.truth
            np.testing.assert_array_equal(one.truth, other.truth)
    again = store.fingerprint((split, clip) for split in SPLITS for clip in loaded.clips[split])
    assert again == saved.fingerprint


def test_one_clip_with_detections_of_its_own_keeps_all_of_them(tmp_path):
    saved = motion_capture()
    other = replace(saved.clips["test"][0], detected=saved.clips["test"][0].truth + 1)
    clips = {**saved.clips, "test": (other, *saved.clips["test"][1:])}
    store.save(replace(saved, clips=clips), tmp_path / "d")
    loaded = store.load(tmp_path / "d").clips
    np.testing.assert_array_equal(loaded["test"][0].detected, other.detected)
    np.testing.assert_array_equal(loaded["train"][0].detected, saved.clips["train"][0].truth)


def test_detections_that_are_gone_are_not_taken_for_the_truth(folder):
    edited(folder, lambda meta: meta.pop("detected_is_truth"))
    assert store.load(folder).fingerprint == dataset().fingerprint  # as older versions wrote it
    (folder / "train_detected.npy").unlink()
    assert "the prepared data is damaged" in refusal(folder)


def bodies(model) -> Dataset:
    """A dataset of rotations with shapes and a body model."""
    rng = np.random.default_rng(3)
    clips = {}
    for split in SPLITS:
        arrays = [
            [rng.normal(size=(t, *rest)).astype(np.float32) for rest in ((24, 6), (10,)) * 2]
            for t in FRAMES[split]
        ]
        clips[split] = tuple(
            Clip(f"{split}{i}", split, a, c, detected_shape=b, truth_shape=d)
            for i, (a, b, c, d) in enumerate(arrays)
        )
    listed = [(split, clip) for split in SPLITS for clip in clips[split]]
    return replace(
        dataset("3d"), space="6d", skeleton=SMPL_24, clips=clips, body=model,
        fingerprint=store.fingerprint(listed, model),
    )  # fmt: skip


def test_bodies_are_saved_with_their_shapes_and_model(tmp_path, small_body):
    saved = bodies(small_body)
    store.save(saved, tmp_path / "d")
    loaded = store.load(tmp_path / "d")
    for split in SPLITS:
        for one, other in zip(saved.clips[split], loaded.clips[split], strict=True):
            np.testing.assert_array_equal(one.detected_shape, other.detected_shape)
            np.testing.assert_array_equal(one.truth_shape, other.truth_shape)
            assert isinstance(file_of(other.truth_shape), np.memmap)
    assert loaded.body.digest == small_body.digest
    assert loaded.body.parents == small_body.parents
    assert store.fingerprint(listed(loaded), loaded.body) == saved.fingerprint
    assert len(list((tmp_path / "d").glob("body_*.npy"))) == 6


def test_rotations_may_come_without_shapes_and_without_a_model(tmp_path, small_body):
    saved = replace(bodies(small_body), body=None)
    store.save(saved, tmp_path / "d")
    loaded = store.load(tmp_path / "d")
    assert loaded.body is None
    assert loaded.clips["test"][0].truth_shape.shape == (2, 10)
    bare = {
        split: tuple(replace(c, detected_shape=None, truth_shape=None) for c in saved.clips[split])
        for split in SPLITS
    }
    store.save(replace(saved, clips=bare), tmp_path / "d")
    loaded = store.load(tmp_path / "d")
    assert loaded.clips["test"][0].truth_shape is None
    assert loaded.clips["test"][0].detected_shape is None


def test_shapes_and_model_change_the_fingerprint(small_body):
    saved = bodies(small_body)
    clips = listed(saved)
    other = replace(small_body, headtop=small_body.headtop[::-1].copy())
    made = {saved.fingerprint, store.fingerprint(clips), store.fingerprint(clips, other)}
    for what in ("detected_shape", "truth_shape"):
        split, clip = clips[2]
        changed = [*clips[:2], (split, replace(clip, **{what: getattr(clip, what) + 1}))]
        made.add(store.fingerprint([*changed, *clips[3:]], small_body))
    assert len(made) == 5


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("body_weights.npy", np.zeros((30, 23), np.float32)),
        ("body_template.npy", np.zeros((30, 3))),
        ("body_headtop.npy", np.full(30, np.nan, np.float32)),
        ("test_truth_shape.npy", np.zeros((9, 9), np.float32)),
    ],
)
def test_a_damaged_body_is_told(tmp_path, small_body, name, array):
    store.save(bodies(small_body), tmp_path / "d")
    np.save(tmp_path / "d" / name, array)
    assert str(tmp_path / "d") in refusal(tmp_path / "d")
    (tmp_path / "d" / name).unlink()
    assert "the prepared data is damaged" in refusal(tmp_path / "d")


def test_a_split_may_be_empty(tmp_path):
    saved = dataset()
    store.save(replace(saved, clips={**saved.clips, "validation": ()}), tmp_path / "d")
    loaded = store.load(tmp_path / "d")
    assert loaded.clips["validation"] == ()
    np.testing.assert_array_equal(loaded.clips["test"][2].truth, saved.clips["test"][2].truth)


def file_of(view):
    """The array that a view of a view is of."""
    while isinstance(view.base, np.ndarray):
        view = view.base
    return view


def test_arrays_are_views_of_the_file_and_never_write_to_it(folder):
    before = (folder / "test_truth.npy").read_bytes()
    clips = store.load(folder).clips["test"]
    for clip in clips:
        assert isinstance(file_of(clip.truth), np.memmap)
        assert file_of(clip.truth) is file_of(clips[0].truth)
        # A slice of a memmap is slow to make, and there may be many.
        assert type(clip.truth) is np.ndarray
    clips[0].truth[:] = 7
    assert (folder / "test_truth.npy").read_bytes() == before


def test_arrays_need_no_more_than_numpy(folder):
    saved = dataset()
    stored = np.load(folder / "train_detected.npy", allow_pickle=False)
    clips = saved.clips["train"]
    np.testing.assert_array_equal(stored, np.concatenate([clip.detected for clip in clips]))


def test_lists_in_any_memory_order_are_stored_alike(tmp_path):
    saved = dataset()
    clip = saved.clips["train"][0]
    turned = replace(clip, truth=np.asfortranarray(clip.truth), detected=clip.detected[:, ::1])
    splits = {**saved.clips, "train": (turned, *saved.clips["train"][1:])}
    store.save(replace(saved, clips=splits), tmp_path / "d")
    np.testing.assert_array_equal(store.load(tmp_path / "d").clips["train"][0].truth, clip.truth)
    listed = [(split, c) for split in SPLITS for c in splits[split]]
    assert store.fingerprint(listed) == saved.fingerprint


def listed(data: Dataset) -> list:
    return [(split, clip) for split in SPLITS for clip in data.clips[split]]


@settings(max_examples=40)
@given(
    st.integers(0, 5),
    st.sampled_from(["detected", "truth", "box"]),
    st.floats(0, 1, exclude_max=True),
)
def test_any_changed_number_changes_the_fingerprint(which, what, where):
    clips = listed(dataset())
    split, clip = clips[which]
    numbers = getattr(clip, what).copy()
    place = int(where * numbers.size)
    old = numbers.flat[place]
    # The smallest change there is; a missed detection becomes one that is not.
    numbers.flat[place] = 0 if np.isnan(old) else np.nextafter(old, np.float32(np.inf))
    clips[which] = (split, replace(clip, **{what: numbers}))
    assert store.fingerprint(clips) != dataset().fingerprint


@pytest.mark.parametrize(
    "change",
    [{"name": "x"}, {"recording": "x"}, {"image": (1, 2)}, {"image": None}, {"box": None}],
    ids=str,
)
def test_any_other_change_of_a_clip_changes_the_fingerprint(change):
    clips = listed(dataset())
    clips[1] = (clips[1][0], replace(clips[1][1], **change))
    assert store.fingerprint(clips) != dataset().fingerprint


def test_order_split_and_ends_of_clips_change_the_fingerprint():
    clips = listed(dataset())
    (_, first), (_, second) = clips[:2]
    joined = replace(
        first,
        detected=np.concatenate([first.detected, second.detected]),
        truth=np.concatenate([first.truth, second.truth]),
        box=np.concatenate([first.box, second.box]),
    )
    fingerprints = {
        store.fingerprint(some)
        for some in (
            clips,
            [clips[1], clips[0], *clips[2:]],
            [("test", first), *clips[1:]],
            clips[1:],
            [("train", joined), *clips[2:]],
        )
    }
    assert len(fingerprints) == 5
    assert all(len(digits) == 16 and int(digits, 16) >= 0 for digits in fingerprints)


def edited(folder: Path, change) -> None:
    file = folder / "dataset.json"
    meta = json.loads(file.read_text(encoding="utf-8"))
    change(meta)
    file.write_text(json.dumps(meta), encoding="utf-8")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", "{}", '{"format": 1}', '{"format": 1, "clips": 3}']
)
def test_a_damaged_description_is_told(folder, text):
    (folder / "dataset.json").write_text(text)
    message = refusal(folder)
    assert message.startswith(f"{folder / 'dataset.json'}: the prepared data is damaged; found ")
    assert message.endswith("delete the folder to prepare it anew")


@pytest.mark.parametrize("key", ["name", "skeleton", "space", "notes", "clips", "fingerprint"])
def test_a_description_that_lacks_something_is_told(folder, key):
    edited(folder, lambda meta: meta.pop(key))
    assert f"{key}: Field required" in refusal(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda meta: meta.update(skeleton="octopus-8"),
        lambda meta: meta.update(space="4d"),
        lambda meta: meta["clips"].pop("test"),
        lambda meta: meta["clips"]["test"][0].pop("frames"),
        lambda meta: meta["clips"]["test"][0].update(frames="many"),
        lambda meta: meta["clips"]["test"][0].update(image=3),
        lambda meta: meta["clips"]["test"].append("a clip"),
    ],
)
def test_a_description_that_makes_no_sense_is_told(folder, change):
    edited(folder, change)
    assert refusal(folder).startswith(f"{folder / 'dataset.json'}: the prepared data is damaged")


@pytest.mark.parametrize("frames", [-2, 0, 3])
def test_lengths_that_the_arrays_do_not_have_are_told(folder, frames):
    edited(folder, lambda meta: meta["clips"]["test"][0].update(frames=frames))
    assert "the prepared data is damaged" in refusal(folder)


def test_negative_lengths_that_add_up_are_told(folder):
    def change(meta):
        meta["clips"]["test"][0]["frames"] -= 3  # 2 - 3 < 0
        meta["clips"]["test"][1]["frames"] += 3

    edited(folder, change)
    assert "the prepared data is damaged" in refusal(folder)


def test_another_format_is_told(folder):
    edited(folder, lambda meta: meta.update(format=store.FORMAT + 1))
    message = refusal(folder)
    assert "another format of prepared data" in message
    assert f"found {store.FORMAT + 1}; expected {store.FORMAT}; delete the folder" in message


def test_nothing_there_is_told(tmp_path):
    assert str(tmp_path / "none" / "dataset.json") in refusal(tmp_path / "none")


@pytest.mark.parametrize("file", ["train_detected.npy", "validation_truth.npy", "test_box.npy"])
@pytest.mark.parametrize("damage", ["gone", "empty", "header only", "cut", "words"])
def test_a_damaged_array_is_told(folder, file, damage):
    path = folder / file
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        kept = {"empty": 0, "header only": 128, "cut": len(content) - 1, "words": 0}[damage]
        path.write_bytes(content[:kept] + (b"not an array" if damage == "words" else b""))
    message = refusal(folder)
    assert "the prepared data is damaged" in message
    assert str(folder) in message


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((9, 15, 3), np.float32),
        np.zeros((8, 15, 2), np.float32),
        np.zeros((9, 30), np.float32),
        np.zeros((9, 15, 2), np.float64),
        np.zeros((9, 15, 2), ">f4"),
    ],
    ids=lambda array: f"{array.shape} {array.dtype}",
)
def test_an_array_of_another_shape_or_type_is_told(folder, array):
    np.save(folder / "test_truth.npy", array)
    message = refusal(folder)
    assert message.startswith(f"{folder / 'test_truth.npy'}: the prepared data is damaged; found ")
    assert "expected (9, 15, 2) float32" in message


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


@pytest.mark.parametrize("form", ["object array", "bare pickle", "archive"])
def test_a_pickle_is_never_opened(folder, tmp_path, form):
    sprung = tmp_path / "sprung"
    trap = np.array([Trap(sprung)], dtype=object)
    file = folder / "test_truth.npy"
    if form == "object array":
        np.save(file, trap)
    elif form == "bare pickle":
        file.write_bytes(pickle.dumps(trap))
    else:
        np.savez(tmp_path / "a.npz", trap)
        shutil.copy(tmp_path / "a.npz", file)
    assert "the prepared data is damaged" in refusal(folder)
    assert not sprung.exists()
    # The trap works: who opens it springs it.
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_save_leaves_the_older_dataset(folder, monkeypatch, error):
    stack = store._stack

    def interrupted(file, parts):
        if file.name == "test_detected.npy":
            raise error
        stack(file, parts)

    monkeypatch.setattr(store, "_stack", interrupted)
    newer = dataset(seed=1)
    with pytest.raises(error):
        store.save(newer, folder)
    assert store.load(folder).fingerprint == dataset().fingerprint
    assert [path.name for path in folder.parent.iterdir()] == ["d"]
    monkeypatch.undo()
    store.save(newer, folder)
    loaded = store.load(folder)
    assert loaded.fingerprint == newer.fingerprint
    np.testing.assert_array_equal(loaded.clips["test"][0].truth, newer.clips["test"][0].truth)


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"the prepared data cannot be written.*set BENCH_CACHE"):
        store.save(dataset(), tmp_path / "file" / "d")


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "own"))
    assert store.cache_folder() == tmp_path / "own"
    monkeypatch.delenv("BENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert store.cache_folder() == tmp_path / "xdg" / "bench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.cache_folder() == tmp_path / ".cache" / "bench"
