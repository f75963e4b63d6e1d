from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor

from bench.config import method_config
from bench.contracts import BadInput, Trainable, Window
from methods.layers import interpolation_matrix
from methods.mct import MCT

Options = MCT.Options
WINDOW = Window(4, 3, 5, 3)
SMALL = Options(width=12, depth=2, heads=3, head=5, feed=8)


def built(options: Options = SMALL, window: Window = WINDOW) -> MCT:
    torch.manual_seed(7)
    return MCT(options, window)


def batch(window: Window = WINDOW, size: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    keyframes = torch.randn(size, window.keyframes, window.pose, generator=generator)
    return keyframes, torch.randn(size, window.frames, window.pose, generator=generator)


@pytest.mark.parametrize("residual", [False, True])
def test_every_parameter_gets_a_gradient(residual: bool) -> None:
    model = built(replace(SMALL, residual=residual))
    assert isinstance(model, Trainable)
    keyframes, truth = batch()
    assert model.recover(keyframes).shape == truth.shape
    model.loss(keyframes, truth).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_the_residual_is_the_interpolation() -> None:
    keyframes, _ = batch()
    exact = torch.matmul(interpolation_matrix("linear", WINDOW), keyframes)
    plain, added = (built(replace(SMALL, residual=on)).eval() for on in (False, True))
    assert torch.allclose(added.recover(keyframes), plain.recover(keyframes) + exact, atol=1e-6)
    assert torch.equal(
        built(replace(SMALL, residual=True, output_start="zero")).recover(keyframes), exact
    )


def test_parameters_of_the_proposal_by_hand() -> None:
    """Spec 5.2: width 256, 8 layers, 8 heads of 64, feed-forward 512, kernel 3, T = 101, P = 51."""
    layer = 4 * 512 * 256 + 2 * 256 * 512 + 2 * 2 * 256
    embed = (51 * 3 + 1) * 256 + 101 * 256 + 2 * 256 + 2 * 256
    output = (256 * 3 + 1) * 51
    model = built(Options(), Window(10, 10, 17, 3))
    assert sum(p.numel() for p in model.parameters()) == 8 * layer + embed + output


def test_frame_types_tell_keyframes_apart() -> None:
    model = built()
    assert model.between.tolist() == [0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0]


def test_loss_by_hand() -> None:
    model = built(replace(SMALL, residual=True, output_start="zero"), Window(1, 1, 1, 2))
    truth = torch.tensor([[[1.0, -2.0], [3.0, 2.0]]])
    assert model.loss(torch.zeros(1, 2, 2), truth).item() == 2.0


def test_one_seed_one_model() -> None:
    model, other = built(), built()
    assert all(map(torch.equal, model.state_dict().values(), other.state_dict().values()))


@settings(deadline=None, max_examples=15)
@given(K=st.integers(1, 5), Q=st.integers(1, 5), kernel=st.sampled_from([1, 3, 5]))
def test_any_window(K: int, Q: int, kernel: int) -> None:
    window = Window(K, Q, 3, 2)
    keyframes, truth = batch(window, 2)
    model = built(replace(SMALL, depth=1, kernel=kernel), window)
    assert model.recover(keyframes).shape == truth.shape


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kernel": 2}, "kernel must be odd; found 2"),
        ({"heads": 0}, "option heads must be at least 1; found 0"),
        ({"dropout": 2.0}, "dropout must lie in"),
    ],
)
def test_bad_options(change: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        built(replace(SMALL, **change))


def test_bad_keyframes() -> None:
    with pytest.raises(BadInput, match=r"found \(4, 15\); expected \(B, 4, 15\)"):
        built().recover(torch.zeros(4, 15))


def test_presets_are_valid_and_build() -> None:
    adapter = TypeAdapter(Options)
    for preset in method_config("mct").presets.values():
        MCT(adapter.validate_python(preset.options), Window(10, 2, 14, 3))
