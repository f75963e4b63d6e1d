"""Mixing against its definition, and the layer against one without shortcuts."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from bench.contracts import Span
from methods.graph_layers import (
    GraphLayer,
    GraphNetwork,
    LearnedGraph,
    channels_of,
    mixed,
    mixing_matrix,
    span_of,
)


def by_definition(x: torch.Tensor, time: torch.Tensor, joints: torch.Tensor) -> torch.Tensor:
    """Frames first, then joints, of clips (N, C, T, V) (spec 4.1)."""
    over_time = torch.einsum("nctv,vtq->ncqv", x, time)
    return torch.einsum("nctv,tvw->nctw", over_time, joints)


def turned(x: torch.Tensor) -> torch.Tensor:
    """Clips (N, C, T, V) in the order of graph layers, (T, V, N, C)."""
    return x.permute(2, 3, 0, 1).contiguous()


def normed(x: torch.Tensor, norm: nn.BatchNorm1d) -> torch.Tensor:
    """Batch norm over the channels of clips (N, C, T, V)."""
    kept = norm.running_mean, norm.running_var
    return functional.batch_norm(x, *kept, norm.weight, norm.bias, norm.training)


@settings(deadline=None, max_examples=15)
@given(frames=st.integers(1, 5), joints=st.integers(1, 4), seed=st.integers(0, 99))
def test_frames_are_mixed_then_joints(frames: int, joints: int, seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.randn(2, 3, frames, joints)
    time, across = torch.randn(joints, frames, frames), torch.randn(frames, joints, joints)
    expected = by_definition(x, time, across)
    found = mixed(turned(x), time, across)
    torch.testing.assert_close(found, turned(expected), rtol=1e-5, atol=1e-5)
    as_matrix = (x.flatten(2) @ mixing_matrix(time, across)).view(x.shape)
    torch.testing.assert_close(as_matrix, expected, rtol=1e-5, atol=1e-5)


def test_the_order_of_mixing_by_hand() -> None:
    # Both frames of joint 0 come from its frame 1; in frame 0, joint 1 takes from joint 0.
    time = torch.stack([torch.tensor([[0.0, 0], [1, 1]]), torch.eye(2)])
    joints = torch.stack([torch.tensor([[1.0, 1], [0, 1]]), torch.eye(2)])
    x = torch.tensor([[1.0, 10], [2, 20]])  # frames by joints
    expected = [[2.0, 12.0], [2.0, 20.0]]
    assert mixed(x[..., None, None], time, joints)[..., 0, 0].tolist() == expected
    alone = mixed(x[..., None, None], time[None], joints[None])
    assert alone[..., 0, 0].tolist() == expected


def test_each_clip_may_be_mixed_in_its_own_way() -> None:
    x = torch.randn(3, 2, 4, 5)  # frames, joints, clips, channels
    time, joints = torch.randn(4, 2, 3, 3), torch.randn(4, 3, 2, 2)
    found = mixed(x, time, joints)
    for clip in range(4):
        expected = mixed(x[:, :, clip : clip + 1], time[clip], joints[clip])
        torch.testing.assert_close(found[:, :, clip : clip + 1], expected)


@pytest.mark.parametrize(("inner", "outer"), [(2, 5), (5, 2), (4, 4)])
@pytest.mark.parametrize("training", [True, False])
def test_a_layer_is_what_the_definition_says(inner: int, outer: int, training: bool) -> None:
    torch.manual_seed(0)
    layer = GraphLayer(LearnedGraph(3, 4), inner, outer, dropout=0.0).train(training)
    for module in layer.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    x = torch.randn(6, inner, 3, 4)
    other = copy.deepcopy(layer)
    convolve, norm, _ = other.tcn
    plain = normed(convolve(by_definition(x, layer.gcn.T, layer.gcn.A)), norm)
    if inner == outer:
        plain = plain + x
    else:
        convolve, norm = other.residual
        plain = plain + normed(convolve(x), norm)
    expected = torch.where(plain > 0, plain, 0.25 * plain)
    torch.testing.assert_close(layer(turned(x)), turned(expected), rtol=1e-5, atol=1e-5)
    # What batch norm keeps is the same too.
    for mine, its in zip(layer.modules(), other.modules(), strict=True):
        if isinstance(mine, nn.BatchNorm1d):
            torch.testing.assert_close(mine.running_mean, its.running_mean)
            torch.testing.assert_close(mine.running_var, its.running_var)


def test_sizes_are_read_from_weights() -> None:
    network = GraphNetwork(lambda _: LearnedGraph(6, 5), (8, 4), 2, 6, 3, 0.1)
    assert network(torch.randn(2, 2, 6, 5)).shape == (2, 3, 2, 5)
    weights = network.state_dict()
    assert channels_of(weights) == (8, 4)
    assert span_of(weights) == Span(history=6, future=3, joints=5, dims=2)


def test_start_values_lie_within_the_published_bounds() -> None:
    graph = LearnedGraph(10, 22)
    assert graph.A.shape == (10, 22, 22)
    assert graph.T.shape == (22, 10, 10)
    assert 0.95 * 22**-0.5 < graph.A.abs().max() <= 22**-0.5
    assert 0.95 * 10**-0.5 < graph.T.abs().max() <= 10**-0.5
