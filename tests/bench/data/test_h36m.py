"""The layout of raw Human3.6M: pairing, cameras, what is left out and what is refused."""

import os
import shutil

import h5py
import numpy as np
import pytest

from bench.contracts import BadInput
from bench.data import h36m
from bench.data.h36m import CAMERAS, TEST_SUBJECTS, TRAIN_SUBJECTS, Camera, Take
from bench.data.skeletons import H36M_17, HOURGLASS_14

ALL = (*TRAIN_SUBJECTS, *TEST_SUBJECTS)


def camera(radial=(0, 0, 0), tangential=(0, 0)) -> Camera:
    """At (1000, 2000, 3000); right is world y, down is -z, forward is -x."""
    rows = np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])
    return Camera(
        "54138969",
        rotation=rows.T,
        position=np.array([1000.0, 2000, 3000]),
        focal=np.array([1000.0, 1100]),
        centre=np.array([500.0, 510]),
        radial=np.array(radial, float),
        tangential=np.array(tangential, float),
    )


# 4 m ahead, 0.4 m to the right, 0.8 m below: 0.1 and 0.2 of the distance.
POINT = np.array([-3000.0, 2400, 2200])


def refusal(action) -> str:
    with pytest.raises(BadInput) as error:
        action()
    return str(error.value)


def test_a_point_in_camera_coordinates_by_hand():
    assert camera().to_camera(POINT).tolist() == [400, 800, 4000]


def test_a_lens_without_distortion_is_a_pinhole():
    np.testing.assert_allclose(camera().project(POINT), [600, 730], rtol=0, atol=1e-9)


def test_distortion_by_hand():
    # r2 = 0.05; radial 1 + 0.2 r2 - 0.4 r2^2 + 0.8 r2^3 = 1.0091; product term
    # 0.01 * 0.2 + 0.02 * 0.1 = 0.004; x 0.1 * 1.0131 + 0.05 * 0.02, y 0.2 * 1.0131 + 0.05 * 0.01.
    bent = camera(radial=(0.2, -0.4, 0.8), tangential=(0.01, 0.02)).project(POINT)
    np.testing.assert_allclose(bent, [500 + 102.31, 510 + 1100 * 0.20312], rtol=0, atol=1e-9)


def test_points_keep_their_leading_axes():
    points = np.tile(POINT, (3, 5, 1))
    assert camera().to_camera(points).shape == (3, 5, 3)
    assert camera().project(points).shape == (3, 5, 2)


def test_every_camera_of_every_subject_is_read_with_its_rotation_as_stored(h36m_folder):
    rig = h36m.cameras(h36m_folder)
    assert set(rig) == {(subject, name) for subject in ALL for name in CAMERAS}
    with h5py.File(h36m_folder / "cameras.h5") as store:
        for number, name in enumerate(CAMERAS):
            found, group = rig["S9", name], store[f"subject9/camera{number + 1}"]
            np.testing.assert_array_equal(found.rotation, group["R"][()])
            assert found.position.tolist() == group["T"][:, 0].tolist()
            # A column vector turns by the transpose of what is stored.
            point = np.array([100.0, -200, 300])
            turned = group["R"][()].T @ (point - group["T"][:, 0])
            np.testing.assert_allclose(found.to_camera(point), turned)
            assert found.to_camera(np.array([0, 0, 900.0]))[2] == pytest.approx(5000)


def test_detections_belong_to_the_take_of_the_same_name(h36m_folder):
    take = Take("S9", "Walking 1", h36m_folder)
    folder = h36m_folder / "S9"
    assert take.recording == "S9/Walking 1"
    assert take.mocap == folder / "MyPoses/3D_positions/Walking 1.h5"
    assert take.detections("54138969") == folder / "StackedHourglass/Walking_1.54138969.h5"
    first = Take("S9", "Walking", h36m_folder)
    assert first.detections("54138969") == folder / "StackedHourglass/Walking.54138969.h5"
    assert take.mocap.is_file()
    assert first.mocap.is_file()


def test_positions_are_one_row_per_frame(h36m_folder):
    take = Take("S1", "Walking", h36m_folder)
    with h5py.File(take.mocap) as store:
        stored = store["3D_positions"][()]
    assert take.world.shape == (30, 32, 3)
    assert take.world.dtype == np.float32
    assert take.world[7, 5].tolist() == stored[15:18, 7].tolist()
    assert take.pixels(CAMERAS[0]).shape == (30, 16, 2)
    assert take.pixels(CAMERAS[0]).dtype == np.float32


def test_every_view_pairs_detections_with_the_truth_they_show(h36m_folder):
    joints = list(h36m.MOCAP_DETECTED)
    for take, seen_by, pixels in h36m.views(h36m_folder, ALL):
        away = np.linalg.norm(seen_by.project(take.world[:, joints]) - pixels, axis=-1)
        # The fixture's detector is 5 px off in each direction: 6.3 px on average.
        assert away.mean() == pytest.approx(6.3, abs=0.6), take


