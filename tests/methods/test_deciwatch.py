from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor

from bench.config import method_config
from bench.contracts import BadInput, Trainable, Window
from methods.deciwatch import DeciWatch
from methods.layers import interpolation_matrix

Options = DeciWatch.Options
WINDOW = Window(4, 3, 5, 3)
SMALL = Options(width=16, depth=2, feed=8)
VARIANTS = {
    f"{norm}-{cross}": replace(SMALL, norm=norm, cross_attention=cross)
    for norm in ("pre", "post")
    for cross in ("additive", "masked")
}


def built(options: Options = SMALL, window: Window = WINDOW) -> DeciWatch:
    torch.manual_seed(7)
    return DeciWatch(options, window)


def batch(window: Window = WINDOW, size: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    keyframes = torch.randn(size, window.keyframes, window.pose, generator=generator)
    return keyframes, torch.randn(size, window.frames, window.pose, generator=generator)


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_every_parameter_gets_a_gradient(options: Options) -> None:
    model = built(options)
    assert isinstance(model, Trainable)
    keyframes, truth = batch()
    assert model.recover(keyframes).shape == truth.shape
    model.loss(keyframes, truth).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_tokens_that_are_left_out_could_not_be_seen(norm: str) -> None:
    """Masked attention over keyframe tokens is masked attention over all tokens."""
    short = built(replace(SMALL, norm=norm, cross_attention="masked")).eval()
    whole = built(replace(SMALL, norm=norm, cross_attention="additive")).eval()
    whole.load_state_dict(short.state_dict())
    keyframes, _ = batch()
    as_released, denoised = whole.stages(keyframes)
    whole.memory_bias.masked_fill_(whole.memory_bias > 0, -math.inf)
    recovered, few = short.stages(keyframes)
    assert torch.allclose(recovered, whole.recover(keyframes), atol=1e-5)
    assert torch.allclose(few, denoised[:, :: WINDOW.interval], atol=1e-5)
    assert (recovered - as_released).abs().max() > 1e-3


def test_a_keyframe_is_denoised_from_the_others() -> None:
    """Spec 2.1: no token attends to itself, so its value reaches it by the residual path only."""
    model = built(replace(SMALL, depth=1, cross_attention="masked")).eval()
    layer = model.encoder.layers[0]
    x = torch.randn(1, WINDOW.keyframes, SMALL.width, requires_grad=True)
    layer.attention(x * 0, x * 0, x, model.token_bias)[0, 1].sum().backward()
    assert x.grad is not None
    assert x.grad[0, 1].abs().max() == 0
    assert (x.grad[0, [0, 2, 3]].abs().sum(-1) > 0).all()


def test_the_position_code_by_hand() -> None:
    """T = 13, C = 4: frequencies 1 and 10000; frame 3 lies at a quarter turn."""
    code = built(replace(SMALL, width=4, heads=2)).position
    quarter = math.pi / 2
    expected = [1.0, 0.0, math.sin(quarter / 10000), math.cos(quarter / 10000)]
    assert torch.allclose(code[3], torch.tensor(expected), atol=1e-6)
    assert torch.equal(code[0], torch.tensor([0.0, 1.0, 0.0, 1.0]))


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_zero_start_is_linear_interpolation(options: Options) -> None:
    keyframes, _ = batch()
    exact = torch.matmul(interpolation_matrix("linear", WINDOW), keyframes)
    found = built(replace(options, output_start="zero")).recover(keyframes)
    assert torch.equal(found, exact)


@pytest.mark.parametrize("cross", ["additive", "masked"])
def test_loss_by_hand(cross: str) -> None:
    """Nothing is changed at the start: errors 1 at three frames of four, 5 at the last."""
    options = replace(
        SMALL, cross_attention=cross, output_start="zero", loss_denoise=10.0, loss_recover=2.0
    )
    model = built(options, Window(3, 1, 1, 2))
    truth = torch.tensor([1.0, 1.0, 1.0, 5.0]).view(1, 4, 1).expand(1, 4, 2)
    loss = model.loss(torch.zeros(1, 2, 2), truth)
    assert loss.item() == 10.0 * (1 + 5) / 2 + 2.0 * (3 + 5) / 4


def test_start_values() -> None:
    model, other = built(Options()), built(Options())
    assert all(map(torch.equal, model.state_dict().values(), other.state_dict().values()))
    project = model.encoder.layers[0].attention.project
    # Queries, keys and values are drawn as one matrix: bound sqrt(6 / (128 + 384)).
    assert 0.95 * math.sqrt(6 / 512) < project.abs().max() <= math.sqrt(6 / 512)
    conv = model.decoder.embed.weight.abs().max()
    bound = math.sqrt(6 / (15 * 5 + 128 * 5))
    assert 0.95 * bound < conv <= bound


@settings(deadline=None, max_examples=15)
@given(K=st.integers(1, 5), Q=st.integers(1, 5), cross=st.sampled_from(["additive", "masked"]))
def test_any_window(K: int, Q: int, cross: str) -> None:
    window = Window(K, Q, 3, 2)
    keyframes, truth = batch(window, 2)
    model = built(replace(SMALL, depth=1, cross_attention=cross), window)
    assert model.recover(keyframes).shape == truth.shape
    assert model.loss(keyframes, truth).isfinite()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 18}, "found width 18, heads 4, kernel 5; expected an even width"),
        ({"width": 5, "heads": 5}, "even width"),
        ({"kernel": 4}, "odd kernel"),
        ({"depth": 0}, "option depth must be at least 1; found 0"),
        ({"dropout": -0.1}, "dropout must lie in"),
    ],
)
def test_bad_options(change: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        built(replace(SMALL, **change))


def test_bad_keyframes() -> None:
    with pytest.raises(BadInput, match=r"found \(2, 4, 14\); expected \(B, 4, 15\)"):
        built().recover(torch.zeros(2, 4, 14))


def test_presets_are_valid_and_build() -> None:
    adapter = TypeAdapter(Options)
    for preset in method_config("deciwatch").presets.values():
        for change in [*preset.datasets.values(), None]:
            options = preset.options | (change.options if change else {})
            DeciWatch(adapter.validate_python(options), Window(10, 2, 14, 3))


def test_the_released_preset_is_the_released_model() -> None:
    """Spec 2.3: parameters of the released configurations."""
    preset = method_config("deciwatch").presets["released"]
    for name, joints, dims, count in (
        ("jhmdb-simplepose", 15, 2, 1_687_612),
        ("h36m-fcn", 17, 3, 1_709_414),
        ("pw3d-eft", 14, 3, 78_268),
        ("pw3d-pare-smpl", 24, 6, 79_840),
        ("aist-spin-smpl", 24, 6, 1_804_576),
    ):
        change = preset.datasets[name]
        window = Window(10, change.intervals or 0, joints, dims)
        model = DeciWatch(Options(**(preset.options | change.options)), window)
        assert sum(p.numel() for p in model.parameters()) == count
