from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy.interpolate import interp1d
from torch import Tensor

from bench.config import method_config
from bench.contracts import BadInput, Trainable, Window
from methods.attention import BranchWeights, Gate, RandomAttention, SyntheticAttention
from methods.layers import interpolation_matrix
from methods.mixsynthformer import MixSynthFormer

Options = MixSynthFormer.Options
WINDOW = Window(4, 3, 5, 3)
SMALL = Options(width=16, depth=2)
TEMPORAL = replace(SMALL, branches="temporal", reweight="none", interpolation="linear")


def built(options: Options = SMALL, window: Window = WINDOW) -> MixSynthFormer:
    torch.manual_seed(7)
    return MixSynthFormer(options, window)


def batch(window: Window = WINDOW, size: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    keyframes = torch.randn(size, window.keyframes, window.pose, generator=generator)
    return keyframes, torch.randn(size, window.frames, window.pose, generator=generator)


# Every choice that changes the computation, each against the small default.
VARIANTS = {
    "released": SMALL,
    "paper": replace(
        SMALL, reweight="channel", reweight_activation="relu", bias=False, dead_weights=False,
        loss_sum=True,
    ),
    "plain sum": replace(SMALL, reweight="none"),
    "no gate": replace(SMALL, gate="none"),
    "gate as the text names it": replace(SMALL, gate="sigmoid-relu"),
    "spatial": replace(SMALL, branches="spatial", reweight="none"),
    "temporal": TEMPORAL,
    "vanilla": replace(TEMPORAL, attention="vanilla"),
    "random": replace(TEMPORAL, attention="random"),
    "random softmax": replace(TEMPORAL, attention="random", random_softmax=True),
    "dense": replace(TEMPORAL, attention="dense"),
    "cubic": replace(SMALL, interpolation="cubic"),
    "nearest": replace(SMALL, interpolation="nearest"),
    "no final norm": replace(SMALL, final_norm=False),
    "reduced": replace(SMALL, reduction_t=2, reduction_s=4),
    "not reduced": replace(SMALL, reduction_t=1, reduction_s=1),
}  # fmt: skip


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_every_live_parameter_gets_a_gradient(options: Options) -> None:
    model = built(replace(options, dead_weights=False))
    assert isinstance(model, Trainable)
    keyframes, truth = batch()
    assert model.recover(keyframes).shape == truth.shape
    model.loss(keyframes, truth).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_variants_compute_different_things() -> None:
    keyframes = batch()[0].double()
    outputs = {
        name: built(options).double().eval().recover(keyframes)
        for name, options in VARIANTS.items()
    }
    # In double precision rounding stays below 1e-13.
    for one, other in itertools.combinations(outputs, 2):
        assert (outputs[one] - outputs[other]).abs().max() > 1e-8, (one, other)


def test_dead_weights_are_the_maps_of_values_that_are_not_reduced() -> None:
    model = built()
    keyframes, truth = batch()
    model.loss(keyframes, truth).backward()
    dead = {name for name, p in model.named_parameters() if p.grad is None}
    assert dead == {
        f"blocks.{i}.attention.spatial.values.{part}" for i in (0, 1) for part in ("weight", "bias")
    }
    assert model.dead_parameters == dead
    assert not built(replace(SMALL, dead_weights=False)).dead_parameters


@pytest.mark.parametrize("kind", ["nearest", "linear", "quadratic", "cubic"])
def test_zero_start_is_the_interpolation(kind: str) -> None:
    model = built(replace(SMALL, interpolation=kind, output_start="zero"))
    keyframes, _ = batch()
    exact = torch.matmul(interpolation_matrix(kind, WINDOW), keyframes)
    assert torch.equal(model.recover(keyframes), exact)
    at = range(0, WINDOW.frames, WINDOW.interval)
    scipy = interp1d(at, keyframes.double().numpy(), kind=kind, axis=1)(range(WINDOW.frames))
    assert torch.allclose(exact.double(), torch.from_numpy(scipy), atol=1e-6)


def test_a_learned_interpolator_can_start_linear() -> None:
    model = built(replace(SMALL, interpolation_start="linear", output_start="zero"))
    keyframes, _ = batch()
    exact = torch.matmul(interpolation_matrix("linear", WINDOW), keyframes)
    assert torch.allclose(model.recover(keyframes), exact, atol=1e-6)
    assert model.interpolate is not None
    assert model.interpolate.weight.requires_grad


def test_start_values() -> None:
    model = built(Options(), Window(10, 10, 17, 3))
    other = built(Options(), Window(10, 10, 17, 3))
    assert all(map(torch.equal, model.state_dict().values(), other.state_dict().values()))
    assert model.interpolate is not None
    # Spec 1.2: |w| of the interpolator is at most sqrt(6 / (11 + 101)), 0.231, and close to it.
    assert 0.2 < model.interpolate.weight.abs().max() <= 0.2315
    first, *rest = model.blocks
    for block in rest:
        own, theirs = dict(first.named_parameters()), dict(block.named_parameters())
        for name in own:
            assert torch.equal(own[name], theirs[name]) == (own[name].ndim == 1), name
    assert first.feed[0].bias.abs().max() > 0
    assert torch.equal(model.norm.weight, torch.ones(64))


def test_the_random_matrix_starts_within_its_published_bound() -> None:
    largest = RandomAttention(51, 8, softmax=False, bias=True).matrix.abs().max().item()
    bound = math.sqrt(6 / (51**2 + 51))
    assert 0.95 * bound < largest <= bound


def test_without_bias_the_written_linear_maps_have_none() -> None:
    names = {name for name, _ in built(VARIANTS["paper"]).named_parameters() if "bias" in name}
    kept = ("interpolate", "norm", "feed", "branch_weights")
    assert names
    assert all(any(part in name for part in kept) for name in names)


def test_synthetic_attention_by_hand() -> None:
    """Two tokens, one feature, reduced to one value: the softmax over one score is one."""
    attention = SyntheticAttention(2, 1, 2, gate="none", ratio=1, bias=True, dead=False)
    with torch.no_grad():
        attention.values.weight.copy_(torch.tensor([[1.0, 2.0]]))
        attention.values.bias.fill_(0.5)
    z = torch.tensor([[[3.0], [4.0]]])
    assert torch.allclose(attention(z), torch.full((1, 2, 1), 3.0 + 2 * 4.0 + 0.5))


def test_the_gate_is_a_temperature_of_each_token() -> None:
    """S = z = (0, 2); its mean 1 passes gate weights 1 and 0: sigmoid(0) = 1/2 halves S."""
    attention = SyntheticAttention(2, 2, 1, gate="relu-sigmoid", ratio=2, bias=False, dead=False)
    assert attention.gate is not None
    with torch.no_grad():
        attention.scores.weight.copy_(torch.eye(2))
        for parameter in attention.gate.parameters():
            parameter.zero_()
    z = torch.tensor([[[0.0, 2.0], [0.0, 2.0]]])
    share = math.exp(1) / (1 + math.exp(1))
    values = torch.tensor([[[0.0, 2.0], [10.0, 20.0]]])
    assert attention.scores(z).equal(z)
    weights = (z * attention.gate(z.mean(-1)).unsqueeze(-1)).softmax(-1)
    assert torch.allclose(weights[0, 0], torch.tensor([1 - share, share]))
    mixed = (1 - share) * values[0, 0] + share * values[0, 1]
    assert torch.allclose((weights @ values)[0, 0], mixed)


@pytest.mark.parametrize(("per", "size", "shape"), [("frame", 4, (1, 4, 1)), ("channel", 3, (3,))])
def test_branch_weights_by_hand(per: str, size: int, shape: tuple[int, ...]) -> None:
    weigh = BranchWeights(per, size, 2 if per == "frame" else 1, "relu")
    with torch.no_grad():
        for parameter in weigh.pairs.parameters():
            parameter.zero_()
        weigh.pairs[2].bias[0] = math.log(3)  # temporal weight 3/4 at index 0, else 1/2
    temporal, spatial = torch.ones(1, 4, 3), torch.zeros(1, 4, 3)
    expected = torch.full(shape, 0.5)
    expected.view(-1)[0] = 0.75
    assert torch.allclose(weigh(temporal, spatial), expected.expand(1, 4, 3))


def test_loss_by_hand() -> None:
    """A model that interpolates zeros, against a truth of ones and threes: the mean is 2."""
    window = Window(2, 1, 2, 1)
    options = Options(width=4, depth=1, reduction_t=1, gate_ratio=1, reweight_ratio=1,
                      interpolation="linear", output_start="zero")  # fmt: skip
    truth = torch.ones(1, 3, 2)
    truth[..., 1] = -3
    keyframes = torch.zeros(1, 2, 2)
    assert MixSynthFormer(options, window).loss(keyframes, truth).item() == 2.0
    summed = MixSynthFormer(replace(options, loss_sum=True), window)
    assert summed.loss(keyframes, truth).item() == 4.0


@settings(deadline=None, max_examples=20)
@given(K=st.integers(1, 6), Q=st.integers(4, 6), J=st.integers(1, 6), D=st.sampled_from([2, 3]))
def test_any_window(K: int, Q: int, J: int, D: int) -> None:
    window = Window(K, Q, J, D)
    keyframes, truth = batch(window, 2)
    found = built(replace(SMALL, depth=1), window).eval().recover(keyframes)
    assert found.shape == truth.shape
    assert found.isfinite().all()


def test_windows_of_a_batch_do_not_mix() -> None:
    model = built().eval()
    keyframes, _ = batch()
    apart = torch.cat([model.recover(one[None]) for one in keyframes])
    assert torch.allclose(model.recover(keyframes), apart, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"attention": "dense"}, "set branches to temporal"),
        ({"attention": "vanilla", "branches": "spatial", "reweight": "none"}, "temporal only"),
        ({"branches": "temporal"}, "set reweight to none"),
        ({"random_softmax": True}, "belongs to attention random"),
        ({"interpolation": "linear", "interpolation_start": "linear"}, "interpolation learned"),
        ({"reduction_t": 14}, "found 14; expected 1 to 13"),
        ({"reduction_s": 0}, "found 0; expected 1 to 16"),
        ({"gate_ratio": 17}, "gate_ratio"),
        ({"reweight_ratio": 99}, "reweight_ratio"),
        ({"width": 0}, "option width must be at least 1; found 0"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\)"),
    ],
)
def test_bad_options(change: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        MixSynthFormer(replace(SMALL, **change), WINDOW)


def test_bad_windows_and_keyframes() -> None:
    with pytest.raises(BadInput, match="quadratic interpolation needs more keyframes; found 2"):
        built(replace(SMALL, interpolation="quadratic"), Window(10, 1, 15, 2))
    with pytest.raises(BadInput, match=r"found \(2, 13, 15\); expected \(B, 4, 15\)"):
        built().recover(torch.zeros(2, 13, 15))


def test_presets_are_valid_and_build() -> None:
    config = method_config("mixsynthformer")
    adapter = TypeAdapter(Options)
    for preset in config.presets.values():
        for change in [*preset.datasets.values(), None]:
            options = preset.options | (change.options if change else {})
            intervals = (change and change.intervals) or preset.intervals or 5
            MixSynthFormer(adapter.validate_python(options), Window(10, intervals, 14, 3))


def test_the_released_preset_is_the_released_model() -> None:
    """Spec 1.6: parameters of the released configurations."""
    preset = method_config("mixsynthformer").presets["released"]
    for name, joints, dims, count in (
        ("h36m-fcn", 17, 3, 211_003),
        ("pw3d-spin", 14, 3, 54_391),
        ("jhmdb-simplepose", 15, 2, 556_127),
        ("aist-spin-smpl", 24, 6, 735_259),
        ("pw3d-pare-smpl", 24, 6, 159_549),
    ):
        change = preset.datasets[name]
        window = Window(10, change.intervals or 0, joints, dims)
        model = MixSynthFormer(Options(**(preset.options | change.options)), window)
        assert sum(p.numel() for p in model.parameters()) == count


@pytest.mark.parametrize("reduction", [1, 3])
@pytest.mark.parametrize("gate", ["relu-sigmoid", "sigmoid-relu", "none"])
@pytest.mark.parametrize("bias", [True, False])
def test_attention_along_the_other_axis_is_the_same(reduction: int, gate: Gate, bias: bool) -> None:
    torch.manual_seed(1)
    attention = SyntheticAttention(12, 7, reduction, gate, 4, bias, dead=False).double()
    x = torch.randn(3, 7, 12, dtype=torch.float64, requires_grad=True)
    outcomes = []
    for found in (attention(x.mT).mT, attention.along(x)):
        wanted = [x, *attention.parameters()]
        outcomes.append((found, *torch.autograd.grad(found.square().sum(), wanted)))
    for one, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_training_computes_what_is_used_later() -> None:
    torch.manual_seed(1)
    options = MixSynthFormer.Options(width=16, depth=2, dropout=0.0)
    method = MixSynthFormer(options, WINDOW)
    keyframes = torch.randn(3, WINDOW.keyframes, WINDOW.pose)
    expected = method.eval().recover(keyframes)
    torch.testing.assert_close(method.train().recover(keyframes), expected)