def test_views_are_sorted_and_leave_out_the_misaligned_takes_of_s9(h36m_folder):
    seen = [(take.recording, seen_by.name) for take, seen_by, _ in h36m.views(h36m_folder, ALL)]
    recordings = list(dict.fromkeys(recording for recording, _ in seen))
    assert recordings == [
        "S1/Walking", "S1/Walking 1", "S5/Walking", "S5/Walking 1", "S6/Walking", "S6/Walking 1",
        "S7/Walking", "S7/Walking 1", "S8/Walking", "S8/Walking 1", "S9/Walking", "S9/Walking 1",
        "S11/Greeting", "S11/Walking", "S11/Walking 1",
    ]  # fmt: skip
    assert [name for recording, name in seen if recording == "S9/Walking"] == list(CAMERAS)
    assert [name for recording, name in seen if recording == "S11/Walking"] == list(CAMERAS[1:])


def test_what_is_missing_is_named(h36m_folder, spoiled_h36m):
    lacking = ("S5/Discussion 2 (motion capture)", "S11/Walking/54138969 (detections)")
    assert h36m.missing(h36m_folder) == lacking
    shutil.rmtree(spoiled_h36m / "S1/StackedHourglass")
    without = tuple(
        f"S1/{take}/{name} (detections)" for take in ("Walking", "Walking 1") for name in CAMERAS
    )
    assert h36m.missing(spoiled_h36m) == without + lacking


def test_the_folder_is_found_here_and_one_folder_down(h36m_folder, tmp_path):
    assert h36m.find(h36m_folder) == h36m_folder
    assert h36m.find(h36m_folder.parent) == h36m_folder
    assert h36m.find(tmp_path) is None


def test_joint_orders_name_the_same_joints():
    assert len(set(h36m.MOCAP_17)) == len(H36M_17.joints) == 17
    names = dict(zip(h36m.MOCAP_17, H36M_17.joints, strict=True))
    scored = [h36m.MOCAP_DETECTED[joint] for joint in h36m.SCORED_2D]
    # The 32-joint skeleton has its thorax where the 17 joints say neck.
    assert [names[joint].replace("neck", "thorax") for joint in scored] == list(HOURGLASS_14.joints)
    assert set(range(16)) - set(h36m.SCORED_2D) == {7, 9}  # the detector's spine and head


@pytest.mark.parametrize(
    ("poses", "found"),
    [
        (np.zeros((29, 16, 2)), "found (29, 16, 2)"),
        (np.zeros((30, 17, 2)), "found (30, 17, 2)"),
        (np.zeros((30, 32)), "found (30, 32)"),
    ],
)
def test_detections_that_do_not_fit_the_truth_are_refused(spoiled_h36m, poses, found):
    take = Take("S1", "Walking", spoiled_h36m)
    with h5py.File(take.detections(CAMERAS[0]), "w") as store:
        store["poses"] = poses
    message = refusal(lambda: take.pixels(CAMERAS[0]))
    assert message.startswith(str(take.detections(CAMERAS[0])))
    for part in ("clip S1/Walking/54138969", found, "expected (30, 16, 2)", "same release"):
        assert part in message


def test_motion_capture_of_another_shape_is_refused(spoiled_h36m):
    take = Take("S1", "Walking", spoiled_h36m)
    with h5py.File(take.mocap, "w") as store:
        store["3D_positions"] = np.zeros((30, 96), np.float32)
    message = refusal(lambda: take.world)
    assert message.startswith(str(take.mocap))
    assert "clip S1/Walking: not a motion-capture file; found (30, 96); expected (96, T)" in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_truth_that_is_not_finite_is_refused(spoiled_h36m, value):
    take = Take("S8", "Walking 1", spoiled_h36m)
    with h5py.File(take.mocap, "r+") as store:
        store["3D_positions"][50, 3] = value
    message = refusal(lambda: list(h36m.views(spoiled_h36m, ("S8",))))
    assert message.startswith(str(take.mocap))
    assert "clip S8/Walking 1: the truth is not finite" in message


@pytest.mark.parametrize("keep", [0, 100, 2000])
def test_a_truncated_file_is_refused(spoiled_h36m, keep):
    take = Take("S1", "Walking", spoiled_h36m)
    take.mocap.write_bytes(take.mocap.read_bytes()[:keep])
    message = refusal(lambda: take.world)
    assert message.startswith(str(take.mocap))
    assert "copy the file again" in message


@pytest.mark.parametrize("content", ["another name", "a group", "words"])
def test_a_file_without_the_numbers_is_refused(spoiled_h36m, content):
    take = Take("S1", "Walking", spoiled_h36m)
    with h5py.File(take.detections(CAMERAS[0]), "w") as store:
        if content == "another name":
            store["positions"] = np.zeros((30, 16, 2))
        elif content == "a group":
            store.create_group("poses")
        else:
            store["poses"] = [b"many", b"words"]
    message = refusal(lambda: take.pixels(CAMERAS[0]))
    assert message.startswith(str(take.detections(CAMERAS[0])))
    assert "expected 'poses'" in message


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        ("subject9", "subject9/camera1/R"),
        ("subject11/camera3", "subject11/camera3/R"),
        ("subject5/camera2/k", "subject5/camera2/k"),
    ],
)
def test_a_missing_camera_is_told(spoiled_h36m, lost, told):
    with h5py.File(spoiled_h36m / "cameras.h5", "r+") as store:
        del store[lost]
    message = refusal(lambda: h36m.cameras(spoiled_h36m))
    assert message.startswith(f"{spoiled_h36m / 'cameras.h5'}: numbers are missing")
    assert told in message


