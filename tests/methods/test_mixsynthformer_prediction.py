from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.config import Training, method_config
from bench.contracts import BadInput, Prediction, Span, Trainable
from methods.mixsynthformer_prediction import (
    Fill,
    MixSynthFormerPrediction,
    extrapolation_matrix,
)

Options = MixSynthFormerPrediction.Options
SPAN = Span(6, 5, 4, 3)
SMALL = Options(width=16, depth=2, fill="damped", dropout=0.0, dead_weights=False)
# For spans of fewer frames than the reductions divide.
TINY = replace(SMALL, reduction_t=1, gate="none", reweight="none")


def built(options: Options = SMALL, span: Span = SPAN) -> MixSynthFormerPrediction:
    torch.manual_seed(7)
    return MixSynthFormerPrediction(options, span)


def clips(span: Span = SPAN, size: int = 16) -> tuple[Tensor, Tensor]:
    x = 0.1 * torch.randn(
        size, span.frames, span.pose, generator=torch.Generator().manual_seed(1)
    ).cumsum(1)
    return x[:, : span.history], x[:, span.history :]


# Every choice of its own that changes the computation.
VARIANTS = {
    "damped": SMALL,
    "damped less": replace(SMALL, damping=0.8),
    "last": replace(SMALL, fill="last"),
    "velocity": replace(SMALL, fill="velocity"),
    "learned": replace(SMALL, fill="learned"),
    "pose": replace(SMALL, inputs="pose"),
    "frequency": replace(SMALL, frequency=True),
    "no gate": replace(SMALL, gate="none"),
    "temporal": replace(SMALL, branches="temporal", reweight="none"),
    "spatial": replace(SMALL, branches="spatial", reweight="none"),
    "reduced": replace(SMALL, reduction_s=4),
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_every_parameter_gets_a_gradient(options: Options) -> None:
    model = built(options)
    assert isinstance(model, Prediction)
    assert isinstance(model, Trainable)
    history, future = clips()
    assert model.predict(history, 5).shape == future.shape
    model.loss(history, future).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_variants_compute_different_things() -> None:
    history = clips()[0].double()
    outputs = {}
    for name, options in VARIANTS.items():
        model = built(options).double().eval()
        if model.fill is not None:
            with torch.no_grad():
                model.fill.weight.normal_(generator=torch.Generator().manual_seed(2))
        outputs[name] = model.predict(history, 5)
    for one, other in itertools.combinations(outputs, 2):
        assert (outputs[one] - outputs[other]).abs().max() > 1e-8, (one, other)


def test_fills_by_hand() -> None:
    history = torch.tensor([0.0, 1.0, 3.0]).view(1, 3, 1)
    expected = {
        "last": [3.0, 3.0, 3.0],
        "velocity": [5.0, 7.0, 9.0],
        # The step of 2 halves every frame: 1, 0.5, 0.25.
        "damped": [4.0, 4.5, 4.75],
        "learned": [3.0, 3.0, 3.0],
    }
    for fill, values in expected.items():
        model = built(replace(SMALL, fill=fill), Span(3, 3, 1, 1))
        assert model.coarse(history).flatten().tolist() == values


@given(st.sampled_from(["last", "velocity", "damped"]), st.integers(1, 6), st.floats(-2, 2))
def test_fills_move_with_the_history(fill: Fill, future: int, shift: float) -> None:
    matrix = extrapolation_matrix(fill, Span(4, future, 2, 3), 0.5)
    assert matrix.shape == (future, 4)
    # On a still history nothing is added; on a steady one 'velocity' goes on exactly.
    model = built(replace(SMALL, fill=fill), Span(4, future, 2, 3))
    still = torch.full((1, 4, 6), shift)
    assert torch.equal(model.coarse(still), torch.full((1, future, 6), shift))
    steady = torch.arange(4 + future).view(1, -1, 1) * torch.full((1, 1, 6), shift)
    if fill == "velocity":
        assert torch.allclose(model.coarse(steady[:, :4]), steady[:, 4:], atol=1e-4)


@pytest.mark.parametrize("fill", ["last", "velocity", "damped", "learned"])
@pytest.mark.parametrize("frequency", [False, True])
def test_zero_start_is_the_fill(fill: str, frequency: bool) -> None:
    model = built(replace(SMALL, fill=fill, output_start="zero", frequency=frequency))
    history, _ = clips()
    assert torch.equal(model.predict(history, 5), model.coarse(history))


def test_motion_forgets_where_a_joint_is() -> None:
    history, _ = clips()
    moved = history + torch.arange(12.0)
    for inputs, forgets in (("motion", True), ("pose", False)):
        model = built(replace(SMALL, inputs=inputs)).eval()
        change = model.predict(moved, 5) - model.predict(history, 5) - torch.arange(12.0)
        assert (change.abs().max() < 1e-3) == forgets


def test_motion_by_hand() -> None:
    """What reaches the embedding: displacement and velocity, in units that bring both near one."""
    model = built(replace(TINY, fill="last"), Span(2, 1, 1, 1))
    seen = []
    model.embed.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    model.predict(torch.tensor([0.5, 0.7]).view(1, 2, 1), 1)
    expected = torch.tensor([[[-2.0, 0.0], [0.0, 10.0], [0.0, 0.0]]])
    assert torch.allclose(seen[0], expected, atol=1e-5)


def test_loss_by_hand() -> None:
    span = Span(2, 2, 2, 3)
    history = torch.zeros(1, 2, 6)
    future = torch.zeros(1, 2, 6)
    # Joint 0 is missed by 5 and 10, joint 1 by 0 and 2.
    future[0, 0, :3] = torch.tensor([3.0, 4.0, 0.0])
    future[0, 1] = torch.tensor([6.0, 8.0, 0.0, 0.0, 0.0, 2.0])
    zero = replace(TINY, fill="last", output_start="zero")
    assert built(zero, span).loss(history, future).item() == pytest.approx(17 / 4)


@settings(max_examples=5)
@given(st.integers(1, 5))
def test_fewer_frames_are_the_first_ones(frames: int) -> None:
    model = built().eval()
    history, _ = clips()
    assert torch.equal(model.predict(history, frames), model.predict(history, 5)[:, :frames])


def test_a_few_steps_learn_a_turning_motion() -> None:
    """Joints on circles: the fill cuts the corner, and training corrects it."""
    span = Span(8, 6, 2, 3)
    generator = torch.Generator().manual_seed(0)
    phase = 6.3 * torch.rand(64, 1, 2, generator=generator)
    angle = phase + 0.3 * torch.arange(14).view(1, -1, 1)
    x = torch.stack([angle.cos(), angle.sin(), angle * 0], -1).flatten(2) * 0.3
    model = built(replace(SMALL, output_start="zero", width=32, reduction_s=4), span)
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    losses = []
    for _ in range(60):
        loss = model.loss(x[:, :8], x[:, 8:])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize(
    ("options", "span", "said"),
    [
        (replace(SMALL, damping=1.0), SPAN, "option damping must lie in [0, 1)"),
        (replace(SMALL, fill="last", damping=0.3), SPAN, "option damping is of no use here"),
        (replace(SMALL, width=0), SPAN, "option width must be at least 1"),
        (replace(SMALL, reduction_t=12), SPAN, "found 12; expected 1 to 11"),
        (SMALL, Span(1, 5, 4, 3), "fill damped needs a velocity"),
    ],
)
def test_bad_options(options: Options, span: Span, said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)):
        built(options, span)


def test_bad_histories() -> None:
    model = built()
    with pytest.raises(BadInput, match=r"history does not fit .* expected \(B, 6, 12\)"):
        model.predict(torch.zeros(2, 5, 12), 5)
    with pytest.raises(BadInput, match="so many frames; found 6; expected 1 to 5"):
        model.predict(torch.zeros(2, 6, 12), 6)


def test_dead_weights_are_named() -> None:
    model = built(replace(SMALL, dead_weights=True))
    model.loss(*clips()).backward()
    assert model.dead_parameters == {n for n, p in model.named_parameters() if p.grad is None}
    assert model.dead_parameters


@pytest.mark.parametrize("name", ["paper", "quick"])
def test_presets_build(name: str) -> None:
    preset = method_config("mixsynthformer-prediction").presets[name]
    Training(**preset.training)
    assert (preset.history, preset.future) == (10, 10)
    span = Span(10, 10, 22, 3)
    model = MixSynthFormerPrediction(Options(**preset.options), span)
    assert model.predict(torch.zeros(1, 10, 66), 10).shape == (1, 10, 66)
