from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bench.config import Training, method_config
from bench.contracts import BadInput, Prediction, Span, Trainable
from methods.layers import cosines, joint_distance
from methods.simlpe import SiMLPe

SPAN = Span(6, 4, 2, 3)
SMALL = SiMLPe.Options(blocks=3, step=2)


def built(options: SiMLPe.Options = SMALL, span: Span = SPAN, *, noise: float = 0.3) -> SiMLPe:
    """A model whose weights are far from the start, where it predicts next to nothing."""
    torch.manual_seed(7)
    model = SiMLPe(options, span)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += noise * torch.randn_like(parameter)
    return model


def clips(span: Span = SPAN, size: int = 5) -> tuple[Tensor, Tensor]:
    x = torch.randn(size, span.frames, span.pose, generator=torch.Generator().manual_seed(1))
    return x[:, : span.history], x[:, span.history :]


def test_it_keeps_the_contract() -> None:
    model = built()
    assert isinstance(model, Prediction)
    assert isinstance(model, Trainable)
    history, future = clips()
    model.loss(history, future).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@given(st.integers(1, 12))
def test_cosines_are_orthonormal(frames: int) -> None:
    matrix = cosines(frames)
    assert torch.allclose(matrix @ matrix.T, torch.eye(frames), atol=1e-5)
    assert torch.allclose(matrix[0], torch.full((frames,), frames**-0.5))


def test_cosines_of_two_and_three_frames() -> None:
    half = math.sqrt(0.5)
    assert torch.allclose(cosines(2), torch.tensor([[half, half], [half, -half]]))
    expected = torch.tensor([half, 0.0, -half])
    assert torch.allclose(cosines(3)[1], expected, atol=1e-6)


def test_a_block_against_its_formula() -> None:
    block = built().motion_mlp.mlps[0]
    x = torch.randn(6, 3, 6)
    fc, norm = block.fc0.fc, block.norm0
    # As published: joints before time, normalised over the joints' axis.
    mixed = torch.nn.functional.linear(x.permute(1, 2, 0), fc.weight, fc.bias)
    centred = mixed - mixed.mean(1, keepdim=True)
    spread = centred.square().mean(1, keepdim=True)
    normal = centred / (spread + 1e-5).sqrt() * norm.alpha + norm.beta
    assert torch.allclose(block(x), x + normal.permute(2, 0, 1), atol=1e-5)


def test_it_starts_by_standing_still() -> None:
    torch.manual_seed(0)
    model = SiMLPe(SiMLPe.Options(), Span(50, 10, 22, 3))
    history = torch.randn(2, 50, 66)
    still = history[:, -1:].expand(-1, 25, -1)
    assert torch.allclose(model.predict(history, 25), still, atol=1e-5)
    assert sum(parameter.numel() for parameter in model.parameters()) == 137_580
    first = model.motion_mlp.mlps[0].fc0.fc
    assert 0 < first.weight.abs().max() <= 1e-8 * math.sqrt(6 / 100)
    assert not first.bias.any()


def test_further_frames_come_from_its_own() -> None:
    model = built().eval()
    history, _ = clips()
    first = model.predict(history, 2)
    second = model.predict(torch.cat([history[:, 2:], first], 1), 2)
    five = model.predict(history, 5)
    assert torch.allclose(five[:, :4], torch.cat([first, second], 1), atol=1e-6)
    assert five.shape == (5, 5, 6)
    assert torch.equal(model.predict(history, 1), first[:, :1])


def test_loss_by_hand() -> None:
    torch.manual_seed(0)
    model = SiMLPe(SMALL, SPAN).eval()
    history = torch.zeros(1, 6, 6)
    # Standing still misses joint 0 by 5 and then 10, joint 1 by nothing and then 1.
    future = torch.zeros(1, 4, 6)
    future[0, 0, :3] = torch.tensor([3.0, 4.0, 0.0])
    future[0, 1, :3] = torch.tensor([6.0, 8.0, 0.0])
    future[0, 1, 5] = 1.0
    future[0, 2:] = 100.0
    # Positions (5 + 0 + 10 + 1) / 4, one difference per joint (5 + 1) / 2.
    assert model.loss(history, future).item() == pytest.approx(4 + 3, abs=1e-4)


def test_half_of_the_clips_run_backwards_in_training_only() -> None:
    model = built(SiMLPe.Options(blocks=1, step=2))
    history, future = clips(size=1)
    backwards = torch.cat([history, future[:, :2]], 1).flip(1)
    model.eval()
    ahead = model.loss(history, future).item()
    back = model.loss(backwards[:, :6], backwards[:, 6:]).item()
    assert abs(ahead - back) > 1e-3
    assert model.loss(history, future).item() == ahead
    model.train()
    torch.manual_seed(3)
    found = [model.loss(history, future).item() for _ in range(200)]
    forwards = sum(abs(value - ahead) < 1e-5 for value in found)
    reversed_ = sum(abs(value - back) < 1e-5 for value in found)
    assert forwards + reversed_ == 200
    assert 70 < forwards < 130
    torch.manual_seed(3)
    assert [model.loss(history, future).item() for _ in range(200)] == found


