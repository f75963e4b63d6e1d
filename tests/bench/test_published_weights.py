"""Published weights score what their papers, releases and spec 4.5 and 5.3 print."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import registry
from bench.checkpoints import Foreign, find
from bench.contracts import Prediction, Span
from bench.data import catalogue, store
from bench.data.clips import Dataset, place_of
from bench.horizons import PROTOCOLS
from bench.prediction import evaluate

pytestmark = pytest.mark.shared

# The last file of the model that the numbers are of.
WEIGHTS = {"stsgcn": "h36_3d_25frames_ckpt", "simlpe": "h36m_model_40000.pth"}
FUTURE = 10

# In mm, at 80, 160, 320 and 400 ms, averaged up to there.
ACTIONS = {
    "walking": (10.7, 16.9, 29.1, 32.9),
    "eating": (6.8, 11.3, 22.6, 25.4),
    "walkingdog": (17.6, 29.4, 52.6, 59.6),
}


@pytest.fixture(scope="module")
def motion(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The reference motion capture: every test text, and one of each other split for speed."""
    root = tmp_path_factory.mktemp("motion")
    with zipfile.ZipFile(shared / "data/h3.6m.zip") as archive:
        for path in archive.namelist():
            if path.endswith(".txt") and ("/S5/" in path or path.endswith("1/walking_1.txt")):
                archive.extract(path, root)
    return store.load(catalogue.open_folder("h36m-motion", (root,), budget="quick"))


@pytest.fixture(scope="module")
def published(shared: Path) -> Mapping[str, Foreign]:
    """The model of each method that has numbers in print."""
    found = find([shared / "checkpoints"])
    return {
        method: next(one for one in found if one.adopted.files[-1] == file)
        for method, file in WEIGHTS.items()
    }


def built(foreign: Foreign) -> tuple[Prediction, Span]:
    """The model up to 400 ms: networks for further horizons are left out."""
    adopted = foreign.adopted
    options, state = dict(adopted.options), adopted.state
    if "horizons" in options:
        options["horizons"] = tuple(h for h in options["horizons"] if h <= FUTURE)
        kept = tuple(f"networks.{h}." for h in options["horizons"])
        state = {name: tensor for name, tensor in state.items() if name.startswith(kept)}
    span = Span(adopted.geometry["history"], FUTURE, 22, 3)
    cls: Any = registry.method_class(foreign.method)
    method: Any = cls(cls.Options(**options), span)
    method.load_state_dict(state)
    method.eval()
    return method, span


def scores(foreign: Foreign, dataset: Dataset, name: str) -> list[float]:
    """The errors in mm up to or at the four horizons, over all test clips."""
    method, span = built(foreign)
    rule = PROTOCOLS[name]
    scored, _ = evaluate(method, dataset, "test", rule, span)
    found = rule.summarise(score.values for score in scored)
    assert list(found) == ["mpjpe@80", "mpjpe@160", "mpjpe@320", "mpjpe@400"]
    return list(found.values())


@pytest.mark.parametrize("action", ACTIONS)
def test_single_actions_of_stsgcn(
    action: str, published: Mapping[str, Foreign], motion: Dataset
) -> None:
    clips = tuple(c for c in motion.clips["test"] if place_of(c.recording).action == action)
    some = replace(motion, clips={**motion.clips, "test": clips})
    found = scores(published["stsgcn"], some, "h36m-average")
    assert found == pytest.approx(ACTIONS[action], abs=0.05)


# The 11 actions whose two takes are in the reference data.
@pytest.mark.parametrize(
    ("method", "name", "printed", "last_digit"),
    [
        pytest.param("simlpe", "h36m-horizon", (9.7, 21.6, 45.4, 56.0), 0.1),
        pytest.param(
            "simlpe", "h36m-average", (7.0, 12.8, 24.8, 30.5), 0.1, marks=pytest.mark.slow
        ),
        pytest.param(
            "stsgcn", "h36m-average", (10.06, 17.06, 32.90, 37.92), 0.01, marks=pytest.mark.slow
        ),
        pytest.param(
            "stsgcn", "h36m-horizon", (13.61, 27.61, 53.84, 64.65), 0.01, marks=pytest.mark.slow
        ),
    ],
)
def test_means_over_all_actions(
    method: str,
    name: str,
    printed: Sequence[float],
    last_digit: float,
    published: Mapping[str, Foreign],
    motion: Dataset,
) -> None:
    found = scores(published[method], motion, name)
    assert found == pytest.approx(printed, abs=last_digit / 2)
