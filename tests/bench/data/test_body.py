"""Bodies of rotations: by hand, and held to linear blend skinning in plain loops."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts import BadInput
from bench.data import body
from bench.data.body import check_model, chunks
from bench.data.clips import BODY_SHAPE
from bench.data.rotations import axis_angle_to_sixd, sixd_to_matrix
from bench.data.skeletons import BODY_14, SMPL_24

STILL = np.tile(np.float32([1, 0, 0, 1, 0, 0]), (24, 1))
MEAN = np.zeros((1, BODY_SHAPE), np.float32)


pytest.importorskip("smplx", reason="the extra 'body' is not installed")


def skinned(model, rotations, shape):
    """Vertices and joints of one frame, vertex by vertex and joint by joint, in float64."""
    matrices = sixd_to_matrix(rotations)
    rest = model.template.astype(np.float64) + model.shape_basis @ shape.astype(np.float64)
    at = model.regressor @ rest
    bends = (matrices[1:] - np.eye(3)).reshape(-1)
    bent = rest + (bends @ model.pose_basis).reshape(-1, 3)
    turned, moved = [matrices[0]], [at[0]]
    for joint, parent in enumerate(model.parents[1:], 1):
        turned.append(turned[parent] @ matrices[joint])
        moved.append(moved[parent] + turned[parent] @ (at[joint] - at[parent]))
    vertices = np.zeros_like(bent)
    for vertex, place in enumerate(bent):
        for joint in range(24):
            there = turned[joint] @ (place - at[joint]) + moved[joint]
            vertices[vertex] += model.weights[vertex, joint] * there
    return vertices, np.array(moved)


def test_a_body_at_rest_is_the_template(small_body):
    vertices, joints = body.pose(small_body, STILL[None], MEAN)
    assert vertices.shape == (1, 30, 3)
    assert joints.shape == (1, 14, 3)
    assert vertices.dtype == joints.dtype == np.float32
    np.testing.assert_allclose(vertices[0], small_body.template, atol=1e-6)
    for name, place in zip(BODY_14.joints[:-1], joints[0], strict=False):
        row = small_body.regressor[SMPL_24.joints.index(name)]
        np.testing.assert_allclose(place, row @ small_body.template, atol=1e-6)
    np.testing.assert_allclose(joints[0, -1], small_body.headtop @ small_body.template, atol=1e-6)


def test_a_shape_moves_the_body_at_rest(small_body):
    shape = MEAN.copy()
    shape[0, 4] = 2
    vertices, _ = body.pose(small_body, STILL[None], shape)
    expected = small_body.template + 2 * small_body.shape_basis[:, :, 4]
    np.testing.assert_allclose(vertices[0], expected, atol=1e-6)


def test_turning_the_first_joint_turns_everything_about_it(small_body):
    turned = STILL.copy()
    turned[0] = [0, -1, 1, 0, 0, 0]  # a quarter about z: x becomes y, y becomes -x
    vertices, joints = body.pose(small_body, turned[None], MEAN)
    still, resting = body.pose(small_body, STILL[None], MEAN)
    about = small_body.regressor[0] @ small_body.template
    for found, before in ((vertices, still), (joints, resting)):
        x, y, z = np.moveaxis(before[0] - about, -1, 0)
        np.testing.assert_allclose(found[0] - about, np.stack([-y, x, z], -1), atol=1e-6)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_any_body_is_that_of_plain_loops(small_body, seed):
    rng = np.random.default_rng(seed)
    rotations = axis_angle_to_sixd(rng.normal(0, 1, (3, 24, 3)))
    shapes = rng.normal(0, 1, (3, BODY_SHAPE)).astype(np.float32)
    # Scaled and skewed columns are made orthonormal first, as merged windows need it.
    vertices, joints = body.pose(small_body, rotations * 1.5, shapes)
    for frame in range(3):
        expected, places = skinned(small_body, rotations[frame], shapes[frame])
        np.testing.assert_allclose(vertices[frame], expected, atol=2e-5)
        named = [SMPL_24.joints.index(name) for name in BODY_14.joints[:-1]]
        np.testing.assert_allclose(joints[frame, :-1], places[named], atol=2e-5)
        np.testing.assert_allclose(joints[frame, -1], small_body.headtop @ expected, atol=2e-5)


def test_a_missed_frame_is_missed_alone(small_body):
    rotations = np.stack([STILL] * 3)
    rotations[0, 5] = np.nan
    shapes = np.repeat(MEAN, 3, 0)
    shapes[2, 1] = np.nan
    vertices, joints = body.pose(small_body, rotations, shapes)
    assert np.isnan(vertices).any((1, 2)).tolist() == [True, False, True]
    assert np.isnan(joints).any((1, 2)).tolist() == [True, False, True]


@pytest.mark.cuda
def test_a_gpu_makes_the_same_bodies(small_body):
    rng = np.random.default_rng(2)
    given = axis_angle_to_sixd(rng.normal(size=(5, 24, 3))), rng.normal(size=(5, BODY_SHAPE))
    for there, here in zip(
        body.pose(small_body, *given, "cuda"), body.pose(small_body, *given), strict=True
    ):
        np.testing.assert_allclose(there, here, atol=1e-4)


def test_the_parts_of_a_clip_cover_it_once():
    for frames in (1, 64, 65, 200):
        covered = [frame for part in chunks(frames) for frame in range(frames)[part]]
        assert covered == list(range(frames))


def test_the_digest_follows_every_number(small_body):
    digests = {small_body.digest}
    for name, array in small_body.arrays().items():
        changed = array.copy()
        changed.flat[0] += 1
        digests.add(replace(small_body, **{name: changed}).digest)
    digests.add(replace(small_body, parents=(-1, *[0] * 23)).digest)
    assert len(digests) == 8
    assert replace(small_body, template=small_body.template.copy()).digest == small_body.digest


@pytest.mark.parametrize(
    ("name", "change", "parts"),
    [
        ("template", lambda a: a[:-1], ["shape_basis", "(30, 3, 10)", "(29, 3, 10)"]),
        ("shape_basis", lambda a: a[..., :9], ["(30, 3, 9)"]),
        ("pose_basis", lambda a: a[:-1], ["(206, 90)", "(207, 90)"]),
        ("regressor", lambda a: a[:-1], ["(23, 30)"]),
        ("weights", lambda a: a.T, ["(24, 30)"]),
        ("headtop", lambda a: a[None], ["(1, 30)"]),
        ("headtop", lambda a: a.astype(np.float64), ["float64", "float32"]),
        ("template", lambda a: a * np.float32(np.nan), ["template is not finite"]),
        ("parents", lambda p: p[:-1], ["another order", "24 joints"]),
        ("parents", lambda p: (0, *p[1:]), ["another order"]),
        ("parents", lambda p: (-1, 2, *p[2:]), ["another order"]),
        ("parents", lambda p: (-1, -1, *p[2:]), ["another order"]),
    ],
)
def test_a_model_whose_parts_do_not_fit_is_refused(small_body, name, change, parts):
    check_model(small_body)
    spoiled = replace(small_body, **{name: change(getattr(small_body, name))})
    with pytest.raises(BadInput) as error:
        check_model(spoiled, "SMPL_NEUTRAL.npz")
    for part in ("SMPL_NEUTRAL.npz", *parts):
        assert part in str(error.value)


def test_without_the_package_that_poses_bodies_it_is_named(small_body, monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr(body, "import_module", absent)
    with pytest.raises(BadInput, match=r"need the package smplx.*pip install smplx"):
        body.pose(small_body, STILL[None], MEAN)
