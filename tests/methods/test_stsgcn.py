"""STSGCN with its published weights, and what it refuses. Outputs: test_golden.py."""

from pathlib import Path

import pytest
import torch

from bench.contracts import BadInput, Span
from methods.stsgcn import STSGCN

HORIZONS = (2, 4, 8, 10, 14, 18, 22, 25)


@pytest.mark.shared
def test_published_weights_are_one_method(shared: Path) -> None:
    files = {
        path.name: torch.load(path, map_location="cpu", weights_only=True)
        for folder in ("stsgcn", "simlpe")
        for path in (shared / "checkpoints" / folder).iterdir()
    }
    (adopted,) = STSGCN.adopt(files)
    assert adopted.options == {"channels": (64, 32, 64), "horizons": HORIZONS}
    assert adopted.geometry == {"history": 10, "future": 25}
    assert adopted.files == tuple(f"h36_3d_{horizon}frames_ckpt" for horizon in HORIZONS)
    method = STSGCN(STSGCN.Options(**adopted.options), Span(**adopted.geometry, joints=22, dims=3))
    method.load_state_dict(adopted.state)
    history = torch.randn(2, 10, 66)
    with torch.no_grad():
        found = method.eval().predict(history, 3)
        millimetres = method.networks["4"](1000 * history.view(2, 10, 22, 3).permute(0, 3, 1, 2))
    torch.testing.assert_close(1000 * found, millimetres[:, :3].mT.flatten(2))


def test_dropout_is_a_share() -> None:
    with pytest.raises(BadInput, match=r"option dropout must lie in \[0, 1\); found 1"):
        STSGCN(STSGCN.Options(dropout=1.0), Span(10, 10, 22, 3))


def test_one_network_trained_among_others_learns_what_it_learns_alone() -> None:
    span, given, wanted = Span(4, 3, 2, 3), torch.randn(8, 4, 6), torch.randn(8, 3, 6)
    both = STSGCN(STSGCN.Options(horizons=(1, 3), dropout=0.0), span)
    alone = STSGCN(STSGCN.Options(dropout=0.0), span)
    alone.networks["3"].load_state_dict(both.networks["3"].state_dict())
    for method in (both, alone):
        optimiser = torch.optim.Adam(method.parameters(), lr=1e-2, weight_decay=1e-5)
        for _ in range(3):
            optimiser.zero_grad()
            method.loss(given, wanted).backward()
            optimiser.step()
    for ours, theirs in zip(both.networks["3"].parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
