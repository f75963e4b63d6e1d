"""Reference outputs and parameter counts of the published models (spec 1.6, 2.3, 7).

The fill rule of spec 7 gives every weight a value by the place of its published key in the
alphabet, so the published keys and shapes are written down here, apart from the models.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.contracts import Span, Window
from methods import weights
from methods.deciwatch import DeciWatch
from methods.mixsynthformer import MixSynthFormer
from methods.simlpe import SiMLPe
from methods.smoothnet import SmoothNet, SmoothNetOptions
from methods.stgagcn import STGAGCN
from methods.stsgcn import STSGCN

Shapes = dict[str, tuple[int, ...]]


def linear(name: str, rows: int, columns: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (rows, columns)} | ({f"{name}.bias": (rows,)} if bias else {})


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def synthetic(name: str, tokens: int, features: int, r: int) -> Shapes:
    return (
        linear(f"{name}.dense", tokens // r, features)
        | linear(f"{name}.se.fc.0", tokens // 4, tokens, bias=False)
        | linear(f"{name}.se.fc.2", tokens, tokens // 4, bias=False)
        | linear(f"{name}.value_reduce", tokens // r, tokens)
    )


def msf_shapes(kind: str, T: int, Q: int, P: int, C: int, L: int, rt: int, rs: int) -> Shapes:
    shapes = linear("encoder_emb", C, P) | norm("norm", C) | linear("fc", P, C)
    if kind == "both":
        shapes |= linear("l_interp", T, Q + 1)
    for i in range(L):
        at = f"encoder.layers.{i}"
        token = f"{at}.synth_att.synth_token"
        if kind in ("both", "temporal"):
            shapes |= synthetic(token, T, C, rt)
        else:
            shapes |= linear(f"{token}.value_fc", C, C)
        if kind == "both":
            shapes |= synthetic(f"{at}.synth_att.synth_channel", C, T, rs)
            shapes |= linear(f"{at}.synth_att.reweight.fc1", T // 4, T)
            shapes |= linear(f"{at}.synth_att.reweight.fc2", 2 * T, T // 4)
        elif kind == "vanilla":
            shapes |= linear(f"{token}.query_fc", C, C) | linear(f"{token}.key_fc", C, C)
        elif kind == "random":
            shapes[f"{token}.attention"] = (1, T, T)
        elif kind == "dense":
            shapes |= linear(f"{token}.dense.0", T, C) | linear(f"{token}.dense.2", T, T)
        shapes |= linear(f"{at}.synth_att.proj", C, C)
        shapes |= linear(f"{at}.ff.fc1", 2 * C, C) | linear(f"{at}.ff.fc2", C, 2 * C)
        shapes |= norm(f"{at}.norm1", C) | norm(f"{at}.norm2", C)
    return shapes


def deciwatch_shapes(P: int, C: int, L: int, pre: bool) -> Shapes:
    def attention(name: str) -> Shapes:
        return {
            f"{name}.in_proj_weight": (3 * C, C),
            f"{name}.in_proj_bias": (3 * C,),
        } | linear(f"{name}.out_proj", C, C)

    shapes: Shapes = linear("encoder_embed", C, P) | norm("decoder.norm", C)
    shapes |= {"decoder_embed.weight": (C, P, 5), "decoder_embed.bias": (C,)}
    shapes |= linear("encoder_joints_embed", P, C) | linear("decoder_joints_embed", P, C)
    if pre:
        shapes |= norm("encoder.norm", C)
    for side, norms in (("encoder", 2), ("decoder", 3)):
        for i in range(L):
            at = f"{side}.layers.{i}"
            shapes |= attention(f"{at}.self_attn")
            if side == "decoder":
                shapes |= attention(f"{at}.multihead_attn")
            shapes |= linear(f"{at}.linear1", 256, C) | linear(f"{at}.linear2", C, 256)
            for n in range(1, norms + 1):
                shapes |= norm(f"{at}.norm{n}", C)
    return {f"transformer.{key}": shape for key, shape in shapes.items()}


def convolution(name: str, outer: int, inner: int, kernel: int) -> Shapes:
    """A convolution, the batch norm after it, and what the norm keeps."""
    kept = {f"{name}.1.running_mean": (outer,), f"{name}.1.running_var": (outer,)}
    shape = {f"{name}.0.weight": (outer, inner, kernel, kernel), f"{name}.0.bias": (outer,)}
    return shape | norm(f"{name}.1", outer) | kept


def graph_shapes(channels: tuple[int, ...], F: int, gated: bool) -> Shapes:
    """STSGCN's keys (spec 4.1), or STGAGCN's (spec 5.1)."""
    shapes: Shapes = {}
    for i, (inner, outer) in enumerate(pairwise((3, *channels, 3))):
        at = f"st_gcnns.{i}"
        shapes |= {
            f"{at}.gcn.A": (4, 10, 22, 22) if gated else (10, 22, 22),
            f"{at}.gcn.T": (3, 22, 10, 10) if gated else (22, 10, 10),
            f"{at}.prelu.weight": (1,),
        }
        if gated:
            for first, experts in ((0, 4), (3, 3)):
                sizes = (inner * 220, 256, 256, experts)
                for j, (columns, rows) in enumerate(pairwise(sizes), first):
                    shapes |= linear(f"{at}.gcn.gating_layer{j}", rows, columns)
        shapes |= convolution(f"{at}.tcn", outer, inner, 1)
        if inner != outer:
            shapes |= convolution(f"{at}.residual", outer, inner, 1)
    for j, inner in enumerate((10, F, F, F)):
        shapes |= convolution(f"txcnns.{j}.block", F, inner, 3) | {f"prelus.{j}.weight": (1,)}
    return shapes


def filled(shapes: Shapes) -> dict[str, Tensor]:
    """The fill rule of spec 7."""
    result = {}
    for j, key in enumerate(sorted(shapes)):
        shape = shapes[key]
        i = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
        value = (0.05 * torch.sin(0.7 * i + 1.3 * j)).float().view(shape)
        raised = (len(shape) == 1 and key.endswith("weight")) or key.endswith("running_var")
        result[key] = value + 1.0 if raised else value
    return result


def window_input(frames: int, pose: int) -> Tensor:
    i = torch.arange(2 * frames * pose, dtype=torch.float64)
    return (0.3 * torch.cos(0.37 * i)).float().view(2, frames, pose)


def assert_row(found: Tensor, row: tuple[float, ...]) -> None:
    """The columns sum, abs-sum, [0], [7], [100], [-1]; sums to 1e-5 of the abs-sum."""
    flat = found.double().flatten()
    total, absolute, *single = row
    assert abs(flat.sum().item() - total) <= 1e-5 * absolute
    assert abs(flat.abs().sum().item() - absolute) <= 1e-5 * absolute
    scale = flat.abs().max().item()
    for index, value in zip((0, 7, 100, -1), single, strict=True):
        assert abs(flat[index].item() - value) <= 1e-5 * scale


def named(case: object) -> str:
    """The test id of a case; the columns that go with it add nothing."""
    integers = isinstance(case, tuple) and any(isinstance(value, int) for value in case)
    return "-".join(map(str, case)) if integers else ""


# (kind, Q, P, C, L, r_t, r_s, tensors), (sum, abs-sum, [0], [7], [100], [-1])
MSF_ROWS = [
    (
        ("both", 10, 51, 64, 4, 4, 1, 112),
        (189.0928, 8284.2297, -1.2077108, -1.1872192, 1.1323947, 1.1995783),
    ),
    (
        ("both", 10, 51, 64, 4, 1, 1, 112),
        (134.9930, 7956.2600, -1.1815851, -1.1032206, 1.0382992, 1.1806799),
    ),
    (
        ("both", 10, 51, 64, 4, 4, 4, 112),
        (187.9779, 8281.9845, -1.2079532, -1.1861433, 1.1308930, 1.1999490),
    ),
    (
        ("both", 5, 42, 32, 4, 4, 1, 112),
        (-53.26306, 3074.1491, -1.0506305, -1.1347507, -1.0186024, -0.2361921),
    ),
    (
        ("both", 1, 30, 128, 5, 4, 1, 138),
        (57.94588, 1462.3831, -0.3976088, -3.4400100, -1.8348327, -0.7584275),
    ),
    (
        ("both", 1, 30, 128, 5, 4, 8, 138),
        (56.88475, 1437.3588, -0.3938083, -3.3817925, -1.8017731, -0.7429705),
    ),
    (
        ("vanilla", 5, 42, 64, 4, 1, 1, 70),
        (-37.01424, 1772.7370, -0.3574741, -0.8318018, -0.2626010, 0.5378042),
    ),
    (
        ("random", 5, 42, 64, 4, 1, 1, 58),
        (204.89804, 3442.9579, -0.1909777, -1.3076441, 0.2954611, 1.2613069),
    ),
    (
        ("dense", 5, 42, 64, 4, 1, 1, 70),
        (-37.00061, 1772.6395, -0.3574350, -0.8317856, -0.2625480, 0.5378128),
    ),
    (
        ("temporal", 5, 42, 64, 4, 4, 1, 70),
        (-203.40874, 2912.8927, -0.6386576, -0.7830602, -0.8707179, 0.1720105),
    ),
]


def msf_options(kind: str, C: int, L: int, rt: int, rs: int) -> MixSynthFormer.Options:
    options: dict[str, Any] = {"width": C, "depth": L, "reduction_t": rt, "reduction_s": rs}
    if kind != "both":
        options |= {
            "branches": "temporal",
            "reweight": "none",
            "attention": "synthetic" if kind == "temporal" else kind,
            "interpolation": "quadratic" if kind == "temporal" else "linear",
        }
    return MixSynthFormer.Options(**options)


@pytest.mark.parametrize(("case", "row"), MSF_ROWS, ids=named)
def test_mixsynthformer_output(case: tuple[Any, ...], row: tuple[float, ...]) -> None:
    kind, Q, P, C, L, rt, rs, tensors = case
    window = Window(10, Q, P, 1)
    shapes = msf_shapes(kind, window.frames, Q, P, C, L, rt, rs)
    assert len(shapes) == tensors
    model = MixSynthFormer(msf_options(kind, C, L, rt, rs), window).eval()
    weights.load(model, filled(shapes))
    with torch.no_grad():
        assert_row(model.recover(window_input(window.frames, P)[:, ::10]), row)


# (Q, P, C, L, norm, tensors), columns of recovered, columns of denoised where they are printed
DECIWATCH_ROWS = [
    (
        (10, 51, 128, 5, "pre", 162),
        (-68.42320, 2981.4024, 0.0797210, -0.0983997, 0.4619412, -0.5764096),
        (15.05043, 793.1822, 0.3328481, -0.2055432, 0.0732664, -0.2973878),
    ),
    (
        (10, 42, 32, 5, "pre", 162),
        (-35.98404, 1546.5640, 0.1646976, -0.3911934, 0.0196957, -0.4916132),
        (7.21234, 526.7737, 0.2722423, -0.3390528, -0.0915898, -0.3810519),
    ),
    (
        (10, 42, 12, 5, "pre", 162),
        (-12.68024, 1388.4019, 0.2292153, -0.2108684, 0.2661391, -0.3182542),
        None,
    ),
    (
        (1, 30, 128, 5, "post", 160),
        (1.86592, 231.6722, -0.0598866, -0.6990224, -0.2288587, 0.2708261),
        (9.48611, 342.1094, 0.5001801, -0.8305439, -0.7104997, -0.3803699),
    ),
    (
        (10, 144, 32, 3, "post", 100),
        (-12.40363, 12403.4426, 0.6536906, -0.1365606, -0.0335585, -0.2385388),
        None,
    ),
]


@pytest.mark.parametrize(("case", "recovered_row", "denoised_row"), DECIWATCH_ROWS, ids=named)
def test_deciwatch_output(
    case: tuple[Any, ...],
    recovered_row: tuple[float, ...],
    denoised_row: tuple[float, ...] | None,
) -> None:
    Q, P, C, L, place, tensors = case
    window = Window(10, Q, P, 1)
    shapes = deciwatch_shapes(P, C, L, place == "pre")
    assert len(shapes) == tensors
    options = DeciWatch.Options(width=C, depth=L, norm=place, cross_attention="additive")
    model = DeciWatch(options, window).eval()
    weights.load(model, filled(shapes))
    with torch.no_grad():
        recovered, denoised = model.stages(window_input(window.frames, P)[:, ::10])
    assert_row(recovered, recovered_row)
    if denoised_row is not None:
        assert_row(denoised, denoised_row)


STSGCN_CHANNELS = (64, 32, 64)
STGAGCN_CHANNELS = (32, 64, 64, 64, 32)

# (method, channels, F, tensors), (sum, abs-sum, [0], [7], [100], [-1])
GRAPH_ROWS = [
    (
        (STSGCN, STSGCN_CHANNELS, 10, 88),
        (279.57850, 334.7175, 0.2365080, 0.1597787, 0.2337699, 0.0917096),
    ),
    (
        (STSGCN, STSGCN_CHANNELS, 25, 88),
        (111.68365, 442.9406, 0.0973196, 0.1099176, -0.0425071, 0.1291285),
    ),
    (
        (STGAGCN, STGAGCN_CHANNELS, 10, 178),
        (-96.84470, 418.1051, -0.1408334, -0.4783599, 0.1600338, 0.2246172),
    ),
]


@pytest.mark.parametrize(("case", "row"), GRAPH_ROWS, ids=["stsgcn-10", "stsgcn-25", "stgagcn-10"])
def test_graph_network_output(case: tuple[Any, ...], row: tuple[float, ...]) -> None:
    method, channels, F, tensors = case
    shapes = graph_shapes(channels, F, method is STGAGCN)
    assert len(shapes) == tensors
    network = method.network(method.Options(), Span(10, F, 22, 3), F).eval()
    counters = {k: v for k, v in network.state_dict().items() if k.endswith("num_batches_tracked")}
    network.load_state_dict(filled(shapes) | counters)
    i = torch.arange(2 * 3 * 10 * 22, dtype=torch.float64)
    with torch.no_grad():
        assert_row(network((0.3 * torch.cos(0.37 * i)).float().view(2, 3, 10, 22)), row)


# method, F, parameters
GRAPH_COUNTS = [
    (STSGCN, 2, 38_418),
    (STSGCN, 10, 41_826),
    (STSGCN, 25, 57_531),
    (STGAGCN, 10, 30_154_558),
    (STGAGCN, 25, 30_170_263),
]


@pytest.mark.parametrize(("method", "F", "parameters"), GRAPH_COUNTS)
def test_graph_network_parameters(
    method: type[STSGCN] | type[STGAGCN], F: int, parameters: int
) -> None:
    with torch.device("meta"):
        assert counted(method(method.Options(), Span(10, F, 22, 3))) == parameters


def test_simlpe_output() -> None:
    """The network without its cosine transform, on (2, 50, 66)."""
    shapes = linear("motion_fc_in", 66, 66) | linear("motion_fc_out", 66, 66)
    for i in range(48):
        at = f"motion_mlp.mlps.{i}"
        shapes |= linear(f"{at}.fc0.fc", 50, 50)
        shapes |= {f"{at}.norm0.alpha": (1, 66, 1), f"{at}.norm0.beta": (1, 66, 1)}
    assert len(shapes) == 196
    model = SiMLPe(SiMLPe.Options(), Span(50, 10, 22, 3)).eval()
    assert counted(model) == 137_580
    weights.load(model, filled(shapes))
    with torch.no_grad():
        output = model.network(window_input(50, 66).transpose(0, 1)).transpose(0, 1)
    assert_row(output, (-5.41008, 348.3326, -0.0321688, 0.0915745, 0.0195705, -0.0592906))


def smoothnet_shapes(T: int, R: int, B: int) -> Shapes:
    shapes = linear("encoder.0", 512, T) | linear("decoder", T, 512)
    for i in range(B):
        shapes |= linear(f"res_blocks.{i}.linear1", R, 512)
        shapes |= linear(f"res_blocks.{i}.linear2", 512, R)
    return shapes


# (R, B, tensors), (sum, abs-sum, [0], [7], [100], [-1])
SMOOTHNET_ROWS = [
    ((128, 5, 24), (23.99870, 137.0730, -0.0287663, -0.0018223, 0.0400158, 0.0599137)),
    ((16, 1, 8), (430.61623, 1406.9088, 0.4677767, 0.2523735, 0.6224573, 0.3594549)),
]


@pytest.mark.parametrize(("case", "row"), SMOOTHNET_ROWS, ids=named)
def test_smoothnet_output(case: tuple[int, ...], row: tuple[float, ...]) -> None:
    """On (2, 51, 32): there, frames come last."""
    R, B, tensors = case
    shapes = smoothnet_shapes(32, R, B)
    assert len(shapes) == tensors
    options = SmoothNetOptions(inner=R, blocks=B)
    model = SmoothNet(options, Window(1, 31, 17, 3)).eval()
    weights.load(model, filled(shapes))
    with torch.no_grad():
        assert_row(model.refine(window_input(51, 32).mT).mT, row)


# T, R, B, parameters
SMOOTHNET_COUNTS = [
    (32, 128, 5, 691_872),
    (32, 16, 1, 50_224),
    (100, 128, 5, 761_572),
    (8, 128, 5, 667_272),
    (8, 16, 1, 25_624),
]


@pytest.mark.parametrize(("T", "R", "B", "parameters"), SMOOTHNET_COUNTS)
def test_smoothnet_parameters(T: int, R: int, B: int, parameters: int) -> None:
    window = Window(1, T - 1, 17, 3)
    assert counted(SmoothNet(SmoothNetOptions(inner=R, blocks=B), window)) == parameters


# K, Q, P, C, L, r_t, r_s, parameters in all, parameters alive (None: not printed, "all")
MSF_COUNTS = [
    (10, 1, 30, 128, 5, 4, 1, 556_127, 473_567),
    (10, 1, 30, 128, 5, 1, 1, 562_472, 479_252),
    (10, 1, 30, 128, 5, 1, 4, 494_792, 494_132),
    (10, 1, 30, 128, 5, 4, 4, 488_447, 488_447),
    (10, 1, 30, 128, 5, 4, 8, 477_167, 477_167),
    (10, 10, 51, 64, 4, 4, 1, 211_003, 194_363),
    (10, 10, 51, 64, 4, 1, 1, 261_771, 203_923),
    (10, 10, 51, 64, 4, 1, 4, 229_707, 188_499),
    (10, 10, 51, 64, 4, 4, 4, 178_939, 178_939),
    (10, 10, 51, 64, 4, 4, 8, 173_595, 173_595),
    (10, 5, 42, 32, 4, 4, 1, 54_391, 50_167),
    (10, 5, 42, 32, 4, 1, 1, 67_651, 52_819),
    (10, 5, 42, 32, 4, 1, 4, 59_491, 48_883),
    (10, 5, 42, 32, 4, 4, 4, 46_231, 46_231),
    (5, 10, 42, 32, 4, 4, 1, 54_646, 50_422),
    (5, 10, 42, 32, 4, 1, 1, 67_906, None),
    (5, 10, 42, 32, 4, 1, 4, 59_746, None),
    (5, 10, 42, 32, 4, 4, 4, 46_486, 46_486),
    (10, 5, 144, 64, 4, 4, 1, 159_549, 142_909),
    (10, 5, 144, 64, 4, 1, 1, 177_801, 150_553),
    (10, 5, 144, 64, 4, 1, 4, 155_337, 144_729),
    (10, 5, 144, 64, 4, 4, 4, 137_085, 137_085),
    (10, 10, 42, 128, 5, 4, 1, 709_045, 626_485),
    (10, 10, 42, 128, 5, 1, 1, 796_825, 662_755),
    (10, 10, 42, 128, 5, 1, 4, 685_945, 634_435),
    (10, 10, 42, 128, 5, 4, 4, 598_165, 598_165),
    (10, 10, 42, 128, 5, 4, 8, 579_685, 579_685),
    (10, 10, 144, 128, 5, 4, 1, 735_259, 652_699),
    (10, 10, 144, 128, 5, 1, 1, 823_039, 688_969),
    (10, 10, 144, 128, 5, 1, 4, 712_159, 660_649),
    (10, 10, 144, 128, 5, 4, 4, 624_379, 624_379),
    (10, 10, 144, 128, 5, 4, 8, 605_899, 605_899),
]


def counted(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("case", MSF_COUNTS, ids=named)
def test_mixsynthformer_parameters(case: tuple[Any, ...]) -> None:
    K, Q, P, C, L, rt, rs, total, live = case
    options = {"width": C, "depth": L, "reduction_t": rt, "reduction_s": rs}
    window = Window(K, Q, P, 1)
    model = MixSynthFormer(MixSynthFormer.Options(**options), window)
    assert counted(model) == total
    model.loss(torch.rand(2, Q + 1, P), torch.rand(2, window.frames, P)).backward()
    alive = sum(p.numel() for p in model.parameters() if p.grad is not None)
    without = MixSynthFormer(MixSynthFormer.Options(**options, dead_weights=False), window)
    assert alive == counted(without)
    assert live is None or alive == live


# C, Q, kind, parameters: Table 5's width, the released width, and longer windows
ABLATION_COUNTS = [
    (64, 5, (139_498, 116_622, 130_086, 100_090)),
    (32, 5, (37_002, 38_958, 45_894, 33_306)),
    (64, 10, (139_498, 147_022, 173_686, 126_478)),
]


@pytest.mark.parametrize(("C", "Q", "counts"), ABLATION_COUNTS)
def test_ablation_parameters(C: int, Q: int, counts: tuple[int, ...]) -> None:
    for kind, count in zip(("vanilla", "random", "dense", "temporal"), counts, strict=True):
        model = MixSynthFormer(msf_options(kind, C, 4, 4, 1), Window(10, Q, 14, 3))
        assert counted(model) == count


@pytest.mark.parametrize(
    ("Q", "P", "C", "L", "place", "count"),
    [
        (1, 30, 128, 5, "post", 1_687_612),
        (10, 51, 128, 5, "pre", 1_709_414),
        (10, 42, 32, 5, "pre", 242_708),
        (10, 42, 12, 5, "pre", 78_268),
        (10, 144, 32, 3, "post", 176_288),
        (10, 144, 128, 3, "post", 1_142_048),
        (10, 144, 16, 3, "post", 79_840),
        (10, 42, 128, 5, "pre", 1_700_180),
        (10, 144, 128, 5, "post", 1_804_576),
    ],
)
def test_deciwatch_parameters(Q: int, P: int, C: int, L: int, place: str, count: int) -> None:
    options = DeciWatch.Options(width=C, depth=L, norm=place)
    assert counted(DeciWatch(options, Window(10, Q, P, 1))) == count
