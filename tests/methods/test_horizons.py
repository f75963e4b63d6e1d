"""A network for each horizon: which one predicts, what they are trained on, what is adopted."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.contracts import BadInput, Span
from methods.horizons import HorizonPrediction
from methods.stsgcn import STSGCN

SPAN = Span(history=3, future=4, joints=2, dims=3)


@dataclass(frozen=True)
class Options:
    horizons: tuple[int, ...] = ()
    unit: float = 1.0
    anchor: str = "origin"


class Constant(nn.Module):
    """Says its horizon, in millimetres, in every coordinate."""

    def __init__(self, horizon: int) -> None:
        super().__init__()
        self.horizon = horizon
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        N, D, _, V = x.shape
        return self.offset + torch.full((N, self.horizon, D, V), float(self.horizon))


class Constants(HorizonPrediction):
    title = "constants"
    Options = Options

    @staticmethod
    def network(options: Any, span: Span, horizon: int) -> nn.Module:
        return Constant(horizon)

    @staticmethod
    def sizes(weights: Any) -> Any:
        raise KeyError


class LastFrame(Constants):
    @staticmethod
    def network(options: Any, span: Span, horizon: int) -> nn.Module:
        class Last(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x[:, :, -1:].transpose(1, 2).repeat(1, horizon, 1, 1)

        return Last()


@pytest.mark.parametrize(("frames", "says"), [(1, 2), (2, 2), (3, 4), (4, 4)])
def test_the_nearest_horizon_not_before_predicts(frames: int, says: float) -> None:
    method = Constants(Options(horizons=(2, 4)), SPAN)
    found = method.predict(torch.zeros(5, 3, 6), frames)
    assert found.shape == (5, frames, 6)
    torch.testing.assert_close(found, torch.full_like(found, says / 1000))


def test_without_horizons_one_network_is_for_the_whole_future() -> None:
    assert Constants(Options(), SPAN).horizons == (4,)


def test_poses_keep_their_joints_and_dimensions() -> None:
    history = torch.arange(18.0).view(1, 3, 6)
    found = LastFrame(Options(), SPAN).predict(history, 2)
    torch.testing.assert_close(found, history[:, -1:].repeat(1, 2, 1))


@pytest.mark.parametrize("frames", [0, 5])
def test_frames_beyond_the_horizons_are_refused(frames: int) -> None:
    with pytest.raises(BadInput, match=rf"looks so far; found {frames} frames; expected 1 to 4"):
        Constants(Options(), SPAN).predict(torch.zeros(1, 3, 6), frames)


def test_another_history_is_refused() -> None:
    with pytest.raises(BadInput, match=r"does not fit.*found \(1, 2, 6\); expected \(B, 3, 6\)"):
        Constants(Options(), SPAN).predict(torch.zeros(1, 2, 6), 1)


@pytest.mark.parametrize("horizons", [(4, 2), (2, 2, 4), (0, 4)])
def test_horizons_ascend(horizons: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="horizons must ascend from 1 on"):
        Constants(Options(horizons), SPAN)


def test_horizons_end_with_the_future() -> None:
    with pytest.raises(BadInput, match=r"whole future; found horizons \(2,\); expected 4 as"):
        Constants(Options((2,)), SPAN)


def test_the_loss_is_the_sum_of_the_errors_up_to_each_horizon() -> None:
    method = Constants(Options((1, 4)), SPAN)
    future = torch.zeros(1, 4, 2, 3)
    # The first network says 1 mm everywhere, the second 4 mm; the truth is that in one joint.
    future[0, 0, 0] = 0.001
    future[0, :2, 1] = 0.004
    one, four = 3**0.5, 4 * 3**0.5
    first = (0 + 3 * one) / 2
    second = (3 * one + 3 * four + 2 * 0 + 2 * four) / 8
    found = method.loss(torch.zeros(1, 3, 6), future.view(1, 4, 6))
    assert found.item() == pytest.approx(first + second, rel=1e-5)


def test_networks_in_metres_lose_and_predict_the_same() -> None:
    history, future = torch.randn(2, 3, 6), torch.randn(2, 4, 6)
    mm, m = (LastFrame(Options(unit=unit), SPAN) for unit in (1.0, 1000.0))
    assert m.loss(history, future).item() == pytest.approx(mm.loss(history, future).item())
    torch.testing.assert_close(m.predict(history, 2), mm.predict(history, 2))
    found = Constants(Options(unit=1000.0), SPAN).predict(torch.zeros(1, 3, 6), 1)
    torch.testing.assert_close(found, torch.full_like(found, 4.0))


def test_anchored_networks_see_and_give_displacements() -> None:
    history, future = torch.randn(2, 3, 6), torch.randn(2, 4, 6)
    still = LastFrame(Options(anchor="last"), SPAN)
    # The last frame of a history about its last frame is zero: no displacement.
    torch.testing.assert_close(still.predict(history, 2), history[:, -1:].expand(2, 2, 6))
    plain = LastFrame(Options(), SPAN)
    assert still.loss(history, future).item() == pytest.approx(plain.loss(history, future).item())
    # Nothing depends on where the joints are.
    shifted = Constants(Options(anchor="last"), SPAN).predict(history + 7, 1)
    torch.testing.assert_close(
        shifted, Constants(Options(anchor="last"), SPAN).predict(history, 1) + 7
    )


def test_a_unit_of_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match=r"the unit must be positive; found 0\.0"):
        LastFrame(Options(unit=0.0), SPAN)


def stsgcn(horizon: int, joints: int = 2, **options: Any) -> dict[str, Tensor]:
    span = Span(history=3, future=horizon, joints=joints, dims=3)
    return STSGCN.network(STSGCN.Options(**options), span, horizon).state_dict()


def test_files_of_one_method_are_adopted_together() -> None:
    files = {"b": stsgcn(2), "a": stsgcn(5), "c": {"foreign": torch.zeros(3)}}
    (adopted,) = STSGCN.adopt(files)
    assert adopted.options == {"channels": (64, 32, 64), "horizons": (2, 5)}
    assert adopted.geometry == {"history": 3, "future": 5}
    assert (adopted.joints, adopted.dims) == (2, 3)
    assert adopted.files == ("b", "a")
    method = STSGCN(STSGCN.Options(**adopted.options), Span(3, 5, 2, 3))
    method.load_state_dict(adopted.state)
    assert torch.equal(method.networks["2"].st_gcnns[0].gcn.A, files["b"]["st_gcnns.0.gcn.A"])


def test_files_that_differ_in_more_than_the_horizon_are_methods_apart() -> None:
    files = {"a": stsgcn(2), "b": stsgcn(2, joints=4), "c": stsgcn(2, channels=(8,))}
    found = STSGCN.adopt(files)
    assert [adopted.files for adopted in found] == [("a",), ("b",), ("c",)]
    assert found[2].options["channels"] == (8,)
    assert [adopted.joints for adopted in found] == [2, 4, 2]


def test_two_files_for_one_horizon_are_refused() -> None:
    with pytest.raises(BadInput, match=r"two files of STSGCN weights.*found a and b for 2 frames"):
        STSGCN.adopt({"a": stsgcn(2), "b": stsgcn(2)})


def test_what_is_incomplete_or_larger_is_not_adopted() -> None:
    less, more = stsgcn(2), stsgcn(2)
    del less["prelus.3.weight"]
    more["prelus.4.weight"] = torch.ones(1)
    other = stsgcn(2) | {"txcnns.3.block.1.bias": torch.zeros(3)}
    assert STSGCN.adopt({"less": less, "more": more, "other": other, "none": {}}) == []
