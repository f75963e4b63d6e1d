"""Evaluation: what methods are shown, and scores held to plain loops."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bench import evaluation, registry
from bench.contracts import BadInput, Window
from bench.data import stretches
from bench.data.body import Shapes
from bench.data.clips import Clip, Dataset
from bench.data.missing import fill_missing
from bench.data.rotations import axis_angle_to_sixd
from bench.data.skeletons import BODY_14, JHMDB_15, SMPL_24
from bench.data.windows import Windows
from bench.evaluation import evaluate, full_rate, window_error
from bench.protocols import protocol

WINDOW = Window(interval=5, intervals=2, joints=14, dims=3)


def clip(name: str, frames: int, seed: int = 0) -> Clip:
    rng = np.random.default_rng([seed, frames])
    truth = rng.normal(0, 0.3, (frames, 14, 3))
    detected = truth + rng.normal(0, 0.05, truth.shape)
    return Clip(name, name, detected.astype(np.float32), truth.astype(np.float32))


def dataset(*clips: Clip) -> Dataset:
    parts = {"train": clips, "validation": clips, "test": clips}
    return Dataset("d", "D", "E", "3d", 30, BODY_14, parts, "made here")


class Hold:
    """Repeats each keyframe until the next one; remembers what it was shown."""

    title, source, revision, Options = "hold", "here", 1, SimpleNamespace

    def __init__(self) -> None:
        self.shown: list[torch.Tensor] = []

    def recover(self, keyframes: torch.Tensor) -> torch.Tensor:
        self.shown.append(keyframes)
        return keyframes.repeat_interleave(5, 1)[:, :11]


class Same:
    """A refiner that changes nothing; remembers what it was shown."""

    title, source, revision, Options = "same", "here", 1, SimpleNamespace

    def __init__(self) -> None:
        self.shown: list[torch.Tensor] = []

    def refine(self, frames: torch.Tensor) -> torch.Tensor:
        self.shown.append(frames)
        return frames


class Louder(Same):
    """A refiner that learns how much louder the truth is."""

    def fit(self, train, validation):
        given, truth = next(train.batches(100))
        self.gain = float((truth * given).sum() / (given * given).sum())
        return {}

    def state_dict(self):
        return {"gain": torch.tensor(self.gain)}

    def load_state_dict(self, state):
        self.gain = float(state["gain"])

    def refine(self, frames: torch.Tensor) -> torch.Tensor:
        return self.gain * super().refine(frames)


def score(method, data, name="deciwatch", **rest):
    return evaluate(method, data, "test", protocol(name), WINDOW, **rest)


def naive(clip: Clip, starts: list[int]) -> tuple[float, float]:
    """MPJPE and Accel in mm of `Hold`, frame by frame and joint by joint."""
    covers: dict[int, list[np.ndarray]] = {}
    for start in starts:
        for offset in range(11):
            shown = clip.detected[start + offset // 5 * 5].astype(np.float64)
            covers.setdefault(start + offset, []).append(shown)
    merged = [sum(poses) / len(poses) for _, poses in sorted(covers.items())]
    truth = [pose.astype(np.float64) for pose in clip.truth[: len(merged)]]
    merged, truth = (
        [pose - (pose[2] + pose[3]) / 2 for pose in poses] for poses in (merged, truth)
    )
    errors = [
        np.mean([np.linalg.norm(p[j] - t[j]) for j in range(14)])
        for p, t in zip(merged, truth, strict=True)
    ]
    jerks = []
    for i in range(1, len(merged) - 1):
        p, t = (x[i - 1] - 2 * x[i] + x[i + 1] for x in (merged, truth))
        jerks.append(np.mean([np.linalg.norm(p[j] - t[j]) for j in range(14)]))
    return 1000 * float(np.mean(errors)), 1000 * float(np.mean(jerks))


@pytest.mark.parametrize(("name", "starts"), [("deciwatch", [0, 5, 10]), ("full", [0, 5, 10, 12])])
def test_scores_are_those_of_plain_loops(name, starts):
    one = clip("one", 23)
    (scored,), _ = score(Hold(), dataset(one), name)
    mpjpe, accel = naive(one, starts)
    assert scored.values["mpjpe"][0] == pytest.approx(mpjpe, rel=1e-5)
    assert scored.values["accel"][0] == pytest.approx(accel, rel=1e-5)
    assert scored.frames == scored.values["mpjpe"][1] == starts[-1] + 11


@pytest.mark.parametrize("name", ["deciwatch", "full"])
def test_a_recovery_method_is_shown_keyframes_only(name):
    one = clip("one", 23)
    one.detected[:] = np.arange(23)[:, None, None]
    method = Hold()
    score(method, dataset(one), name)
    shown = torch.cat(method.shown)
    starts = [0, 5, 10] + [12] * (name == "full")
    assert shown.shape == (len(starts), 3, 42)
    assert shown[:, :, 0].tolist() == [[s, s + 5, s + 10] for s in starts]


def test_frames_between_keyframes_change_nothing():
    one = clip("one", 23)
    before = score(Hold(), dataset(one))
    one.detected[np.arange(23) % 5 != 0] = 9e9
    assert score(Hold(), dataset(one)) == before


def test_a_refiner_is_shown_every_frame():
    one = clip("one", 21)
    one.detected[:] = np.arange(21)[:, None, None]
    method = Same()
    _, scored = score(method, dataset(one))
    assert torch.cat(method.shown)[:, :, 0].tolist() == [list(range(s, s + 11)) for s in (0, 5, 10)]
    assert scored.sampled == 1.0


def test_a_refiner_that_changes_nothing_scores_as_the_estimator():
    data = dataset(clip("one", 21), clip("two", 31))
    scores, _ = score(Same(), data)
    summary = protocol("deciwatch").summarise([one.values for one in scores])
    expected = full_rate(data)
    assert summary == pytest.approx({name: expected[name] for name in summary}, rel=1e-5)


def test_what_a_refiner_misses_is_filled_in_if_it_learns():
    one = clip("one", 11)
    one.detected[:] = np.arange(11)[:, None, None]
    one.detected[4:6, 3] = np.nan
    plain, learned = Same(), Louder()
    learned.load_state_dict({"gain": torch.ones(())})
    for method in (plain, learned):
        score(method, dataset(one))
    # Filled from the frames around it, not from keyframes, which are 0, 5 and 10.
    assert learned.shown[0][0, :, 9].tolist() == list(range(11))
    assert plain.shown[0][0, :, 9].isnan().nonzero().flatten().tolist() == [4, 5]


def test_a_refiner_learns_from_every_frame_and_is_selected_on_it():
    one = clip("one", 40)
    one.truth[:] = 2 * one.detected
    source = Windows(dataset(one), "train", WINDOW, every_frame=True)
    method = Louder()
    method.fit(source, source)
    assert method.gain == pytest.approx(2)
    assert window_error(method, source, None) < 1e-6
    assert method.shown[-1].shape[1:] == (11, 42)
    method.load_state_dict({"gain": torch.ones(())})
    joints = np.linalg.norm(one.detected, axis=-1).mean(1)
    counts = np.zeros(40)
    for start in source.starts.tolist():
        counts[start : start + 11] += 1
    expected = float((joints * counts).sum() / counts.sum())
    assert window_error(method, source, None) == pytest.approx(expected, rel=1e-5)


def test_what_is_padded_dropped_missed_and_sampled_is_counted():
    long, short = clip("long", 23), clip("short", 7)
    long.detected[5, 3] = np.nan
    long.detected[6, 4, 0] = np.nan
    _, scored = score(Hold(), dataset(long, short))
    assert (scored.clips, scored.frames, scored.joints) == (2, 21 + 11, 14)
    assert (scored.dropped, scored.padded, scored.missed) == (2, 4, 2)
    # Keyframes 0, 5, ..., 20 of the long clip, 0, 5, 10 of the padded one.
    assert scored.sampled == 8 / 32
    _, scored = score(Hold(), dataset(long), "full")
    assert (scored.frames, scored.dropped, scored.padded) == (23, 0, 0)
    # The last window starts at 12 and has keyframes 12, 17 and 22.
    assert scored.sampled == 8 / 23


def test_a_missed_keyframe_is_filled_before_a_method_sees_it():
    one = clip("one", 11)
    one.detected[5] = np.nan
    method = Hold()
    (scored,), _ = score(method, dataset(one))
    shown = method.shown[0][0]
    torch.testing.assert_close(shown[1], (shown[0] + shown[2]) / 2)
    assert np.isfinite(scored.values["mpjpe"][0])


def test_a_clip_shorter_than_a_window_is_padded_with_zeros_as_published():
    method = Hold()
    score(method, dataset(clip("short", 7)))
    shown = method.shown[0][0]
    assert shown.shape == (3, 42)
    assert shown[2].eq(0).all()
    assert not shown[1].eq(0).any()


def test_a_clip_shorter_than_a_window_is_refused_when_every_frame_counts():
    with pytest.raises(BadInput, match=r"clip short: .*7 frames; expected at least 11"):
        score(Hold(), dataset(clip("long", 23), clip("short", 7)), "full")


def test_a_short_clip_in_pixels_is_padded_with_its_boxes():
    rng = np.random.default_rng(5)
    poses = rng.uniform(50, 200, (7, 15, 2)).astype(np.float32)
    box = np.tile(np.float32([20, 30, 220, 210]), (7, 1))
    flat = Clip("flat", "flat", poses, poses, image=(320, 240), box=box)
    data = Dataset("d", "D", "E", "2d", 30, JHMDB_15, {"test": (flat,)}, "made here")
    window = Window(5, 2, 15, 2)
    (scored,), counted = evaluate(Same(), data, "test", protocol("deciwatch"), window)
    assert counted.padded == 4
    assert scored.frames == 11
    assert scored.values["pck@0.2"] == (1.0, 1.0)


def moving(frames: int, seed: int = 0) -> Clip:
    """A clip of rotations whose shapes differ at every frame."""
    rng = np.random.default_rng([seed, frames])
    poses = axis_angle_to_sixd(rng.normal(0, 0.5, (2, frames, 24, 3)))
    shapes = rng.normal(0, 1, (2, frames, 10)).astype(np.float32)
    return Clip("m", "m", *poses, detected_shape=shapes[0], truth_shape=shapes[1])


def bodies(model, *clips: Clip) -> Dataset:
    return Dataset("d", "D", "E", "6d", 30, SMPL_24, {"test": clips}, "made here", body=model)


ROTATING = Window(interval=5, intervals=2, joints=24, dims=6)


def test_bodies_have_the_shape_detected_at_every_frame_that_is_scored(small_body):
    pytest.importorskip("smplx", reason="the extra 'body' is not installed")
    one, rules = moving(23), protocol("deciwatch")
    data = bodies(small_body, one)
    (scored,), _ = evaluate(Same(), data, "test", rules, ROTATING)
    kept = slice(0, 21)
    expected = rules.score(
        one.detected[kept],
        one.truth[kept],
        skeleton=SMPL_24,
        space="6d",
        shapes=Shapes(small_body, one.detected_shape[kept], one.truth_shape[kept]),
    )
    assert set(scored.values) == {"angle", "mpjpe", "pampjpe", "accel", "mpvpe"}
    for name, (value, weight) in expected.items():
        assert scored.values[name] == (pytest.approx(value, rel=1e-4), weight)
    # The shapes of frames between keyframes count too, although their poses are not looked at.
    (before,), _ = evaluate(Hold(), data, "test", rules, ROTATING)
    one.detected_shape[np.arange(23) % 5 != 0] += 1
    (after,), _ = evaluate(Hold(), data, "test", rules, ROTATING)
    assert after.values["angle"] == before.values["angle"]
    assert abs(after.values["mpvpe"][0] - before.values["mpvpe"][0]) > 1
    one.detected_shape[21:] = np.nan  # dropped by the protocol
    assert evaluate(Hold(), data, "test", rules, ROTATING)[0] == (after,)


def test_the_estimator_is_scored_as_a_body_at_full_rate(small_body):
    pytest.importorskip("smplx", reason="the extra 'body' is not installed")
    one = moving(21)
    found = full_rate(bodies(small_body, one))
    (scored,), _ = evaluate(Same(), bodies(small_body, one), "test", protocol("full"), ROTATING)
    assert found == pytest.approx({n: v for n, (v, _) in scored.values.items()}, rel=1e-4)
    assert set(full_rate(bodies(None, one))) == {"angle"}


def test_frames_of_padding_have_no_body(small_body):
    pytest.importorskip("smplx", reason="the extra 'body' is not installed")
    (scored,), counted = evaluate(
        Same(), bodies(small_body, moving(7)), "test", protocol("deciwatch"), ROTATING
    )
    assert (counted.frames, counted.padded) == (11, 4)
    assert scored.values["mpvpe"][1] == scored.values["angle"][1] == 7


def test_most_takes_so_many_clips_evenly_spread():
    data = dataset(*(clip(str(i), 12) for i in range(5)))
    names = {most: [one.name for one in score(Hold(), data, most=most)[0]] for most in (1, 2, 3, 9)}
    assert names == {1: ["0"], 2: ["0", "4"], 3: ["0", "2", "4"], 9: list("01234")}


def plain_starts(frames: int, window: Window, name: str) -> list[int]:
    """Where windows start, and by a loop (spec 3.3)."""
    starts = [0]
    while starts[-1] + window.interval + window.frames <= frames:
        starts.append(starts[-1] + window.interval)
    if name == "full" and starts[-1] + window.frames < frames:
        starts.append(frames - window.frames)
    return starts


def plain_windows(one: Clip, window: Window, starts: list[int], refines: bool) -> list[np.ndarray]:
    """What `Hold` or `Same` makes of each window of a clip, in model space, one by one."""
    flat = one.detected.reshape(one.frames, -1)
    if one.image is not None:
        flat = (one.detected / np.float32(one.image)).reshape(one.frames, -1)
    flat = np.pad(flat, ((0, max(window.frames - one.frames, 0)), (0, 0)))
    found = []
    for start in starts:
        given = flat[start : start + window.frames]
        if not refines:
            keyframes = fill_missing(torch.tensor(given[None, :: window.interval]), window.dims)[0]
            given = np.stack(
                [keyframes[t // window.interval].numpy() for t in range(window.frames)]
            )
        found.append(given)
    return found


def plain_merge(windows: list[np.ndarray], starts: list[int]) -> list[np.ndarray]:
    """The mean of all windows that cover a frame, frame by frame."""
    length = len(windows[0])
    merged = []
    for frame in range(starts[-1] + length):
        covers = [
            w[frame - s] for w, s in zip(windows, starts, strict=True) if 0 <= frame - s < length
        ]
        merged.append(np.mean(np.stack(covers).astype(np.float64), 0))
    return merged


def plain_3d(merged, one: Clip, root) -> dict[str, tuple[float, int]]:
    """MPJPE, PA-MPJPE and Accel of a clip in mm, frame by frame, and how many frames have them."""
    pred, truth = [], []
    for frame, flat in enumerate(merged):
        t = one.truth[frame].astype(np.float64) if frame < one.frames else np.zeros((14, 3))
        p = flat.reshape(14, 3)
        pred.append(p - p[root].mean(0))
        truth.append(t - t[root].mean(0))
    values = {"mpjpe": [], "pampjpe": [], "accel": []}
    for p, t in zip(pred, truth, strict=True):
        if np.isnan(p).any():
            continue
        values["mpjpe"].append(np.linalg.norm(p - t, axis=-1).mean())
        x, y = p - p.mean(0), t - t.mean(0)
        u, s, vt = np.linalg.svd(x.T @ y)
        turn = np.array([1, 1, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
        # A frame of padding is a point: it has no scale.
        scale = (s * turn).sum() / (x * x).sum() if x.any() else 0.0
        aligned = x @ (u * turn) @ vt * scale
        values["pampjpe"].append(np.linalg.norm(aligned - y, axis=-1).mean())
    for frame in range(len(pred) - 2):
        p, t = (x[frame] - 2 * x[frame + 1] + x[frame + 2] for x in (pred, truth))
        if not np.isnan(p).any():
            values["accel"].append(np.linalg.norm(p - t, axis=-1).mean())
    return {name: (1000 * float(np.mean(v)), len(v)) for name, v in values.items() if v}


def plain_2d(merged, one: Clip, name: str) -> dict[str, tuple[float, int]]:
    """Pixels and PCK of a clip, joint by joint, with what each counts for."""
    skeleton = JHMDB_15
    groups = skeleton.groups if name != "deciwatch" else skeleton.published_groups
    distances = np.full((len(merged), 15), np.nan)
    sizes = []
    for frame, flat in enumerate(merged):
        here = frame < one.frames
        truth = one.truth[frame] / np.float32(one.image) if here else np.zeros((15, 2))
        pred = flat.reshape(15, 2)
        for joint in range(15):
            distances[frame, joint] = np.linalg.norm((pred[joint] - truth[joint]) * one.image)
        box = one.box[frame] if here else np.zeros(4)
        box = box.astype(int) if name != "full" else box.astype(np.float64)
        sizes.append(max(box[2] - box[0], box[3] - box[1]))
    whole = [d.mean() for d in distances if not np.isnan(d).any()]
    scores = {"pixels": (float(np.mean(whole)), len(whole))} if whole else {}
    weight = 1 if name == "deciwatch" else len(merged)
    for share in (0.2, 0.1, 0.05):
        hits = [
            np.mean([d[joint] <= share * s for d, s in zip(distances, sizes, strict=True)])
            for joint in range(15)
        ]
        scores[f"pck@{share}"] = float(np.mean(hits)), weight
        for group, members in groups.items():
            scores[f"pck@{share}:{group}"] = float(np.mean([hits[j] for j in members])), weight
    return scores


def random_clips(space: str, shortest: int, seed: int) -> list[Clip]:
    """Clips of many lengths with missed joints and frames; in 2D images of many sizes."""
    rng = np.random.default_rng(seed)
    clips = []
    for number in range(9):
        frames = int(rng.integers(shortest, 50))
        if space == "3d":
            truth = rng.normal(0, 0.3, (frames, 14, 3))
            rest = {}
        else:
            truth = rng.uniform(10, 200, (frames, 15, 2))
            box = np.concatenate([truth.min(1), truth.max(1)], 1).astype(np.float32)
            rest = {"image": (200 + 10 * number, 300 - 10 * number), "box": box}
        detected = truth + rng.normal(0, 0.05 if space == "3d" else 8, truth.shape)
        detected[rng.random(detected.shape[:2]) < rng.choice([0, 0.02])] = np.nan
        clips.append(
            Clip(
                str(number),
                str(number),
                detected.astype(np.float32),
                truth.astype(np.float32),
                **rest,
            )
        )
    return clips


@pytest.mark.parametrize("most", [1, 70, 10_000])
@pytest.mark.parametrize("name", ["deciwatch", "pck-pooled", "full"])
@pytest.mark.parametrize("space", ["3d", "2d"])
@pytest.mark.parametrize("kind", [Hold, Same])
def test_many_clips_at_once_score_as_each_frame_alone(monkeypatch, most, name, space, kind):
    monkeypatch.setattr(stretches, "_FRAMES", most)
    monkeypatch.setattr(evaluation, "_CPU_FRAMES", 40)
    clips = random_clips(space, 11 if name == "full" else 1, seed=most)
    skeleton, joints, dims = (BODY_14, 14, 3) if space == "3d" else (JHMDB_15, 15, 2)
    data = Dataset("d", "D", "E", space, 30, skeleton, {"test": tuple(clips)}, "made here")
    window = Window(5, 2, joints, dims)
    scores, counted = evaluate(kind(), data, "test", protocol(name), window)
    assert [one.name for one in scores] == [one.name for one in clips]
    keyframes = 0
    for one, found in zip(clips, scores, strict=True):
        starts = plain_starts(one.frames, window, name)
        merged = plain_merge(plain_windows(one, window, starts, kind is Same), starts)
        expected = (
            plain_3d(merged, one, list(BODY_14.root))
            if space == "3d"
            else plain_2d(merged, one, name)
        )
        assert found.frames == len(merged)
        assert found.values.keys() == expected.keys()
        for metric, (value, weight) in expected.items():
            assert found.values[metric][1] == weight, metric
            assert found.values[metric][0] == pytest.approx(value, rel=1e-6), metric
        keyframes += len({start + step for start in starts for step in (0, 5, 10)})
    frames = sum(one.frames for one in scores)
    assert counted.frames == frames
    assert counted.sampled == (1.0 if kind is Same else keyframes / frames)
    assert counted.missed == sum(int(np.isnan(one.detected[..., 0]).sum()) for one in clips)


def test_memory_does_not_grow_with_the_number_of_clips(monkeypatch):
    monkeypatch.setattr(stretches, "_FRAMES", 200)

    def peak(count: int) -> int:
        data = dataset(*[clip(str(i), 60, i) for i in range(count)])
        tracemalloc.start()
        score(Hold(), data)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    class Hold(Same):
        def refine(self, frames):
            return frames  # remembers nothing

    peak(2)
    few, many = peak(8), peak(80)
    # What is told of each clip is all that grows.
    assert many - few < 72 * 2000
    assert few > 200 * 14 * 3 * 8


@pytest.mark.parametrize(("frames", "expected"), [(11, [(1, 2), (2, 2)]), (22, [(2, 2)])])
def test_progress_tells_every_stretch_of_clips(monkeypatch, frames, expected):
    monkeypatch.setattr(stretches, "_FRAMES", frames)
    told = []
    score(
        Hold(),
        dataset(clip("a", 12), clip("b", 12)),
        progress=lambda *said: told.append(said),
    )
    assert told == expected


def test_what_neither_recovers_nor_refines_is_refused():
    with pytest.raises(TypeError, match="neither recover nor refine"):
        score(object(), dataset(clip("a", 12)))


def test_the_estimators_own_errors_leave_missed_frames_out():
    one = clip("one", 4)
    one.detected[:] = one.truth
    one.detected[0, 0, 0] += 0.14  # one of 14 joints by 140 mm
    one.detected[1] = np.nan
    found = full_rate(dataset(one))
    assert found["mpjpe"] == pytest.approx(10 / 3, rel=1e-4)


def test_selection_sees_the_mean_joint_distance_of_unmerged_windows():
    class Zero(Hold):
        def recover(self, keyframes):
            return keyframes.new_zeros(len(keyframes), 11, 42)

    one = clip("one", 12)
    source = Windows(dataset(one), "test", WINDOW)
    # Twelve windows; only two differ: those from frames 0 and 1, taken in turns.
    distance = np.linalg.norm(one.truth.astype(np.float64), axis=-1)
    expected = np.mean([distance[s : s + 11].mean() for s in (0, 1)])
    assert window_error(Zero(), source, None) == pytest.approx(expected, rel=1e-5)
    assert window_error(Zero(), source, 1) == pytest.approx(distance[:11].mean(), rel=1e-5)


def test_with_many_frames_a_network_is_made_faster_and_scores_the_same(monkeypatch):
    pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    torch.manual_seed(0)
    method = registry.build("mixsynthformer", {"width": 16, "depth": 2}, WINDOW).eval()
    data = dataset(clip("a", 120), clip("b", 61))
    used = protocol("deciwatch")
    plain, _ = evaluate(method, data, "test", used, WINDOW)
    calls = []
    recover = method.recover
    monkeypatch.setattr(method, "recover", lambda given: calls.append(len(given)) or recover(given))
    monkeypatch.setattr(evaluation, "_MANY_FRAMES", 1)
    fast, _ = evaluate(method, data, "test", used, WINDOW)
    # It is asked once, to be compared with.
    assert len(calls) == 1
    for one, other in zip(plain, fast, strict=True):
        assert other.name == one.name
        for metric, (value, weight) in one.values.items():
            assert other.values[metric] == (pytest.approx(value, rel=1e-6), weight)


@pytest.mark.parametrize("trouble", [BadInput("no such form"), RuntimeError("no such thing"), None])
def test_a_faster_form_that_fails_or_is_wrong_is_not_used(monkeypatch, trouble):
    def made(*_):
        if trouble:
            raise trouble
        return lambda given: method.recover(given) + 1e-3

    monkeypatch.setattr("bench.folding.in_batches", made)
    monkeypatch.setattr(evaluation, "_MANY_FRAMES", 1)
    method = registry.build("mixsynthformer", {"width": 16, "depth": 2}, WINDOW).eval()
    data = dataset(clip("a", 120))
    expected = method.recover
    assert evaluation._fast(method, WINDOW, "cpu") == expected
    scores, _ = evaluate(method, data, "test", protocol("deciwatch"), WINDOW)
    assert scores[0].values["mpjpe"][0] > 0
