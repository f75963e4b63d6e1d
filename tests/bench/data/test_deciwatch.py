"""The DeciWatch layout, from files written here and from the reference folder."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.config import DatasetConfig, Source, dataset_config, dataset_names
from bench.contracts import BadInput
from bench.data import deciwatch
from bench.data.skeletons import BODY_14

SHARED = Path(os.environ.get("BENCH_SHARED") or Path(__file__).parents[4] / "shared")
LAYOUT = SHARED / "data/deciwatch-layout"

JOINTS = {"h36m": 17, "pw3d": 17, "aist": 14, "jhmdb": 15}
VIDEOS = {
    "h36m": {
        "train": ["S1/Eating/camera0", "S1/Eating/camera1", "S8/Eating/camera0"],
        "test": ["S9/Eating/camera0"],
    },
    "pw3d": {"train": ["lace", "box", "box", "golf"], "test": ["bus", "bus", "cafe"]},
    "aist": {
        "train": ["gBR_sBM_c01_d04_mBR0_ch01", "gBR_sBM_c02_d04_mBR0_ch01", "gWA_c01_d1"],
        "test": ["gLO_sBM_c01_d13_mLO0_ch01"],
    },
    "jhmdb": {"train": ["run/a", "run/b", "sit/c"], "test": ["run/b", "walk/d"]},
}
FRAMES = (5, 1, 7, 4)


def packed(items):
    """One array per sequence, in an object array whatever their shapes."""
    array = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        array[index] = item
    return array


def sequences(dataset: str, part: str, seed: int) -> dict[str, list]:
    """What the files of a dataset hold, as lists over sequences."""
    rng = np.random.default_rng(seed)
    columns: dict[str, list] = {"imgname": [], "camera": []}
    for index, video in enumerate(VIDEOS[dataset][part]):
        frames = FRAMES[index]
        columns["imgname"].append([f"{video}/{frame:06d}" for frame in range(frames)])
        columns["camera"].append(rng.normal(size=(frames, 3)))
        if dataset == "jhmdb":
            pixels = rng.uniform(50, 200, (frames, 30)).astype(np.float32)
            columns.setdefault("joints_2d", []).append(pixels)
            columns.setdefault("imgshape", []).append(np.array([240, 320, 3]))
            box = np.tile(np.float32([20, 30, 220, 210]), (frames, 1))
            columns.setdefault("bbox", []).append(box)
            continue
        poses = rng.uniform(-0.5, 0.5, (frames, JOINTS[dataset] * 3)).astype(np.float32)
        columns.setdefault("joints_3d", []).append(poses)
        if dataset != "h36m":
            columns.setdefault("pose", []).append(rng.uniform(-2, 2, (frames, 72)))
            columns.setdefault("shape", []).append(rng.normal(size=(frames, 10)))
    return columns


@pytest.fixture
def files(tmp_path):
    """Write the four files of a dataset; `change(truth, detected)` spoils the test files."""

    def write(dataset: str, estimator: str, change=None, root: Path = tmp_path) -> Path:
        for part in ("train", "test"):
            truth, detected = sequences(dataset, part, 1), sequences(dataset, part, 2)
            if dataset == "aist":  # as released: the truth has no shapes
                del truth["shape"]
            if change is not None and part == "test":
                change(truth, detected)
            for path, columns in (
                (root / f"groundtruth_poses/{dataset}/{dataset}_gt_{part}.npz", truth),
                (
                    root / f"detected_poses/{dataset}/{estimator}/{dataset}_{estimator}_{part}.npz",
                    detected,
                ),
            ):
                path.parent.mkdir(parents=True, exist_ok=True)
                np.savez(path, **{key: packed(value) for key, value in columns.items()})
        return root

    return write


CASES = [
    (name, source)
    for name in dataset_names()
    for source in dataset_config(name).sources
    if source.layout == "deciwatch"
]


def load(root: Path, name: str):
    config = dataset_config(name)
    source = next(source for source in config.sources if source.layout == "deciwatch")
    return deciwatch.load(root, source, config, name)


def refusal(root: Path, name: str) -> str:
    with pytest.raises(BadInput) as error:
        load(root, name)
    return str(error.value)


def test_every_pair_of_dataset_and_estimator_has_a_configuration():
    pairs = {(source.dataset, source.estimator, source.representation) for _, source in CASES}
    assert len(pairs) == 10


@pytest.mark.parametrize(("name", "source"), CASES, ids=[name for name, _ in CASES])
def test_every_dataset_loads_with_its_shape_and_frames(files, name, source):
    dataset = load(files(source.dataset, source.estimator), name)
    config = dataset_config(name)
    assert (dataset.name, dataset.title, dataset.fps) == (name, config.title, config.fps)
    assert not dataset.standin
    dims = {"3d": 3, "2d": 2, "6d": 6}[config.space]
    for split, clips in dataset.clips.items():
        assert clips
        for clip in clips:
            assert clip.truth.shape == (clip.frames, len(dataset.skeleton.joints), dims)
            assert clip.truth.dtype == clip.detected.dtype == np.float32
            assert (clip.box is not None) == (split is not None and config.space == "2d")
    assert [clip.frames for clip in dataset.clips["test"]] == list(
        FRAMES[: len(VIDEOS[source.dataset]["test"])]
    )
    names = [clip.name for clips in dataset.clips.values() for clip in clips]
    assert len(set(names)) == len(names) == sum(map(len, VIDEOS[source.dataset].values()))


def test_joints_are_chosen_and_made_relative_to_their_own_root(files):
    root = files("pw3d", "spin")
    clip = load(root, "pw3d-spin").clips["test"][0]
    for poses, seed in ((clip.truth, 1), (clip.detected, 2)):
        raw = sequences("pw3d", "test", seed)["joints_3d"][0].reshape(-1, 17, 3)
        hips = (raw[:, 4] + raw[:, 1]) / 2  # right and left hip of the 17
        np.testing.assert_allclose(
            poses[:, BODY_14.joints.index("lwrist")], raw[:, 13] - hips, atol=1e-6
        )
        np.testing.assert_allclose(
            poses[:, BODY_14.joints.index("headtop")], raw[:, 10] - hips, atol=1e-6
        )
        np.testing.assert_allclose(poses[:, [2, 3]].mean(1), 0, atol=1e-6)


def test_human36m_is_relative_to_its_hip(files):
    clip = load(files("h36m", "fcn"), "h36m-fcn").clips["test"][0]
    raw = sequences("h36m", "test", 1)["joints_3d"][0].reshape(-1, 17, 3)
    np.testing.assert_allclose(clip.truth, raw - raw[:, :1], atol=1e-6)


def test_pixels_stay_pixels(files):
    clip = load(files("jhmdb", "simplepose"), "jhmdb-simplepose").clips["test"][0]
    raw = sequences("jhmdb", "test", 2)["joints_2d"][0]
    np.testing.assert_array_equal(clip.detected, raw.reshape(-1, 15, 2))
    assert clip.image == (320, 240)
    assert clip.box[0].tolist() == [20, 30, 220, 210]


def test_body_model_poses_become_sixd(files):
    def turn(truth, detected):
        for columns in (truth, detected):
            columns["pose"] = [np.zeros_like(pose) for pose in columns["pose"]]
        truth["pose"][0][:, 5] = np.pi / 2  # the second joint, about z

    clip = load(files("pw3d", "pare", turn), "pw3d-pare-smpl").clips["test"][0]
    np.testing.assert_allclose(clip.truth[0, 0], [1, 0, 0, 1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(clip.truth[0, 1], [0, -1, 1, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(clip.detected[:, 1], clip.detected[:, 0], atol=1e-6)


def test_shapes_are_read_for_both_and_of_mean_for_a_truth_without(files):
    clip = load(files("pw3d", "pare"), "pw3d-pare-smpl").clips["test"][0]
    for shape, seed in ((clip.truth_shape, 1), (clip.detected_shape, 2)):
        expected = sequences("pw3d", "test", seed)["shape"][0].astype(np.float32)
        np.testing.assert_array_equal(shape, expected)
    clip = load(files("aist", "spin"), "aist-spin-smpl").clips["test"][0]
    assert clip.truth_shape.tolist() == [[0.0] * 10] * 5
    assert clip.detected_shape.any()
    assert load(files("pw3d", "pare"), "pw3d-pare").clips["test"][0].truth_shape is None


def test_without_the_body_model_what_is_missing_is_noted(files, small_body):
    root = files("pw3d", "spin")
    without = load(root, "pw3d-spin-smpl")
    assert without.notes == (
        "MPJPE, PA-MPJPE, Accel and MPVPE need the SMPL body model: docs/data.md",
    )
    config = dataset_config("pw3d-spin-smpl")
    made = deciwatch.load(root, config.sources[0], config, "pw3d-spin-smpl", small_body)
    assert made.body is small_body
    assert made.notes == ()
    assert made.fingerprint != without.fingerprint
    assert load(root, "pw3d-spin").notes == ()


def test_shapes_that_do_not_fit_are_refused(files, tmp_path):
    for number, (change, parts) in enumerate(
        (
            (without("shape"), ["pw3d_gt_test.npz", "no key 'shape'"]),
            (without("shape", "detected"), ["pw3d_spin_test.npz", "no key 'shape'"]),
            (spoil("shape", first(lambda s: s[:, :9])), ["clip bus", "shape", "(5, 9)"]),
            (spoil("shape", first(lambda s: s[:-1])), ["clip bus", "found (4, 10)", "(5, 10)"]),
            (spoil("shape", first(lambda s: s * np.nan)), ["clip bus", "not finite"]),
        )
    ):
        root = files("pw3d", "spin", change, tmp_path / str(number))
        message = refusal(root, "pw3d-spin-smpl")
        assert all(part in message for part in parts), message
        load(root, "pw3d-spin")  # joints need no shapes


def test_persons_and_recordings_have_their_names(files):
    pw3d = load(files("pw3d", "eft"), "pw3d-eft").clips["test"]
    assert [clip.name for clip in pw3d] == ["bus", "bus#2", "cafe"]
    assert [clip.recording for clip in pw3d] == ["bus", "bus", "cafe"]
    h36m = load(files("h36m", "fcn"), "h36m-fcn").clips
    assert [clip.name for clip in h36m["train"]] == ["S1/Eating/camera0", "S1/Eating/camera1"]
    assert {clip.recording for clip in h36m["train"]} == {"S1/Eating"}
    aist = load(files("aist", "spin"), "aist-spin").clips
    takes = {clip.recording for split in ("train", "validation") for clip in aist[split]}
    assert takes == {"gBR_sBM_cAll_d04_mBR0_ch01", "gWA_cAll_d1"}


def test_other_spellings_of_the_same_numbers_are_read(files, tmp_path):
    expected = load(files("pw3d", "spin"), "pw3d-spin")

    def respell(truth, detected):
        truth["joints_3d"] = [poses.reshape(-1, 17, 3) for poses in truth["joints_3d"]]
        truth["joints_3d"][1] = truth["joints_3d"][1][0]
        detected["joints_3d"][1] = detected["joints_3d"][1].reshape(-1).astype(object)
        detected["joints_3d"][0] = detected["joints_3d"][0].astype(np.float64)
        truth["imgname"] = [np.array(names) for names in truth["imgname"]]
        truth["imgname"][1] = truth["imgname"][1][0]
        detected["imgname"] = [np.array(names, dtype="S") for names in detected["imgname"]]

    read = load(files("pw3d", "spin", respell, tmp_path / "other"), "pw3d-spin")
    assert read.fingerprint == expected.fingerprint
    assert read.notes == ()


def test_whole_numbers_are_read(files):
    def whole(truth, detected):
        detected["joints_2d"] = [
            np.round(poses).astype(np.int16) for poses in detected["joints_2d"]
        ]
        truth["imgshape"] = [[240, 320], np.tile([240, 320, 3], (1, 1))]

    clip = load(files("jhmdb", "simplepose", whole), "jhmdb-simplepose").clips["test"][0]
    assert (clip.detected == np.round(clip.detected)).all()


def test_sequences_of_one_length_are_read(files, tmp_path):
    root = files("h36m", "fcn")
    for path in root.rglob("*_test.npz"):
        columns = sequences("h36m", "test", 1)
        np.savez(path, **{key: np.array(value, dtype=object) for key, value in columns.items()})
    clip = load(root, "h36m-fcn").clips["test"][0]
    np.testing.assert_array_equal(clip.truth, clip.detected)


def test_the_fingerprint_follows_the_numbers(files, tmp_path):
    def nudge(_truth, detected):
        detected["joints_3d"][2][0, 9] += 0.001

    first = load(files("pw3d", "spin", root=tmp_path / "a"), "pw3d-spin").fingerprint
    again = load(files("pw3d", "spin", root=tmp_path / "b"), "pw3d-spin").fingerprint
    other = load(files("pw3d", "spin", nudge, tmp_path / "c"), "pw3d-spin").fingerprint
    assert first == again != other
    assert len(first) == 16


def test_overlaps_and_missed_detections_are_noted(files):
    dataset = load(files("jhmdb", "simplepose"), "jhmdb-simplepose")
    assert [clip.name for clip in dataset.clips["test"]] == ["run/b", "walk/d"]
    names = [c.name for split in ("train", "validation") for c in dataset.clips[split]]
    assert sorted(names) == ["run/a", "run/b#2", "sit/c"]
    # 'run/b' is 5 frames of the test file and 1 of the training file, 'walk/d' has 1 frame.
    assert dataset.notes == (
        "1 of 2 test clips are in the training file too (1 of 6 frames, by image names): scores on"
        " them are training scores",
    )

    def miss(_truth, detected):
        detected["joints_3d"][1][:] = np.nan
        detected["imgname"][0][0] = "other/000000"

    notes = load(files("pw3d", "spin", miss), "pw3d-spin").notes
    assert len(notes) == 2
    assert notes[0].startswith("1 clips hold missed detections")
    assert "other image names" in notes[1]


def test_every_shared_frame_counts_and_a_shared_name_of_a_video_is_no_overlap(files, tmp_path):
    def as_in_training(truth, detected):
        learned = sequences("jhmdb", "train", 1)["imgname"]
        for columns in (truth, detected):
            columns["imgname"] = [learned[0][:5], [f"{learned[1][0]}x"]]

    (note,) = load(files("jhmdb", "simplepose", as_in_training), "jhmdb-simplepose").notes
    assert note.startswith("1 of 2 test clips are in the training file too (5 of 6 frames")

    def later_frames(truth, detected):
        for columns in (truth, detected):
            columns["imgname"][0] = [
                name.replace("/00000", "/10000") for name in columns["imgname"][0]
            ]

    apart = load(files("jhmdb", "simplepose", later_frames, tmp_path / "b"), "jhmdb-simplepose")
    assert apart.clips["test"][0].recording == "run/b"
    assert apart.notes == ()


def test_the_layout_is_found_here_and_one_folder_down(files, tmp_path):
    assert deciwatch.find(tmp_path) is None
    assert deciwatch.available(tmp_path) == []
    files("pw3d", "pare", root=tmp_path / "deciwatch")
    files("jhmdb", "simplepose", root=tmp_path / "deciwatch")
    assert deciwatch.find(tmp_path) == tmp_path / "deciwatch"
    assert deciwatch.available(tmp_path) == [("pw3d", "pare"), ("jhmdb", "simplepose")]
    assert load(tmp_path, "pw3d-pare").estimator == "PARE"
    (tmp_path / "deciwatch/detected_poses/pw3d/pare/pw3d_pare_train.npz").unlink()
    assert deciwatch.available(tmp_path) == [("jhmdb", "simplepose")]
    message = refusal(tmp_path, "pw3d-pare")
    assert "pw3d_pare_train.npz: no such file" in message
    assert "docs/data.md" in message
    assert "groundtruth_poses/" in refusal(tmp_path / "deciwatch/detected_poses", "pw3d-pare")


def spoil(key, value, *, where="truth"):
    def change(truth, detected):
        columns = truth if where == "truth" else detected
        columns[key] = value(columns[key])

    return change


def without(key, where="truth"):
    def change(truth, detected):
        del (truth if where == "truth" else detected)[key]

    return change


def first(function):
    """Change the first sequence only."""
    return lambda items: [function(items[0]), *items[1:]]


def hole(poses):
    poses = poses.copy()
    poses[2, 4] = np.nan
    return poses


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (without("joints_3d"), ["pw3d_gt_test.npz", "no key 'joints_3d'", "imgname"]),
        (without("imgname", "detected"), ["pw3d_spin_test.npz", "no key 'imgname'"]),
        (spoil("joints_3d", first(lambda p: p[:, :42])), ["gt_test", "clip bus", "(5, 42)", "51"]),
        (spoil("joints_3d", first(lambda p: p[:-1])), ["clip bus:", "length", "5", "4"]),
        (
            spoil("joints_3d", lambda items: [*items[:1], items[1][[0, 0]], *items[2:]]),
            ["clip bus#2"],
        ),
        (spoil("imgname", first(lambda n: n[:-1])), ["clip bus", "imgname", "length"]),
        (spoil("imgname", first(lambda n: [1, 2])), ["number 1", "imgname"]),
        (spoil("imgname", first(lambda n: ["\x1b[2J/1"] * 5)), ["number 1", "imgname"]),
        (spoil("joints_3d", first(hole)), ["clip bus", "not finite", "frame 2"]),
        (spoil("joints_3d", first(lambda p: p * 1000)), ["clip bus", "metres"]),
        (spoil("joints_3d", first(lambda p: np.full(p.shape, "x"))), ["holds no numbers"]),
        (spoil("joints_3d", first(lambda p: "text")), ["joints_3d holds no numbers"]),
        (spoil("joints_3d", first(lambda p: p[:0])), ["clip bus"]),
        (spoil("joints_3d", first(lambda p: p[None])), ["wrong shape"]),
        (
            spoil("joints_3d", first(lambda p: p + np.inf), where="detected"),
            ["pw3d_spin_test", "infinite"],
        ),
        (
            lambda _truth, detected: [detected.update({k: v[:2]}) for k, v in detected.items()],
            ["pw3d_spin_test", "number of sequences", "found 2", "expected 3"],
        ),
        (spoil("joints_3d", lambda items: items[:2]), ["pw3d_gt_test", "number of sequences"]),
        (
            lambda truth, _detected: [truth.update({k: []}) for k in truth],
            ["pw3d_gt_test", "no sequences"],
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_file_and_clip(files, change, parts):
    message = refusal(files("pw3d", "spin", change), "pw3d-spin")
    for part in parts:
        assert part in message, message
    assert "\n" not in message
    assert message.isprintable()


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("imgshape", [240, 320, 3, 1], "imgshape"),
        ("imgshape", [0, 320], "imgshape"),
        ("imgshape", [np.nan, 320], "imgshape"),
        ("imgshape", [[240, 320], [480, 640]], "imgshape"),
        ("imgshape", "large", "imgshape"),
        ("bbox", np.zeros((5, 3)), "bbox"),
        ("bbox", np.zeros((4, 4)), "boxes have the wrong shape"),
        ("bbox", np.zeros((5, 4)), "box is empty"),
    ],
)
def test_image_sizes_and_boxes_are_checked(files, key, value, part):
    change = spoil(key, first(lambda _: value))
    message = refusal(files("jhmdb", "simplepose", change), "jhmdb-simplepose")
    assert "clip run/b" in message
    assert part in message


def test_damaged_files_name_themselves(files):
    root = files("pw3d", "spin")
    path = root / "groundtruth_poses/pw3d/pw3d_gt_train.npz"
    path.write_bytes(path.read_bytes()[:500])
    assert "pw3d_gt_train.npz: not a readable .npz file" in refusal(root, "pw3d-spin")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"dataset": "pw3dd"}, "did you mean pw3d?"),
        ({"estimator": "spim"}, "did you mean spin?"),
        ({"representation": "2d"}, "no representation '2d'"),
        ({"representation": "smpl"}, "one of 24 joints"),
    ],
)
def test_unknown_sources_are_refused(files, changes, part):
    config = dataset_config("pw3d-spin")
    source = Source.model_validate({**config.sources[0].model_dump(), **changes})
    with pytest.raises(BadInput) as error:
        deciwatch.load(files("pw3d", "spin"), source, config, "pw3d-spin")
    assert part in str(error.value)


def test_a_space_that_does_not_fit_is_refused(files):
    config = dataset_config("pw3d-spin")
    flat = DatasetConfig.model_validate({**config.model_dump(), "space": "2d"})
    with pytest.raises(BadInput, match="space"):
        deciwatch.load(files("pw3d", "spin"), config.sources[0], flat, "pw3d-spin")


def test_subject_8_is_held_out_where_there_is_one(files):
    clips = load(files("h36m", "fcn"), "h36m-fcn").clips
    assert [clip.name for clip in clips["validation"]] == ["S8/Eating/camera0"]


@settings(max_examples=50, deadline=None)
@given(
    st.sets(st.text(max_size=8).map("v{}".format), min_size=2, max_size=60),
    st.sets(st.text(max_size=8).map("w{}".format), max_size=20),
)
def test_a_part_is_held_out_and_more_recordings_move_nothing_else(recordings, more):
    held = deciwatch.held_out(recordings)
    assert 0 < len(held) < len(recordings)
    assert held <= recordings
    later = deciwatch.held_out(recordings | more)
    if len(held) > 1 and len(held) < len(recordings) - 1:  # chosen by the hash alone
        assert held <= later
        assert later - held <= more


def test_about_a_tenth_is_held_out_and_one_recording_cannot_be_divided():
    assert 60 < len(deciwatch.held_out(map(str, range(1000)))) < 140
    with pytest.raises(BadInput, match="found 1 recording"):
        deciwatch.held_out(["one"])


@pytest.mark.shared
@pytest.mark.skipif(not LAYOUT.is_dir(), reason="needs the reference data folder (BENCH_SHARED)")
@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("h36m-fcn", (2, 3210), (1, 1449)),
        ("pw3d-spin", (2, 1505), (2, 1471)),
        ("jhmdb-simplepose", (20, 713), (6, 205)),
    ],
)
def test_the_reference_files_are_read(name, train, test):
    assert deciwatch.available(LAYOUT) == [
        ("h36m", "fcn"), ("pw3d", "spin"), ("jhmdb", "simplepose"),
    ]  # fmt: skip
    clips = load(LAYOUT, name).clips
    learning = clips["train"] + clips["validation"]
    assert (len(learning), sum(clip.frames for clip in learning)) == train
    assert (len(clips["test"]), sum(clip.frames for clip in clips["test"])) == test