def test_a_camera_with_too_few_numbers_or_another_name_is_told(spoiled_h36m):
    with h5py.File(spoiled_h36m / "cameras.h5", "r+") as store:
        store["subject1/camera1/Name"][0] = float(ord("9"))
    message = refusal(lambda: h36m.cameras(spoiled_h36m))
    assert "no camera of this name; expected 54138969 of S1" in message
    with h5py.File(spoiled_h36m / "cameras.h5", "r+") as store:
        del store["subject1/camera1/R"]
        store["subject1/camera1/R"] = np.eye(2)
    assert "expected subject1/camera1/R with 9 numbers" in refusal(
        lambda: h36m.cameras(spoiled_h36m)
    )


def test_cameras_that_are_no_hdf5_are_refused(spoiled_h36m):
    (spoiled_h36m / "cameras.h5").write_text("no cameras")
    message = refusal(lambda: list(h36m.views(spoiled_h36m, ALL)))
    assert message.startswith(f"{spoiled_h36m / 'cameras.h5'}: cannot be read")


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        ("S6/MyPoses/3D_positions", "no motion capture; expected *.h5"),
        ("S6/StackedHourglass", "no detections of any take; expected TAKE.CAMERA.h5"),
    ],
)
def test_a_subject_without_files_is_told(spoiled_h36m, folder, told):
    shutil.rmtree(spoiled_h36m / folder)
    message = refusal(lambda: list(h36m.views(spoiled_h36m, ALL)))
    assert message.startswith(f"{spoiled_h36m / folder}: {told}")


@pytest.fixture(scope="module")
def real(shared):
    root = h36m.find(shared / "data")
    if root is None:
        pytest.skip("the reference data holds no raw Human3.6M")
    return root


def test_the_real_projection_is_as_far_from_the_detections_as_known(real):
    take = Take("S9", "Walking", real)
    seen_by = h36m.cameras(real)["S9", "54138969"]
    truth = seen_by.project(take.world[:, h36m.MOCAP_DETECTED].astype(np.float64))
    away = np.linalg.norm(truth - take.pixels("54138969"), axis=-1).mean(0)
    known = [
        14.2, 8.4, 11.7, 9.2, 10.7, 17.6, 7.6, 48.3, 11.6, 56.0, 6.2, 6.7, 9.2, 8.8, 7.7, 6.3,
    ]  # fmt: skip
    np.testing.assert_allclose(away, known, rtol=0, atol=0.06)


def test_the_real_test_set_has_223_views_of_506_875_frames(real):
    frames = []
    for take in h36m.takes(real, TEST_SUBJECTS):
        with h5py.File(take.mocap) as store:
            length = store["3D_positions"].shape[1]
        frames += [length for name in CAMERAS if take.detections(name).is_file()]
    assert (len(frames), sum(frames)) == (223, 506_875)


def test_the_real_data_misses_what_is_known_to_be_missing(real):
    assert h36m.missing(real) == (
        "S5/Discussion 2 (motion capture)",
        "S5/Discussion 3 (motion capture)",
        "S7/Discussion (motion capture)",
        "S7/SittingDown 1 (motion capture)",
        "S9/Discussion 1 (motion capture)",
        "S11/Directions/54138969 (detections)",
    )


@pytest.mark.parametrize("kind", ["external link", "soft link", "other file", "virtual", "huge"])
def test_numbers_that_are_not_in_the_file_are_refused(spoiled_h36m, tmp_path, kind):
    take = Take("S1", "Walking", spoiled_h36m)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as store:
        store["3D_positions"] = np.zeros((96, 30), np.float32)
    with h5py.File(take.mocap, "w") as store:
        if kind == "external link":
            store["3D_positions"] = h5py.ExternalLink(str(other), "/3D_positions")
        elif kind == "soft link":
            store["x"] = np.zeros((96, 30))
            store["3D_positions"] = h5py.SoftLink("/x")
        elif kind == "other file":
            raw = [(str(other), 0, 96 * 4)]
            store.create_dataset("3D_positions", (96, 4), "u1", external=raw)
        elif kind == "virtual":
            layout = h5py.VirtualLayout((96, 30), "f4")
            layout[:] = h5py.VirtualSource(str(other), "3D_positions", (96, 30))
            store.create_virtual_dataset("3D_positions", layout)
        else:
            store.create_dataset("3D_positions", (96, 10**9), "f4", chunks=(96, 1))
    message = refusal(lambda: take.world)
    assert message.startswith(str(take.mocap))
    assert "3D_positions" in message


def test_a_pipe_is_no_file(spoiled_h36m):
    take = Take("S1", "Walking", spoiled_h36m)
    take.mocap.unlink()
    os.mkfifo(take.mocap)
    assert "no such file" in refusal(lambda: take.world)
