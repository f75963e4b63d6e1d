from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.contracts import BadInput, Fitted, Prediction, Samples, Span
from methods.dct_ridge import DCTRidge
from methods.layers import cosines

SPAN = Span(6, 4, 2, 3)
Options = DCTRidge.Options


class Clips:
    """Samples of a span from tensors."""

    def __init__(self, clips: Tensor, span: Span = SPAN) -> None:
        self.history, self.future = clips[:, : span.history], clips[:, span.history :]

    def __len__(self) -> int:
        return len(self.history)

    def batches(self, size: int, most: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        end = len(self) if most is None else min(most, len(self))
        for i in range(0, end, size):
            yield self.history[i : min(i + size, end)], self.future[i : min(i + size, end)]


def noise(count: int, span: Span = SPAN, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, span.frames, span.pose, generator=generator)


def linear_clips(count: int, seed: int) -> Tensor:
    """Clips whose steps are a fixed linear map of the two steps before them, from anywhere."""
    generator = torch.Generator().manual_seed(5)
    first, second = 0.3 * torch.randn(2, SPAN.pose, SPAN.pose, generator=generator)
    start = noise(count, seed=seed)
    clips = list(start[:, :3].unbind(1))
    while len(clips) < SPAN.frames:
        steps = clips[-1] - clips[-2], clips[-2] - clips[-3]
        clips.append(clips[-1] + steps[0] @ first + steps[1] @ second)
    return torch.stack(clips, 1) + 10 * start[:, 3:4]


def fitted(options: Options, train: Tensor, validation: Tensor, span: Span = SPAN) -> DCTRidge:
    model = DCTRidge(options, span)
    model.fit(Clips(train, span), Clips(validation, span))
    return model


def test_it_keeps_the_contract() -> None:
    model = DCTRidge(Options(), SPAN)
    assert isinstance(model, Prediction)
    assert isinstance(model, Fitted)
    samples: Samples = Clips(noise(4))
    assert len(samples) == 4


def test_a_linear_motion_is_predicted_exactly() -> None:
    options = Options(penalties=(1e-9, 1.0))
    model = fitted(options, linear_clips(3000, 1), linear_clips(500, 2))
    unseen = linear_clips(50, 3)
    missing = model.predict(unseen[:, :6], 4) - unseen[:, 6:]
    moved = unseen[:, 6:] - unseen[:, 5:6]
    assert missing.abs().max() < 2e-3 * moved.abs().max()


def test_against_the_normal_equations() -> None:
    """Every frame under its own penalty, features equalised by hand."""
    train, validation = noise(300).cumsum(1), noise(200, seed=1).cumsum(1)
    options = Options(penalties=(0.02, 0.5), steps=3, coefficients=2, equalise=0.5)
    model = DCTRidge(options, SPAN)
    chosen = model.fit(Clips(train), Clips(validation))

    def features(clips: Tensor) -> Tensor:
        steps = (clips[:, 3:6] - clips[:, 2:5]).double()
        return torch.einsum("cs,bsp->bcp", cosines(3)[:2].double(), steps).flatten(1)

    x = features(train)
    mean = x.mean(0)
    size = x.var(0, unbiased=False) ** 0.25
    x = (x - mean) / size
    y = (train[:, 6:] - train[:, 5:6]).double()
    unit = x.square().mean()
    best = []
    for frame in range(4):
        tried = []
        for penalty in options.penalties:
            target = y[:, frame] - y[:, frame].mean(0)
            penalised = x.T @ x + len(x) * penalty * unit * torch.eye(12, dtype=torch.float64)
            weight = torch.linalg.solve(penalised, x.T @ target)
            seen = (features(validation) - mean) / size @ weight + y[:, frame].mean(0)
            missing = seen + validation[:, 5] - validation[:, 6 + frame]
            tried.append((missing.view(-1, 2, 3).norm(dim=-1).mean().item(), penalty, seen))
        _, penalty, seen = min(tried, key=lambda one: one[0])
        best.append((penalty, seen))
    for frame, (penalty, seen) in enumerate(best):
        assert chosen[f"penalty_{frame + 1}"] == penalty
        found = model.predict(validation[:, :6], 4)[:, frame]
        assert torch.allclose(found.double(), seen + validation[:, 5], atol=1e-4)
    # Both candidates are ends of the grid.
    assert chosen["at_grid_end"] == 4


def test_an_infinite_penalty_leaves_the_mean_motion() -> None:
    train = noise(200).cumsum(1)
    model = fitted(Options(penalties=(1e9,)), train, train)
    offset = (train[:, 6:] - train[:, 5:6]).mean(0)
    expected = train[:, 5:6] + offset
    assert torch.allclose(model.predict(train[:, :6], 4), expected, atol=1e-5)


@settings(max_examples=10)
@given(st.floats(-3, 3), st.integers(0, 5))
def test_where_a_joint_is_does_not_matter(shift: float, value: int) -> None:
    model = fitted(Options(), noise(100), noise(50, seed=1))
    history = noise(3, seed=2)[:, :6]
    moved = history.clone()
    moved[..., value] += shift
    difference = model.predict(moved, 4) - model.predict(history, 4)
    assert torch.allclose(difference, (moved - history)[:, -1:].expand(-1, 4, -1), atol=1e-4)


def test_fewer_frames_are_the_first_ones() -> None:
    model = fitted(Options(), noise(100), noise(50, seed=1))
    history = noise(3, seed=2)[:, :6]
    assert torch.allclose(model.predict(history, 2), model.predict(history, 4)[:, :2], atol=1e-6)
    for frames in (0, 5):
        with pytest.raises(BadInput, match=f"so many frames; found {frames}; expected 1 to 4"):
            model.predict(history, frames)


def test_fitted_tensors_can_be_stored_and_loaded() -> None:
    model = fitted(Options(), noise(100), noise(50, seed=1))
    twin = DCTRidge(Options(), SPAN)
    with pytest.raises(RuntimeError, match="has to be fitted"):
        twin.predict(noise(1)[:, :6], 4)
    twin.load_state_dict(model.state_dict())
    history = noise(3, seed=2)[:, :6]
    assert torch.equal(twin.predict(history, 4), model.predict(history, 4))
    with pytest.raises(BadInput, match="stored parameters do not fit DCTRidge"):
        DCTRidge(replace(Options(), steps=2), SPAN).load_state_dict(model.state_dict())


@pytest.mark.parametrize(
    ("options", "span", "said"),
    [
        (Options(steps=0), SPAN, "option steps must be at least 1"),
        (Options(coefficients=0), SPAN, "option coefficients must be at least 1"),
        (Options(equalise=1.5), SPAN, "option equalise must lie in [0, 1]; found 1.5"),
        (Options(), Span(1, 4, 2, 3), "the history is too short; found 1 frame"),
    ],
)
def test_bad_options(options: Options, span: Span, said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)):
        DCTRidge(options, span)


def test_bad_samples() -> None:
    model = DCTRidge(Options(), SPAN)
    with pytest.raises(BadInput, match="no windows"):
        model.fit(Clips(noise(0)), Clips(noise(5)))
    gap = noise(5)
    gap[2, 3] = float("nan")
    with pytest.raises(BadInput, match="not finite"):
        model.fit(Clips(gap), Clips(noise(5)))
    with pytest.raises(ValueError, match="penalties"):
        Options(penalties=())
