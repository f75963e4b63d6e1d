"""Windows: those of one published epoch, gathered as slices, in model space."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts import BadInput, Window
from bench.data import store
from bench.data.clips import Clip, Dataset, Skeleton
from bench.data.missing import fill_missing
from bench.data.skeletons import JHMDB_15
from bench.data.windows import Windows, training_starts, window_of

PAIR = Skeleton("pair", ("left", "right"))
K2Q3 = Window(interval=2, intervals=3, joints=2, dims=3)  # T = 7, keyframes 0, 2, 4, 6


def clips_3d(*frames: int) -> tuple[Clip, ...]:
    """Clips in which no number occurs twice."""
    rng = np.random.default_rng(1)
    return tuple(
        Clip(f"c{index}", "c", *rng.normal(size=(2, length, 2, 3)).astype(np.float32))
        for index, length in enumerate(frames)
    )


def dataset_of(clips: tuple[Clip, ...], space="3d") -> Dataset:
    splits = {"train": clips, "validation": (), "test": ()}
    return Dataset("pair", "Pair", "none", space, 50.0, PAIR, splits, "a test")


def windows_of(clips: tuple[Clip, ...], space="3d", window: Window = K2Q3, **given) -> Windows:
    return Windows(dataset_of(clips, space), "train", window, **given)


def published_starts(frames: list[int], window: Window) -> list[tuple[int, int]]:
    """(clip, start) of every window of an epoch, by a loop over frames (spec 3.2)."""
    drawn = []
    for clip, length in enumerate(frames):
        for index in range(length):
            distinct = length - window.frames + 1
            drawn.append((clip, index % distinct if distinct > 0 else 0))
    return drawn


def test_window_of_takes_joints_and_dimensions_from_the_dataset():
    assert window_of(dataset_of(clips_3d(8)), 2, 3) == K2Q3


def test_starts_by_hand():
    # 9 frames have 3 different windows of 7, drawn thrice each; 8 frames have 2, from frame 9 on.
    assert training_starts([9, 8], K2Q3).tolist() == [0, 1, 2] * 3 + [9, 10] * 4
    # 3 frames give their one window 3 times, although it reaches into the next clip's frames.
    assert training_starts([3, 7], K2Q3).tolist() == [0] * 3 + [3] * 7
    assert training_starts([], K2Q3).shape == (0,)


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_an_epoch_draws_what_the_published_one_draws(frames, interval, intervals):
    window = Window(interval, intervals, 2, 3)
    first = np.cumsum([0, *frames])
    expected = [first[clip] + start for clip, start in published_starts(frames, window)]
    assert training_starts(frames, window).tolist() == expected


@settings(max_examples=20)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=4))
def test_gather_is_slicing(frames):
    clips = clips_3d(*frames)
    windows = windows_of(clips)
    drawn = published_starts(frames, K2Q3)
    assert len(windows) == len(drawn) == sum(frames)
    keyframes, truth = windows.gather(torch.arange(len(windows)))
    assert keyframes.shape == (len(drawn), 4, 6)
    assert truth.shape == (len(drawn), 7, 6)
    for row, (clip, start) in enumerate(drawn):
        for poses, got, frames_of in (
            (clips[clip].detected, keyframes[row], range(0, 7, 2)),
            (clips[clip].truth, truth[row], range(7)),
        ):
            flat = poses.reshape(len(poses), 6)
            # Beyond the end of a short clip there are zeros.
            wanted = [flat[start + t] if start + t < len(flat) else np.zeros(6) for t in frames_of]
            np.testing.assert_array_equal(got.numpy(), np.float32(wanted))


def test_every_frame_is_gathered_when_asked_for():
    clips = clips_3d(10, 4)
    windows = windows_of(clips, every_frame=True)
    frames, truth = windows.gather(torch.tensor([3, 10]))
    np.testing.assert_array_equal(frames[0].numpy(), clips[0].detected[3:10].reshape(7, 6))
    np.testing.assert_array_equal(frames[1, :4].numpy(), clips[1].detected.reshape(4, 6))
    assert not frames[1, 4:].any()
    # The truth, the order and the number of windows are those that other methods learn from.
    _, other = windows_of(clips).gather(torch.tensor([3, 10]))
    assert torch.equal(truth, other)
    assert len(windows) == len(windows_of(clips))


def test_gather_follows_the_order_asked_for():
    windows = windows_of(clips_3d(10))
    keyframes, truth = windows.gather(torch.tensor([3, 0]))
    assert torch.equal(truth[0], windows.truth[3:10])
    assert torch.equal(truth[1], windows.truth[:7])
    assert torch.equal(keyframes[1], windows.detected[0:7:2])


def test_2d_poses_are_divided_by_their_own_images_size():
    rng = np.random.default_rng(2)
    box = np.tile(np.float32([0, 0, 9, 9]), (7, 1))
    clips = tuple(
        Clip(name, name, *rng.uniform(0, 99, (2, 7, 2, 2)).astype(np.float32), size, box)
        for name, size in (("a", (100, 200)), ("b", (400, 50)))
    )
    windows = windows_of(clips, "2d", Window(2, 3, 2, 2))
    keyframes, truth = windows.gather(torch.tensor([0, 7]))
    for row, clip in enumerate(clips):
        wide, high = clip.image
        by_hand = clip.truth / np.float32([wide, high])
        np.testing.assert_array_equal(truth[row].numpy(), by_hand.reshape(7, 4))
        np.testing.assert_array_equal(
            keyframes[row].numpy()[:, 1], clip.detected[::2, 0, 1] / np.float32(high)
        )
        assert keyframes.dtype == truth.dtype == torch.float32


def missing_at(clip: Clip, *places) -> Clip:
    detected = clip.detected.copy()
    for place in places:
        detected[place] = np.nan
    return replace(clip, detected=detected)


def test_a_missed_keyframe_is_filled_from_keyframes_and_not_from_what_lies_between():
    clip = missing_at(clips_3d(7)[0], (2, 1))
    filled, _ = windows_of((clip,)).gather(torch.tensor([0]))
    between = (clip.detected[0, 1] + clip.detected[4, 1]) / 2
    np.testing.assert_allclose(filled[0, 1, 3:].numpy(), between, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(filled[0, 1, :3].numpy(), clip.detected[2, 0])
    # The frames in between may be anything.
    wild = clip.detected.copy()
    wild[1::2] = 1e6
    other, _ = windows_of((replace(clip, detected=wild),)).gather(torch.tensor([0]))
    assert torch.equal(filled, other)


def test_a_missed_frame_is_filled_from_its_neighbours_where_all_are_seen():
    clip = missing_at(clips_3d(7)[0], (3, 1), (6, 0))
    filled, _ = windows_of((clip,), every_frame=True).gather(torch.tensor([0]))
    between = (clip.detected[2, 1] + clip.detected[4, 1]) / 2
    np.testing.assert_allclose(filled[0, 3, 3:].numpy(), between, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(filled[0, 6, :3].numpy(), clip.detected[5, 0])


def test_what_is_missed_between_keyframes_touches_nothing():
    clip = clips_3d(7)[0]
    whole, _ = windows_of((clip,)).gather(torch.tensor([0]))
    lacking, _ = windows_of((missing_at(clip, 1, 3, 5),)).gather(torch.tensor([0]))
    assert torch.equal(whole, lacking)


def test_memory_mapped_3d_poses_are_not_copied(tmp_path):
    rng = np.random.default_rng(3)
    clips = tuple(
        Clip(f"c{i}", "c", *rng.normal(size=(2, n, 17, 3)).astype(np.float32))
        for i, n in enumerate((9, 12))
    )
    from bench.data.skeletons import H36M_17

    dataset = replace(dataset_of(clips), skeleton=H36M_17)
    store.save(dataset, tmp_path / "d")
    mapped = store.load(tmp_path / "d")
    windows = Windows(mapped, "train", Window(2, 3, 17, 3))
    for laid, poses in (
        (windows.detected, mapped.clips["train"][0].detected),
        (windows.truth, mapped.clips["train"][0].truth),
    ):
        assert laid.data_ptr() == poses.__array_interface__["data"][0]
        assert laid.shape == (21, 51)
    # The same clips in memory and the other way round have to be joined, to the same numbers.
    np.testing.assert_array_equal(windows.truth, windows_of(clips).truth)
    turned = replace(mapped, clips={**mapped.clips, "train": mapped.clips["train"][::-1]})
    np.testing.assert_array_equal(
        Windows(turned, "train", Window(2, 3, 17, 3)).truth, windows_of(clips[::-1]).truth
    )
    # Nor when a clip is too short for a window: it is padded as it is gathered.
    padded = Windows(mapped, "train", Window(5, 2, 17, 3))
    assert padded.truth.data_ptr() == windows.truth.data_ptr()
    _, (first, *_) = padded.gather(torch.arange(1))
    np.testing.assert_array_equal(first[:9], windows.truth[:9])
    assert not first[9:].any()


def laid(clips: tuple[Clip, ...], what: str, frames: int) -> torch.Tensor:
    """Clips end to end in model space, copied, a short one padded with zeros to so many frames."""
    parts = []
    for clip in clips:
        poses = getattr(clip, what)
        if clip.image is not None:
            poses = np.divide(poses, np.float32(clip.image), dtype=np.float32)
        lack = max(frames - clip.frames, 0)
        parts.append(np.pad(poses.reshape(clip.frames, -1), ((0, lack), (0, 0))))
    return torch.from_numpy(np.concatenate(parts))


@pytest.mark.parametrize("lengths", [(9, 12), (3, 12, 5, 7)])
@pytest.mark.parametrize("stored", [True, False])
def test_gathered_windows_are_bit_for_bit_those_of_copied_clips(tmp_path, lengths, stored):
    rng = np.random.default_rng(4)
    clips = []
    for i, n in enumerate(lengths):
        poses = rng.uniform(0, 300, (2, n, 15, 2)).astype(np.float32)
        poses[0, n // 2, 3] = np.nan
        box = np.tile(np.float32([0, 0, 9, 9]), (n, 1))
        clips.append(Clip(f"c{i}", "c", *poses, (321 + i, 241), box))
    data = replace(dataset_of(tuple(clips), "2d"), skeleton=JHMDB_15)
    if stored:
        store.save(data, tmp_path / "d")
        data = store.load(tmp_path / "d")
    window = Window(2, 3, 15, 2)
    got = Windows(data, "train", window).gather(torch.arange(sum(lengths)))
    first = np.cumsum([0, *(max(n, 7) for n in lengths)])
    starts = torch.tensor([first[c] + s for c, s in published_starts(list(lengths), window)])
    detected, truth = (laid(tuple(clips), what, 7) for what in ("detected", "truth"))
    keyframes = detected[starts[:, None] + torch.arange(0, 7, 2)]
    assert torch.equal(got[0], fill_missing(keyframes, 2))
    assert torch.equal(got[1], truth[starts[:, None] + torch.arange(7)])


def test_gathering_never_waits_for_a_device():
    # Tensors without numbers refuse whatever depends on one.
    clips = (missing_at(clips_3d(9)[0], (2, 1)), clips_3d(3)[0])
    windows = windows_of(clips, device="meta")
    keyframes, truth = windows.gather(torch.arange(12, device="meta"))
    assert keyframes.shape == (12, 4, 6)
    assert truth.shape == (12, 7, 6)


def test_a_part_of_an_array_is_not_taken_for_all_of_it():
    # A copy, so that it is the array itself that the clips are slices of.
    whole = np.arange(20 * 6, dtype=np.float32).reshape(20, 2, 3).copy()
    assert whole[3:10].base is whole
    clips = (Clip("a", "a", whole[3:10], whole[3:10]), Clip("b", "b", whole[10:18], whole[10:18]))
    windows = windows_of(clips)
    np.testing.assert_array_equal(windows.truth.numpy(), whole[3:18].reshape(15, 6))
    apart = (clips[0], Clip("c", "c", whole[11:19], whole[11:19]))
    np.testing.assert_array_equal(windows_of(apart).truth.numpy()[7:], whole[11:19].reshape(8, 6))


def test_batches_hold_every_window_once_and_in_order():
    windows = windows_of(clips_3d(12, 9))
    parts = list(windows.batches(8))
    assert [len(keyframes) for keyframes, _ in parts] == [8, 8, 5]
    keyframes, truth = windows.gather(torch.arange(21))
    assert torch.equal(torch.cat([part for part, _ in parts]), keyframes)
    assert torch.equal(torch.cat([part for _, part in parts]), truth)


@pytest.mark.parametrize(
    ("own", "asked", "numbers"),
    [
        (None, 5, [0, 5, 10, 15, 20]),
        (3, None, [0, 10, 20]),
        (3, 5, [0, 10, 20]),
        (5, 3, [0, 10, 20]),
        (None, 1, [0]),
        (100, 50, list(range(21))),
    ],
)
def test_batches_are_limited_and_evenly_spread(own, asked, numbers):
    windows = windows_of(clips_3d(12, 9), most=own)
    got = torch.cat([truth for _, truth in windows.batches(2, asked)])
    assert torch.equal(got, windows.gather(torch.tensor(numbers))[1])
    assert len(windows) == 21  # an epoch of training draws all of them


def test_an_empty_split_is_told():
    with pytest.raises(BadInput, match="the test split of pair is empty"):
        Windows(dataset_of(clips_3d(9)), "test", K2Q3)


@pytest.mark.cuda
def test_windows_on_cuda_are_those_on_the_processor():
    clips = (missing_at(clips_3d(9)[0], (2, 1)), clips_3d(3)[0])
    index = torch.arange(12)
    for there, here in zip(
        windows_of(clips, device="cuda").gather(index.cuda()),
        windows_of(clips).gather(index),
        strict=True,
    ):
        torch.testing.assert_close(there.cpu(), here)
