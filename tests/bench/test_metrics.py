"""Metrics: values worked out by hand, properties that must hold, and the golden file."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import alignment, metrics
from bench.alignment import procrustes
from bench.contracts import BadInput

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("BENCH_SHARED", ROOT.parent / "shared"))
GOLDEN = Path(os.environ.get("BENCH_GOLDEN", SHARED / "golden"))

seeds = st.integers(0, 2**32 - 1)


def random_rotation(generator, dims=3):
    q, _ = np.linalg.qr(generator.normal(size=(dims, dims)))
    q[:, 0] *= np.sign(np.linalg.det(q))
    return q


def about_z(degrees):
    """The 6D form of a turn about the third axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([c, -s, s, c, 0, 0])


def test_mpjpe_of_known_distances():
    truth = np.zeros((2, 2, 3), np.float32)
    pred = np.array([[[3, 4, 0], [0, 0, 0]], [[0, 0, 1], [2, 0, 0]]], np.float32)
    assert metrics.mpjpe(pred, truth).tolist() == [2.5, 1.5]


def test_missed_joints_make_their_frame_nan():
    truth = np.zeros((4, 2, 3))
    pred = truth.copy()
    pred[1, 0] = np.nan
    assert np.isnan(metrics.mpjpe(pred, truth)).tolist() == [False, True, False, False]
    assert np.isnan(metrics.pampjpe(pred, truth)).tolist() == [False, True, False, False]
    assert np.isnan(metrics.accel(pred, truth)).tolist() == [True, True]


def test_accel_of_a_constant_acceleration():
    frames = np.arange(6.0)
    truth = np.zeros((6, 2, 3))
    truth[:, :, 0] = (7 + 3 * frames)[:, None]
    pred = truth.copy()
    pred[:, 0, 1] += 2 * frames**2
    # The second difference of 2 t^2 is 4, for one of two joints.
    np.testing.assert_allclose(metrics.accel(pred, truth), [2, 2, 2, 2], atol=1e-12)


@pytest.mark.parametrize("frames", [1, 2])
def test_accel_needs_three_frames(frames):
    poses = np.zeros((frames, 4, 3))
    assert metrics.accel(poses, poses).shape == (0,)


@settings(deadline=None, max_examples=25)
@given(seeds, st.integers(1, 5), st.sampled_from([2, 3]))
def test_alignment_undoes_any_similarity(seed, frames, dims):
    generator = np.random.default_rng(seed)
    truth = generator.normal(size=(frames, 6, dims))
    turned = truth @ random_rotation(generator, dims) * generator.uniform(0.1, 5)
    pred = turned + generator.normal(size=(frames, 1, dims))
    np.testing.assert_allclose(procrustes(pred, truth), truth, atol=1e-9)
    assert metrics.pampjpe(pred, truth).shape == (frames,)


@settings(deadline=None, max_examples=25)
@given(seeds)
def test_no_other_similarity_comes_closer(seed):
    # Random poses: half of them would fit better as a mirror image.
    generator = np.random.default_rng(seed)
    pred, truth = generator.normal(size=(2, 5, 3))
    aligned = procrustes(pred, truth)
    centre = aligned.mean(0)
    best = ((aligned - truth) ** 2).sum()
    turn = np.array([[1, -0.01, 0], [0.01, 1, 0], [0, 0, np.sqrt(1 + 1e-4)]]) / np.sqrt(1 + 1e-4)
    turn = np.roll(turn, int(generator.integers(3)), (0, 1))
    others = [
        1.01 * (aligned - centre) + centre,
        0.99 * (aligned - centre) + centre,
        (aligned - centre) @ turn + centre,
        (aligned - centre) @ turn.T + centre,
        aligned + 0.01 * generator.normal(size=3),
    ]
    assert all(((other - truth) ** 2).sum() > best for other in others)


def test_a_mirror_image_is_not_aligned_by_reflection():
    truth = np.random.default_rng(0).normal(size=(1, 8, 3))
    assert metrics.pampjpe(truth * [-1, 1, 1], truth)[0] > 0.1


@pytest.mark.parametrize("frames", [2, 3])
def test_frames_are_aligned_alone_however_few(frames):
    generator = np.random.default_rng(3)
    pred, truth = generator.normal(size=(2, frames, 17, 3))
    each = [metrics.pampjpe(pred[i : i + 1], truth[i : i + 1])[0] for i in range(frames)]
    np.testing.assert_allclose(metrics.pampjpe(pred, truth), each, rtol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3])
def test_a_point_is_moved_to_the_centre(value):
    truth = np.zeros((1, 7, 3))
    truth[0, :, 0] = [-1, -1, -1, 1, 1, 1, 0]
    # The mean of seven times 0.1 is not 0.1.
    point = np.full((1, 7, 3), value)
    assert metrics.pampjpe(point, truth)[0] == pytest.approx(6 / 7)
    assert metrics.pampjpe(truth, point)[0] == pytest.approx(0, abs=1e-12)
    assert metrics.pampjpe(point, point)[0] == pytest.approx(0, abs=1e-12)


