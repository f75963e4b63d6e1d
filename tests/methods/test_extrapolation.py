"""The two extrapolations against numbers worked out by hand."""

import pytest
import torch

from bench.contracts import BadInput, Span
from methods.extrapolation import ConstantVelocity, NoOptions, ZeroVelocity

SPAN = Span(history=3, future=4, joints=1, dims=2)
# One clip of three frames: the first value stands, goes back by 1; the second goes on by 2.
HISTORY = torch.tensor([[[5.0, 0.0], [5.0, 2.0], [4.0, 4.0]]])


def test_zero_velocity_repeats_the_last_frame() -> None:
    found = ZeroVelocity(NoOptions(), SPAN).predict(HISTORY, 3)
    assert found.tolist() == [[[4.0, 4.0]] * 3]


def test_constant_velocity_repeats_the_last_step() -> None:
    found = ConstantVelocity(NoOptions(), SPAN).predict(HISTORY, 3)
    assert found.tolist() == [[[3.0, 6.0], [2.0, 8.0], [1.0, 10.0]]]


@pytest.mark.parametrize("method", [ZeroVelocity, ConstantVelocity])
def test_both_go_beyond_the_future_of_their_span(
    method: type[ZeroVelocity] | type[ConstantVelocity],
) -> None:
    assert method(NoOptions(), SPAN).predict(HISTORY, 9).shape == (1, 9, 2)


def test_one_frame_has_no_velocity() -> None:
    with pytest.raises(BadInput, match="too short for a velocity; found 1 frame; expected at le"):
        ConstantVelocity(NoOptions(), Span(history=1, future=1, joints=1, dims=3))
