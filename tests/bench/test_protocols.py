"""Protocols: windows, merging, missed detections, scores by hand, and published numbers."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.config import dataset_config, dataset_names
from bench.contracts import BadInput, Window
from bench.data import body, deciwatch
from bench.data.body import Shapes
from bench.data.clips import Skeleton
from bench.data.skeletons import BODY_14, SMPL_24
from bench.data.windows import window_of
from bench.evaluation import evaluate
from bench.protocols import merge, protocol, protocol_names, space_metrics
from methods.interpolation import Cubic, Estimator, Linear, Nearest, NoOptions, Quadratic

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("BENCH_SHARED", ROOT.parent / "shared"))
GOLDEN = Path(os.environ.get("BENCH_GOLDEN", SHARED / "golden"))
LAYOUT = SHARED / "data" / "deciwatch-layout"
EXPECTED = LAYOUT / "expected.json"

DECIWATCH, POOLED, FULL = (protocol(name) for name in ("deciwatch", "pck-pooled", "full"))
NAN = float("nan")

PAIR = Skeleton(
    "pair",
    ("a", "b"),
    root=(0,),
    groups={"hand": (1,)},
    published_groups={"foot": (0,), "hand": (0, 1)},
)

sizes = st.tuples(st.integers(1, 6), st.integers(1, 4))


def window(interval, intervals):
    return Window(interval, intervals, joints=2, dims=3)


def windows_of(sequence, starts, length):
    """(N, T, P) windows of a sequence (F, P)."""
    return torch.stack([sequence[start : start + length] for start in starts.tolist()])


class TestWindows:
    def test_deciwatch_drops_what_the_grid_does_not_reach(self):
        assert DECIWATCH.starts(48, window(10, 2)).tolist() == [0, 10, 20]
        assert DECIWATCH.scored(48, window(10, 2)) == 41
        assert DECIWATCH.scored(51, window(10, 2)) == 51

    def test_deciwatch_pads_a_short_clip(self):
        assert DECIWATCH.starts(5, window(10, 2)).tolist() == [0]
        assert DECIWATCH.scored(5, window(10, 2)) == 21

    def test_pooled_has_the_windows_of_deciwatch(self):
        for frames in (5, 21, 48, 51):
            shape = window(10, 2)
            assert (POOLED.starts(frames, shape) == DECIWATCH.starts(frames, shape)).all()
            assert POOLED.scored(frames, shape) == DECIWATCH.scored(frames, shape)

    def test_full_adds_a_window_at_the_end(self):
        assert FULL.starts(48, window(10, 2)).tolist() == [0, 10, 20, 27]
        assert FULL.scored(48, window(10, 2)) == 48
        assert FULL.starts(41, window(10, 2)).tolist() == [0, 10, 20]

    def test_full_refuses_a_short_clip(self):
        message = r"clip run_3.*; found 20 frames; expected at least 21; use a smaller Q"
        with pytest.raises(BadInput, match=message):
            FULL.starts(20, window(10, 2), "run_3")

    @settings(deadline=None, max_examples=50)
    @given(sizes, st.integers(1, 80))
    def test_every_frame_that_counts_is_covered(self, size, frames):
        shape = window(*size)
        for rules in (DECIWATCH, FULL):
            if rules is FULL and frames < shape.frames:
                continue
            starts, scored = rules.starts(frames, shape), rules.scored(frames, shape)
            covered = np.unique(starts[:, None] + np.arange(shape.frames))
            assert covered.tolist() == list(range(scored))
            assert (np.diff(starts) > 0).all()
            if rules is FULL:
                assert scored == frames
            elif frames >= shape.frames:
                assert 0 <= frames - scored < shape.interval


class TestMerge:
    def test_the_mean_of_what_covers_a_frame(self):
        windows = torch.tensor([[1.0, 2, 3], [5, 7, 9], [11, 13, 15]])[..., None]
        merged = merge([windows], np.array([0, 2, 3]), 6)
        assert merged.flatten().tolist() == [1, 2, 4, 9, 11, 15]

    @settings(deadline=None, max_examples=25)
    @given(sizes, st.integers(0, 60), st.integers(0, 2**31))
    def test_windows_of_one_sequence_give_it_back(self, size, more, seed):
        shape = window(*size)
        frames = shape.frames + more
        sequence = torch.randn(frames, 6, generator=torch.Generator().manual_seed(seed))
        starts = FULL.starts(frames, shape)
        merged = merge([windows_of(sequence, starts, shape.frames)], starts, frames)
        torch.testing.assert_close(merged, sequence, rtol=1e-6, atol=1e-6)
        assert merged.dtype == torch.float32

    def test_a_missed_frame_stays_alone(self):
        sequence = torch.zeros(41, 6)
        sequence[12, 3] = NAN
        starts = DECIWATCH.starts(41, window(10, 2))
        merged = merge([windows_of(sequence, starts, 21)], starts, 41)
        assert merged.isnan().nonzero().tolist() == [[12, 3]]

    @pytest.mark.skipif(
        not (GOLDEN / "metrics.npz").is_file(), reason=f"no metrics.npz in {GOLDEN}"
    )
    def test_golden(self):
        with np.load(GOLDEN / "metrics.npz") as file:
            golden = dict(file)
        names = [name for name in golden if name.startswith("merged_step")]
        assert names
        windows = torch.from_numpy(golden["windows"])
        for name in names:
            starts = np.arange(len(windows)) * int(name.removeprefix("merged_step"))
            merged = merge([windows], starts, len(golden[name])).numpy()
            np.testing.assert_allclose(merged, golden[name], rtol=0, atol=1e-6, err_msg=name)


class TestScore:
    def test_3d_in_millimetres_after_each_own_root(self):
        truth = np.zeros((4, 2, 3), np.float32)
        truth[:, 1, 0] = 0.5
        pred = truth + np.float32(3)
        pred[:, 1, 1] += np.array([0, 0.01, 0.02, 0.05], np.float32)
        score = DECIWATCH.score(pred, truth, skeleton=PAIR, space="3d")
        # Half of (0 + 10 + 20 + 50) / 4, as the root counts as a joint without error; the second
        # differences are 0 and 20.
        assert score["mpjpe"] == pytest.approx((10, 4), abs=1e-3)
        assert score["accel"] == pytest.approx((5, 2), abs=1e-3)
        assert score["pampjpe"] == pytest.approx((0, 4), abs=1e-3)
        assert tuple(score) == space_metrics("3d")

    def test_missed_frames_do_not_count(self):
        truth = np.zeros((4, 2, 3), np.float32)
        pred = truth.copy()
        pred[:3, 1, 0] = 0.02
        pred[3] = NAN
        score = FULL.score(pred, truth, skeleton=PAIR, space="3d")
        assert score["mpjpe"] == pytest.approx((10, 3))
        assert score["accel"][1] == 1

    def test_a_metric_without_frames_is_left_out(self):
        truth = np.zeros((2, 2, 3), np.float32)
        assert "accel" not in FULL.score(truth, truth, skeleton=PAIR, space="3d")
        assert FULL.score(truth * NAN, truth, skeleton=PAIR, space="3d") == {}

    def two_frames(self):
        """Joint b is off by 8 and 20 px in a 200 x 100 image; the boxes measure 45.9 and 105.5."""
        truth = np.full((2, 2, 2), 0.5, np.float32)
        pred = truth.copy()
        pred[:, 1, 0] += np.array([8, 20], np.float32) / 200
        box = np.array([[0, 0, 45.9, 10], [0, 0, 10, 105.5]])
        return {"image": (200, 100), "box": box}, pred, truth

    def test_2d_as_published(self):
        info, pred, truth = self.two_frames()
        score = DECIWATCH.score(pred, truth, skeleton=PAIR, space="2d", **info)
        # 0.2 of 45 and of 105 px are 9 and 21 px; 0.1 are 4.5 and 10.5 px.
        assert score["pck@0.2"] == (1.0, 1)
        assert score["pck@0.1"] == (0.5, 1)
        assert score["pck@0.2:foot"] == (1.0, 1)
        assert score["pck@0.2:hand"] == (1.0, 1)
        assert score["pixels"] == pytest.approx((7, 2), rel=1e-5)

    def test_2d_in_full(self):
        info, pred, truth = self.two_frames()
        pred[0, 1, 0] = 0.5 + 22 / 200
        score = FULL.score(pred, truth, skeleton=PAIR, space="2d", **info)
        assert score["pck@0.2"] == (0.75, 2)
        assert score["pck@0.2:hand"] == (0.5, 2)
        assert "pck@0.2:foot" not in score

    def test_boxes_are_cut_only_as_published(self):
        info, pred, truth = self.two_frames()
        pred[0, 1, 0] = 0.5 + 9.1 / 200
        scores = [
            p.score(pred, truth, skeleton=PAIR, space="2d", **info) for p in (DECIWATCH, FULL)
        ]
        # 9.1 px lies between 0.2 x 45 and 0.2 x 45.9.
        assert [score["pck@0.2"][0] for score in scores] == [0.75, 1.0]

    def test_groups_are_given_for_every_share(self):
        info, pred, truth = self.two_frames()
        score = FULL.score(pred, truth, skeleton=PAIR, space="2d", **info)
        # 8 px is within 0.2 x 45.9 alone; 20 px within 0.2 x 105.5 alone.
        hands = [score[f"pck@{share}:hand"][0] for share in ("0.2", "0.1", "0.05")]
        assert hands == [1.0, 0.0, 0.0]

    def test_pooled_differs_from_published_in_names_and_weights_alone(self):
        info, pred, truth = self.two_frames()
        pred[0, 1, 0] = 0.5 + 9.1 / 200
        rest = {"skeleton": PAIR, "space": "2d", **info}
        score, published = (rules.score(pred, truth, **rest) for rules in (POOLED, DECIWATCH))
        # 9.1 px lies between 0.2 x 45 and 0.2 x 45.9: the box is cut to whole pixels.
        assert score["pck@0.2"] == (0.75, 2)
        assert published["pck@0.2"] == (0.75, 1)
        assert score["pck@0.2:hand"] == (0.5, 2)
        assert published["pck@0.2:hand"] == (0.75, 1)
        assert "pck@0.2:foot" not in score
        assert score["pixels"] == published["pixels"]

    def test_pooled_counts_frames_where_published_counts_clips(self):
        # Joint b is right in all 3 frames of one clip, and wrong in the only frame of the other.
        def clip(rules, frames, off):
            truth = np.full((frames, 2, 2), 0.5, np.float32)
            pred = truth + np.float32([[0, 0], [off, 0]])
            box = np.tile([0, 0, 10, 10], (frames, 1))
            return rules.score(pred, truth, skeleton=PAIR, space="2d", image=(100, 100), box=box)

        def summary(rules):
            return rules.summarise([clip(rules, 3, 0), clip(rules, 1, 0.5)])

        assert summary(DECIWATCH)["pck@0.2"] == (1 + 0.5) / 2
        assert summary(POOLED)["pck@0.2"] == (3 * 1 + 0.5) / 4
        assert summary(POOLED)["pck@0.2:hand"] == (3 * 1 + 0) / 4

    def test_a_missed_joint_is_a_wrong_one(self):
        info, pred, truth = self.two_frames()
        pred[0, 1] = NAN
        score = FULL.score(pred, truth, skeleton=PAIR, space="2d", **info)
        assert score["pck@0.2"] == (0.75, 2)
        assert score["pixels"] == pytest.approx((10, 1), rel=1e-5)

    def test_2d_needs_an_image_and_boxes(self):
        _, pred, truth = self.two_frames()
        with pytest.raises(BadInput, match="image size and boxes"):
            FULL.score(pred, truth, skeleton=PAIR, space="2d")

    def test_rotations_in_degrees(self):
        truth = np.tile(np.array([1, 0, 0, 1, 0, 0], np.float32), (3, 2, 1))
        pred = truth.copy()
        pred[:, 0] = [0, -2, 1, 0, 0, 0]
        pred[2] = NAN
        score = FULL.score(pred, truth, skeleton=PAIR, space="6d")
        assert score == {"angle": pytest.approx((45, 2))}


class TestBodies:
    """Rotations scored as bodies; what a body is of rotations is tests/bench/data/test_body.py."""

    @pytest.fixture(autouse=True)
    def _smplx(self):
        pytest.importorskip("smplx", reason="the extra 'body' is not installed")

    def still(self, frames):
        return np.tile(np.float32([1, 0, 0, 1, 0, 0]), (frames, 24, 1))

    def score(self, pred, truth, shapes):
        return DECIWATCH.score(pred, truth, skeleton=SMPL_24, space="6d", shapes=shapes)

    def test_what_is_the_truth_has_no_error(self, small_body):
        mean = np.zeros((4, 10), np.float32)
        score = self.score(self.still(4), self.still(4), Shapes(small_body, mean, mean))
        assert tuple(score) == space_metrics("6d")
        assert {name: weight for name, (_, weight) in score.items()} == {
            "angle": 4, "mpjpe": 4, "pampjpe": 4, "accel": 2, "mpvpe": 4,
        }  # fmt: skip
        assert all(value == pytest.approx(0, abs=1e-3) for value, _ in score.values())

    def test_a_wrong_shape_moves_vertices_and_joints(self, small_body):
        mean = np.zeros((3, 10), np.float32)
        wrong = mean.copy()
        wrong[:, 2] = 1
        score = self.score(self.still(3), self.still(3), Shapes(small_body, wrong, mean))
        moved = small_body.shape_basis[..., 2]
        assert score["angle"][0] == pytest.approx(0, abs=1e-3)
        assert score["mpvpe"][0] == pytest.approx(1000 * np.linalg.norm(moved, axis=-1).mean())
        named = [SMPL_24.joints.index(name) for name in BODY_14.joints[:-1]]
        joints = np.stack([*(small_body.regressor[named] @ moved), small_body.headtop @ moved])
        joints -= joints[[2, 3]].mean(0)  # relative to the middle between the hips
        expected = 1000 * np.linalg.norm(joints, axis=-1).mean()
        assert score["mpjpe"][0] == pytest.approx(expected, rel=1e-4)
        assert score["accel"][0] == pytest.approx(0, abs=1e-2)

    def test_joints_are_moved_to_their_root_and_vertices_are_not(self, small_body):
        mean = np.zeros((1, 10), np.float32)
        pred = self.still(1)
        pred[:, 0] = [-1, 0, 0, -1, 0, 0]  # half a turn about z
        score = self.score(pred, self.still(1), Shapes(small_body, mean, mean))
        about = small_body.regressor[0] @ small_body.template
        reach = np.linalg.norm((small_body.template - about)[:, :2], axis=-1)
        assert score["mpvpe"][0] == pytest.approx(1000 * 2 * reach.mean(), rel=1e-4)
        named = [SMPL_24.joints.index(name) for name in BODY_14.joints[:-1]]
        rows = np.concatenate([small_body.regressor[named], small_body.headtop[None]])
        joints = rows @ small_body.template
        reach = np.linalg.norm((joints - joints[[2, 3]].mean(0))[:, :2], axis=-1)
        assert score["mpjpe"][0] == pytest.approx(1000 * 2 * reach.mean(), rel=1e-4)
        assert score["pampjpe"][0] == pytest.approx(0, abs=1e-2)
        assert score["angle"][0] == pytest.approx(180 / 24, rel=1e-4)
        assert "accel" not in score

    def test_long_clips_are_scored_in_parts_as_in_one(self, small_body):
        rng = np.random.default_rng(1)
        pred, truth = rng.normal(size=(2, 150, 24, 6)).astype(np.float32)
        shapes = Shapes(small_body, *rng.normal(size=(2, 150, 10)).astype(np.float32))
        pred[70, 3] = np.nan
        score = self.score(pred, truth, shapes)
        skin, joints = body.pose(small_body, pred, shapes.prediction)
        true_skin, true_joints = body.pose(small_body, truth, shapes.truth)
        whole = DECIWATCH.score(joints, true_joints, skeleton=BODY_14, space="3d")
        assert whole["mpjpe"][1] == 149
        assert {name: score[name] for name in whole} == {
            name: pytest.approx(value, rel=1e-4) for name, value in whole.items()
        }
        away = np.linalg.norm(np.delete(skin - true_skin, 70, 0), axis=-1).mean()
        assert score["mpvpe"] == pytest.approx((1000 * away, 149), rel=1e-4)


def test_summarise_weights_each_metric_by_itself():
    scores = [
        {"mpjpe": (10.0, 1.0), "pck@0.2": (0.5, 1.0)},
        {"mpjpe": (20.0, 3.0)},
    ]
    assert FULL.summarise(scores) == {"mpjpe": 17.5, "pck@0.2": 0.5}


def test_lookup():
    assert {"deciwatch", "pck-pooled", "full", "h36m-average", "h36m-horizon"} < set(
        protocol_names()
    )
    assert all(protocol(name).name == name for name in protocol_names())
    with pytest.raises(BadInput, match=r"unknown protocol 'deciwach'; did you mean deciwatch\?"):
        protocol("deciwach")


METHODS = {
    "input": Estimator,
    "nearest": Nearest,
    "linear": Linear,
    "quadratic": Quadratic,
    "cubic": Cubic,
}


def expected():
    """The stored scores, one parameter set per dataset and window; none without the file."""
    entries = json.loads(EXPECTED.read_text()) if EXPECTED.is_file() else []
    return [
        pytest.param(entry, id=f"{entry['dataset']}-{entry['estimator']}-Q{entry['Q']}")
        for entry in entries
    ]


def published(entry):
    """The dataset of an entry, by whichever configuration reads its files."""
    for name in dataset_names():
        config = dataset_config(name)
        for source in config.sources:
            named = source.dataset, source.estimator
            if (
                source.layout == "deciwatch"
                and source.representation != "smpl"
                and named == (entry["dataset"], entry["estimator"])
            ):
                return deciwatch.load(LAYOUT, source, config, name)
    raise AssertionError(f"no configuration reads {entry['dataset']} of {entry['estimator']}")


@pytest.mark.skipif(not EXPECTED.is_file(), reason=f"no {EXPECTED}")
@pytest.mark.parametrize("entry", expected())
def test_scores_as_published(entry):
    """Interpolators and estimator on files in the DeciWatch layout, to 0.001 mm and 1e-6 PCK."""
    dataset = published(entry)
    shape = window_of(dataset, entry["interval"], entry["Q"])
    assert entry["metrics"]
    for name, wanted in entry["metrics"].items():
        method = METHODS[name](NoOptions(), shape)
        clips, scored = evaluate(method, dataset, "test", DECIWATCH, shape)
        assert scored.frames == entry["scored_frames"]
        found = DECIWATCH.summarise(clip.values for clip in clips)
        for metric, value in wanted.items():
            tolerance = 1e-6 if metric.startswith("pck") else 1e-3
            assert found[metric] == pytest.approx(value, rel=0, abs=tolerance), (name, metric)
