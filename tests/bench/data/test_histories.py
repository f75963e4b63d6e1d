"""Histories and futures: which there are, and that they lie where they should."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts import BadInput, Span
from bench.data.clips import Clip, Dataset, Skeleton
from bench.data.histories import Histories, span_of


def dataset(*lengths: int) -> Dataset:
    """Clips whose every number is 100 * the clip's number + the frame's number."""
    clips = []
    for number, frames in enumerate(lengths):
        rows = np.arange(frames, dtype=np.float32)[:, None, None] + 100 * number
        poses = np.broadcast_to(rows, (frames, 2, 3)).copy()
        clips.append(Clip(str(number), str(number), poses, poses))
    split = tuple(clips)
    return Dataset(
        "toy", "Toy", "none", "3d", 25, Skeleton("two", ("a", "b")),
        {"train": split, "validation": split, "test": split}, "here",
    )  # fmt: skip


def test_every_stretch_of_every_clip_by_hand():
    source = Histories(dataset(6, 3, 5), "train", Span(3, 2, 2, 3))
    assert len(source) == 2 + 0 + 1
    history, future = source.gather(torch.tensor([0, 1, 2]))
    assert history.shape == (3, 3, 6)
    assert future.shape == (3, 2, 6)
    assert history[..., 0].tolist() == [[0, 1, 2], [1, 2, 3], [200, 201, 202]]
    assert future[..., 5].tolist() == [[3, 4], [4, 5], [203, 204]]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(1, 8), st.integers(1, 8))
def test_no_stretch_leaves_its_clip(lengths, history, future):
    expected = sum(max(length - history - future + 1, 0) for length in lengths)
    made = dataset(*lengths)
    if not expected:
        with pytest.raises(BadInput, match="no clip that is long enough"):
            Histories(made, "train", Span(history, future, 2, 3))
        return
    source = Histories(made, "train", Span(history, future, 2, 3))
    assert len(source) == expected
    past, after = source.gather(torch.arange(expected))
    whole = torch.cat([past, after], dim=1)[..., 0]
    assert (whole.diff(dim=1) == 1).all()
    assert len(torch.unique(whole[:, 0])) == expected


def test_batches_are_spread_evenly_and_limited():
    source = Histories(dataset(14), "train", Span(3, 2, 2, 3), most=5)
    parts = list(source.batches(2))
    assert [len(past) for past, _ in parts] == [2, 2, 1]
    first = torch.cat([past[:, 0, 0] for past, _ in parts])
    assert first.tolist() == [0, 2, 4, 7, 9] or first.tolist() == [0, 2, 5, 7, 9]
    assert len(torch.cat([past for past, _ in source.batches(9, 3)])) == 3


def test_the_span_of_a_dataset():
    assert span_of(dataset(9), 4, 2) == Span(4, 2, 2, 3)