@pytest.mark.parametrize("options", [SiMLPe.Options(step=0), SiMLPe.Options(blocks=0)])
def test_bad_options(options: SiMLPe.Options) -> None:
    with pytest.raises(BadInput, match=r"option (step|blocks) must be at least 1; found 0"):
        SiMLPe(options, SPAN)


@pytest.mark.parametrize(("span", "step"), [(SPAN, 4), (Span(3, 4, 2, 3), 3)])
def test_a_step_is_no_longer_than_history_and_future(span: Span, step: int) -> None:
    model = built(SiMLPe.Options(blocks=2, step=10), span)
    history, future = clips(span)
    assert model.loss(history, future).isfinite()
    assert model.step == step
    assert model.predict(history, 9).shape == (5, 9, span.pose)


def test_a_history_of_another_shape() -> None:
    with pytest.raises(BadInput, match=r"history does not fit .*expected \(B, 6, 6\)"):
        built().predict(torch.zeros(2, 5, 6), 2)


def published(model: SiMLPe) -> dict[str, Tensor]:
    return {
        key.replace("motion_mlp.mlps.", "motion_transformer.transformer."): value
        for key, value in model.state_dict().items()
    }


def test_published_weights_are_adopted_one_model_a_file() -> None:
    model = built(SiMLPe.Options(blocks=3, step=2)).eval()
    other = {"st_gcnns.0.gcn.A": torch.zeros(1)}
    found = SiMLPe.adopt({"a.pth": published(model), "b": other, "c.pth": model.state_dict()})
    assert [entry.files for entry in found] == [("a.pth",), ("c.pth",)]
    assert found[0].options == {"blocks": 3}
    assert found[0].geometry == {"history": 6, "future": 25}
    assert (found[0].joints, found[0].dims) == (2, 3)
    twin = SiMLPe(SMALL, SPAN).eval()
    twin.load_state_dict(dict(found[0].state), strict=True)
    history, _ = clips()
    assert torch.equal(twin.predict(history, 5), model.predict(history, 5))
    assert not SiMLPe.adopt({"b": other})
    assert not SiMLPe.adopt({})


def test_joints_are_read_from_the_shapes() -> None:
    (found,) = SiMLPe.adopt({"amass": built(span=Span(50, 25, 18, 3)).state_dict()})
    assert found.geometry == {"history": 50, "future": 25}
    assert (found.joints, found.dims) == (18, 3)


def test_what_is_not_exactly_such_a_model_is_not_adopted() -> None:
    whole = built().state_dict()
    planar = built(span=Span(6, 4, 2, 2)).state_dict()
    second = "motion_mlp.mlps.1."
    files = {
        "a tensor less": {key: x for key, x in whole.items() if key != "motion_fc_out.bias"},
        "no input": {key: x for key, x in whole.items() if "fc_in" not in key},
        "a tensor more": {**whole, "motion_fc_in.extra": torch.zeros(1)},
        "a block less": {key: x for key, x in whole.items() if not key.startswith(second)},
        "another width": {**whole, "motion_fc_out.weight": torch.zeros(9, 6)},
        "a number": {**whole, "motion_fc_in.weight": torch.tensor(1.0)},
        "no multiple of three": planar,
        "nothing": {},
    }
    assert SiMLPe.adopt(files) == []


@pytest.mark.shared
def test_the_published_checkpoints_load_strictly(shared: Path) -> None:
    files = {
        path.name: torch.load(path, map_location="cpu", weights_only=True)
        for path in sorted((shared / "checkpoints/simlpe").glob("*.pth"))
    }
    found = SiMLPe.adopt(files)
    assert [entry.files[0] for entry in found] == [
        "h36m_model_35000.pth",
        "h36m_model_40000.pth",
    ]
    for entry in found:
        span = Span(entry.geometry["history"], entry.geometry["future"], 22, 3)
        model = SiMLPe(SiMLPe.Options(**entry.options), span).eval()
        model.load_state_dict(dict(entry.state), strict=True)
        # A joint that moves steadily goes on in its direction.
        history = torch.rand(22, 3).flatten() * 0.1 + torch.linspace(-0.25, 0, 50)[:, None]
        step = joint_distance(model.predict(history[None], 1)[0, 0] - history[-1], 3)
        assert step.mean() < 0.05


@pytest.mark.parametrize("name", ["paper", "quick"])
def test_presets_build(name: str) -> None:
    preset = method_config("simlpe").presets[name]
    training = Training(**preset.training)
    assert (preset.history, preset.future) == (50, 10)
    model = SiMLPe(SiMLPe.Options(**preset.options), Span(50, 10, 22, 3))
    assert model.step == 10
    if name == "paper":
        assert training.windows == 40_000 * 256
        assert training.lr * training.decay == pytest.approx(1e-5)
        assert training.milestones == (0.75,)
        assert sum(parameter.numel() for parameter in model.parameters()) == 137_580
