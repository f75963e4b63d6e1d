"""STGAGCN's gates and its dropout; outputs and sizes: test_reference_numbers.py."""

from typing import Any

import pytest
import torch

from bench.checks import Subject, Violation, check_batch, check_no_memory
from bench.contracts import BadInput, Span
from methods.stgagcn import STGAGCN, GatedGraph

SPAN = Span(history=4, future=3, joints=2, dims=3)
SMALL: dict[str, Any] = {"channels": (5, 5), "gate_width": 6}


def test_gates_choose_among_the_experts() -> None:
    graph = GatedGraph(3, SPAN, STGAGCN.Options(gate_width=6)).eval()
    with torch.no_grad():
        for layer, expert in ((graph.gating_layer2, 1), (graph.gating_layer5, 2)):
            layer.weight.zero_()
            layer.bias.fill_(-100)
            layer.bias[expert] = 100
        time, joints = graph(torch.randn(4, 2, 5, 3))
    torch.testing.assert_close(time, graph.T[2].expand(5, -1, -1, -1))
    torch.testing.assert_close(joints, graph.A[1].expand(5, -1, -1, -1))


def test_even_gates_give_the_mean_of_the_experts() -> None:
    graph = GatedGraph(3, SPAN, STGAGCN.Options(gate_width=6)).eval()
    with torch.no_grad():
        for layer in (graph.gating_layer2, graph.gating_layer5):
            layer.weight.zero_()
            layer.bias.zero_()
        time, joints = graph(torch.randn(4, 2, 1, 3))
    torch.testing.assert_close(time[0], graph.T.mean(0))
    torch.testing.assert_close(joints[0], graph.A.mean(0))


def test_gates_drop_in_evaluation_only_when_told() -> None:
    history = torch.randn(4, 4, 6)
    for test_dropout in (False, True):
        torch.manual_seed(0)
        method = STGAGCN(STGAGCN.Options(**SMALL, test_dropout=test_dropout), SPAN).eval()
        with torch.no_grad():
            first, second = method.predict(history, 3), method.predict(history, 3)
        assert torch.equal(first, second) is not test_dropout


@pytest.mark.parametrize("check", [check_no_memory, check_batch])
def test_dropping_in_evaluation_breaks_the_contract_as_documented(check: Any) -> None:
    with pytest.raises(Violation):
        check(Subject(STGAGCN, SPAN, SMALL | {"test_dropout": True}))


def test_weights_are_adopted_with_all_sizes() -> None:
    options = STGAGCN.Options(**SMALL, spatial_experts=2, temporal_experts=5)
    network = STGAGCN.network(options, SPAN, 3)
    (adopted,) = STGAGCN.adopt({"a": network.state_dict()})
    assert adopted.options == {
        **SMALL,
        "spatial_experts": 2,
        "temporal_experts": 5,
        "horizons": (3,),
    }
    method = STGAGCN(STGAGCN.Options(**adopted.options), SPAN)
    method.load_state_dict(adopted.state)
    x = torch.randn(2, 3, 4, 2)
    assert torch.equal(method.eval().networks["3"](x), network.eval()(x))


@pytest.mark.parametrize(
    ("option", "value"), [("gate_width", 0), ("spatial_experts", 0), ("gate_dropout", 1.0)]
)
def test_options_out_of_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(BadInput, match=f"option {option} must"):
        STGAGCN(STGAGCN.Options(**{option: value}), SPAN)