def test_flat_poses_are_aligned():
    generator = np.random.default_rng(5)
    truth = generator.normal(size=(3, 6, 3)) * [1, 1, 0]
    pred = truth @ random_rotation(generator) * 2
    np.testing.assert_allclose(procrustes(pred, truth), truth, atol=1e-12)


def test_chunks_and_batches_change_nothing(monkeypatch):
    pred, truth = np.random.default_rng(7).normal(size=(2, 3, 5, 4, 3))
    whole = procrustes(pred, truth)
    monkeypatch.setattr(alignment, "_BLOCK", 4)
    np.testing.assert_allclose(procrustes(pred, truth), whole, rtol=1e-12)
    for axis, batch in enumerate(whole):
        np.testing.assert_allclose(procrustes(pred[axis], truth[axis]), batch, rtol=1e-12)


def test_pck_counts_the_border_and_not_the_missed():
    truth = np.zeros((1, 4, 2))
    pred = np.array([[[20.0, 0], [12, 16], [20.001, 0], [np.nan, 0]]])
    correct = metrics.pck(pred, truth, np.array([100.0]), 0.2)
    assert correct.tolist() == [[True, True, False, False]]


def test_box_size_is_the_larger_side():
    boxes = np.array([[10, 20, 50, 30], [0, 0, 1.5, 2.5]])
    assert metrics.box_size(boxes).tolist() == [40, 2.5]


def test_rotation_error_of_known_turns():
    truth = np.stack([about_z(0), about_z(0), about_z(170)])[None]
    pred = np.stack([about_z(30), about_z(0), about_z(-170)])[None]
    np.testing.assert_allclose(metrics.rotation_error(pred, truth), [50 / 3], rtol=1e-9)
    half = metrics.rotation_error(about_z(180)[None, None], about_z(0)[None, None])
    assert half[0] == pytest.approx(180)
    tiny = metrics.rotation_error(about_z(1e-6)[None, None], about_z(0)[None, None])
    assert tiny[0] == pytest.approx(1e-6, rel=1e-4)


@settings(deadline=None, max_examples=25)
@given(seeds)
def test_the_angle_is_that_of_the_orthonormal_rotation(seed):
    generator = np.random.default_rng(seed)
    rotation = random_rotation(generator)
    # Stretching both columns and shearing the second along the first is undone.
    first, second = 3 * rotation[:, 0], 0.5 * rotation[:, 1] + 0.7 * rotation[:, 0]
    sheared = np.stack([first, second], -1).reshape(1, 1, 6)
    whole = rotation[:, :2].reshape(1, 1, 6)
    np.testing.assert_allclose(metrics.rotation_error(sheared, whole), 0, atol=1e-9)


def test_no_rotation_is_nan():
    assert np.isnan(metrics.rotation_error(np.zeros((1, 1, 6)), about_z(0)[None, None])).all()


def test_metric_info_serves_joint_groups():
    info = metrics.metric_info("pck@0.2:wrist")
    assert (info.label, info.better, info.scale) == ("PCK@0.2 wrist", "higher", 100)
    assert metrics.metric_info("accel").unit == "mm/frame^2"


@pytest.mark.parametrize("name", ["mpjp", "mpjpe:wrist"])
def test_unknown_metrics_name_the_nearest(name):
    with pytest.raises(BadInput, match=r"unknown metric .*did you mean mpjpe"):
        metrics.metric_info(name)


needs_golden = pytest.mark.skipif(
    not (GOLDEN / "metrics.npz").is_file(), reason=f"no metrics.npz in {GOLDEN}"
)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "metrics.npz") as file:
        return dict(file)


# The file's poses are scored as they are: no root is subtracted, 2D is in shares of the image.
@needs_golden
@pytest.mark.parametrize("name", ["mpjpe", "pampjpe", "accel"])
def test_golden_3d(golden, name):
    found = getattr(metrics, name)(golden["pred"], golden["gt"])
    np.testing.assert_allclose(found, golden[name], rtol=0, atol=1e-6)


@needs_golden
def test_golden_pck(golden):
    height, width = golden["imgshape_hwc"].reshape(-1)[:2]
    pred, truth = (golden[key] * np.array([width, height]) for key in ("pred2d", "gt2d"))
    size = metrics.box_size(golden["bbox_xyxy"])
    names = [name for name in golden if name.startswith("pck@")]
    assert names
    for name in names:
        found = metrics.pck(pred, truth, size, float(name.removeprefix("pck@"))).mean(0)
        np.testing.assert_allclose(found, golden[name], rtol=0, atol=1e-6, err_msg=name)
