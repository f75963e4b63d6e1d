from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.contracts import BadInput, Window
from methods import weights
from methods.deciwatch import DeciWatch
from methods.mct import MCT
from methods.mixsynthformer import MixSynthFormer

RENAMES = ((r"^old\.", "new."), (r"^new\.first\.", "first."))


class Tiny(nn.Module):
    renames = RENAMES

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))


def published() -> dict[str, Tensor]:
    return {
        "old.first.weight": torch.arange(6, dtype=torch.float16).view(3, 2),
        "old.first.bias": torch.ones(3, dtype=torch.float64),
        "count": torch.tensor(5),
    }


def test_renames_apply_in_order() -> None:
    assert weights.renamed("old.first.weight", RENAMES) == "first.weight"
    assert weights.renamed("old.last", RENAMES) == "new.last"


def test_loading_renames_casts_and_drops_thop_counters() -> None:
    model = Tiny()
    counters = {"total_ops": torch.zeros(1), "old.first.total_params": torch.zeros(1)}
    weights.load(model, published() | counters)
    assert torch.equal(model.first.weight, torch.arange(6.0).view(3, 2))
    assert model.first.weight.requires_grad
    assert torch.equal(model.first.bias, torch.ones(3))
    assert model.first.bias.dtype == torch.float32
    assert model.get_buffer("count") == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"old.first.bias": None}, r"f.pt: weight first.bias is missing; found 2 of 3 weights; "
         r"expected first.bias of shape \(3,\)"),
        ({"old.last": torch.zeros(1)}, "weight old.last is unknown to the model"),
        ({"first.bias": torch.zeros(3)}, "found old.first.bias and first.bias"),
        ({"old.first.weight": torch.zeros(2, 3)}, r"old.first.weight has another shape; "
         r"found \(2, 3\); expected \(3, 2\)"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit(change: dict[str, Tensor | None], said: str) -> None:
    given = {key: value for key, value in (published() | change).items() if value is not None}
    model = Tiny()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(BadInput, match=said):
        weights.load(model, given, file="f.pt")
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("method", [MixSynthFormer, DeciWatch, MCT])
def test_own_weights_load_under_their_own_names(method: type[nn.Module]) -> None:
    window = Window(10, 2, 3, 3)
    source, target = (method(method.Options(depth=1), window) for _ in range(2))
    weights.load(target, source.state_dict())
    own, copied = source.state_dict(), target.state_dict()
    assert all(torch.equal(own[key], copied[key]) for key in own)
