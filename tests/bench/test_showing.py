"""`bench show prediction`: clips and weights found, what is missing said, pictures written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from bench import registry, show
from bench.cli_show import show as group
from bench.config import table_config
from bench.contracts import BadInput, Span
from bench.data import catalogue, store
from bench.data.clips import Clip, Dataset
from bench.data.figures import H36M_32
from bench.data.skeletons import H36M_22
from bench.plan import chosen_table, plan
from bench.showing import TABLE, Wanted, cut, find_clip, forecast, show_prediction
from bench.weights import Weights

REST = H36M_32.pose(np.zeros((1, 99)))[0, list(H36M_32.used)] / 1000


def clip(name: str, frames: int = 240) -> Clip:
    sway = 0.05 * np.sin(np.arange(frames) / 5)[:, None, None]
    poses = (REST + sway).astype(np.float32)
    return Clip(name, name, poses, poses)


DATASET = Dataset(
    "h36m-motion",
    "Human3.6M",
    "made here",
    "3d",
    25.0,
    H36M_22,
    {
        "train": (clip("S1/walking_1"),),
        "validation": (clip("S11/walking_1"),),
        "test": (clip("S5/walking_1"), clip("S5/walking_2", 300), clip("S5/eating_1")),
    },
    "made here",
    fingerprint="f",
)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple]:
    """The dataset in place of any other; what would be drawn is kept instead."""
    store.save(DATASET, tmp_path / "data")
    monkeypatch.setattr(catalogue, "open_folder", lambda *_, **__: tmp_path / "data")
    kept: list[tuple] = []

    def keep(excerpt, forecasts, folder, name):
        kept.append((excerpt, forecasts, folder, name))
        return (folder / f"{name}.pdf",)

    monkeypatch.setattr(show, "write", keep)
    return kept


def wanted(tmp_path: Path, *methods: str, **rest) -> Wanted:
    known = {"clip": "S5/walking_1", "budget": "smoke", "out": tmp_path / "out", **rest}
    return Wanted(methods=methods, **known)


def silent(_: str) -> None:
    """Takes lines and drops them."""


def trained(method: str, out: Path) -> torch.nn.Module:
    """A method with random weights, stored as if `bench run table4` had trained it."""
    config = chosen_table(table_config(TABLE), (method,), ["h36m-motion"], "smoke")
    cell = plan(config, {"h36m-motion": DATASET}, budget="smoke", seeds=1)[0].cell
    torch.manual_seed(3)
    span = Span(cell.geometry["history"], cell.geometry["future"], 22, 3)
    built = registry.build(method, cell.options, span)
    assert isinstance(built, torch.nn.Module)
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    Weights(out).save(cell, built.state_dict(), {})
    return built.eval()


def test_a_method_without_weights_is_drawn_at_once(tmp_path: Path, written) -> None:
    paths = show_prediction(wanted(tmp_path, "zero-velocity"), silent)
    ((excerpt, (said,), folder, name),) = written
    # The first published draw of S5 walking: 16 <= a < 90, the future begins 50 frames later.
    random = np.random.RandomState(1234567890)
    at = random.randint(16, 240 - 150) + 50
    assert name == f"h36m-motion_S5_walking_1_{at}"
    assert paths == (tmp_path / "out" / "pictures" / f"{name}.pdf",)
    assert folder == tmp_path / "out" / "pictures"
    truth = DATASET.clips["test"][0].truth
    np.testing.assert_array_equal(excerpt.history[-1], truth[at - 1])
    np.testing.assert_array_equal(excerpt.future[0], truth[at])
    assert excerpt.title == f"Human3.6M, S5/walking_1 from frame {at} on"
    assert said.label == "zero velocity"
    for pose in said.horizons.values():
        np.testing.assert_array_equal(pose, truth[at - 1])


def test_a_frame_and_a_clip_of_another_split_can_be_asked_for(tmp_path: Path, written) -> None:
    show_prediction(wanted(tmp_path, "zero-velocity", at=123), silent)
    show_prediction(wanted(tmp_path, "zero-velocity", clip="S1/walking_1"), silent)
    first, second = written
    assert first[3] == "h36m-motion_S5_walking_1_123"
    assert second[3] == "h36m-motion_S1_walking_1_120"
    assert second[0].title.endswith("(train split)")


def test_trained_weights_are_those_of_the_table(tmp_path: Path, written) -> None:
    method = trained("simlpe", tmp_path / "out")
    show_prediction(wanted(tmp_path, "simlpe", "zero-velocity", at=100), silent)
    ((excerpt, forecasts, _, _),) = written
    assert [each.label for each in forecasts] == ["zero velocity", "siMLPe"]
    given = torch.from_numpy(np.ascontiguousarray(excerpt.history[-50:])).reshape(1, 50, 66)
    with torch.no_grad():
        expected = method.predict(given, 10)[0].reshape(10, 22, 3).numpy()
    np.testing.assert_allclose(forecasts[1].poses[:10], expected, atol=1e-6)
    np.testing.assert_allclose(forecasts[1].horizons[8], expected[7], atol=1e-6)
    assert not np.allclose(forecasts[1].poses, forecasts[0].poses, atol=1e-3)


def test_weights_that_are_not_there_name_the_command(tmp_path: Path, written) -> None:
    with pytest.raises(BadInput) as caught:
        show_prediction(wanted(tmp_path, "simlpe", "zero-velocity", "stsgcn"), silent)
    line = str(caught.value)
    assert "no weights of simlpe, stsgcn in" in line
    command = "bench run table4 --methods simlpe,stsgcn --datasets h36m-motion --budget smoke --out"
    assert command in line
    assert not written


def test_published_weights_take_the_place_of_trained_ones(tmp_path: Path, written) -> None:
    trained("simlpe", tmp_path / "out")
    cls = registry.method_class("simlpe")
    files = tmp_path / "published"
    files.mkdir()
    for number in (1, 2):
        method = cls(cls.Options(blocks=number), Span(50, 25, 22, 3))
        torch.save(method.state_dict(), files / f"{number}.pth")
    show_prediction(
        wanted(tmp_path, "zero-velocity", "simlpe", checkpoints=(files,), at=100), silent
    )
    ((excerpt, forecasts, _, _),) = written
    assert [each.label for each in forecasts] == [
        "zero velocity",
        "siMLPe, published weights (1.pth)",
        "siMLPe, published weights (2.pth)",
    ]
    assert len(excerpt.future) == 25
    # Standing still goes on as far as the others.
    assert all(max(each.horizons) == 25 for each in forecasts)


def test_published_weights_of_another_skeleton_are_refused(tmp_path: Path, written) -> None:
    cls = registry.method_class("simlpe")
    torch.save(cls(cls.Options(blocks=1), Span(50, 25, 18, 3)).state_dict(), tmp_path / "odd")
    with pytest.raises(BadInput, match="found 18 joints in 3 dimensions; expected 22 in 3"):
        show_prediction(wanted(tmp_path, "simlpe", checkpoints=(tmp_path / "odd",)), silent)


def test_weights_that_do_not_fit_are_said_in_short(
    tmp_path: Path, written, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = registry.method_class("simlpe")
    adopt = cls.adopt
    monkeypatch.setattr(cls, "adopt", lambda files: [replace(m, joints=0) for m in adopt(files)])
    torch.save(cls(cls.Options(blocks=9), Span(50, 25, 3, 3)).state_dict(), tmp_path / "odd")
    with pytest.raises(BadInput, match="the weights do not fit simlpe on 22 joints") as caught:
        show_prediction(wanted(tmp_path, "simlpe", checkpoints=(tmp_path / "odd",)), silent)
    assert str(caught.value).count("size mismatch") == 1


def test_published_weights_that_no_shown_method_takes_are_named(tmp_path: Path, written) -> None:
    cls = registry.method_class("simlpe")
    torch.save(cls(cls.Options(blocks=1), Span(50, 25, 22, 3)).state_dict(), tmp_path / "one.pth")
    with pytest.raises(BadInput) as caught:
        show_prediction(
            wanted(tmp_path, "zero-velocity", checkpoints=(tmp_path / "one.pth",)), silent
        )
    line = str(caught.value)
    assert "one.pth: weights of simlpe, which is not among the methods" in line
    assert "found --methods zero-velocity; add simlpe to --methods" in line
    assert not written


def test_unknown_names_have_neighbours(tmp_path: Path, written) -> None:
    with pytest.raises(BadInput, match="did you mean simlpe"):
        show_prediction(wanted(tmp_path, "simple"), silent)
    with pytest.raises(BadInput, match=r"clip S5/walkin_2: .*did you mean S5/walking_2"):
        show_prediction(wanted(tmp_path, "zero-velocity", clip="S5/walkin_2"), silent)
    with pytest.raises(BadInput, match=r"clip xyz: .*test clips: S5/walking_1, S5/walking_2"):
        show_prediction(wanted(tmp_path, "zero-velocity", clip="xyz"), silent)
    with pytest.raises(BadInput, match="h36m-fcn is not for prediction"):
        show_prediction(wanted(tmp_path, "zero-velocity", dataset="h36m-fcn"), silent)
    assert not written


@pytest.mark.parametrize("at", [0, 49, 231])
def test_a_frame_without_history_or_future_is_refused(at: int) -> None:
    found, split = find_clip(DATASET, "S5/walking_1")
    with pytest.raises(BadInput, match=f"found {at}; expected 50 to 230"):
        cut(DATASET, found, split, at, [Span(50, 10, 22, 3), Span(10, 10, 22, 3)])


def test_a_clip_that_is_too_short_is_said() -> None:
    with pytest.raises(BadInput, match="expected a clip of 60 frames, not of 55"):
        cut(DATASET, clip("short", 55), "test", 50, [Span(50, 10, 22, 3)])


def test_every_excerpt_says_that_it_is_a_stand_in() -> None:
    standin = replace(DATASET, standin=True)
    excerpt = cut(standin, clip("one"), "test", 60, [Span(10, 10, 22, 3)])
    assert "STAND-IN" in excerpt.title
    assert "STAND-IN" not in cut(DATASET, clip("one"), "test", 60, [Span(10, 10, 22, 3)]).title


class PerHorizon:
    """Says, at every frame, how many frames it was asked for; no more than 8."""

    def predict(self, history: torch.Tensor, frames: int) -> torch.Tensor:
        if frames > 8:
            raise BadInput("too far")
        return torch.full((len(history), frames, history.shape[2]), float(frames))


def test_each_horizon_is_asked_for_by_itself() -> None:
    excerpt = cut(DATASET, clip("one"), "test", 60, [Span(10, 25, 22, 3)])
    said = forecast("x", PerHorizon(), Span(10, 8, 22, 3), excerpt)
    assert {frames: pose.mean() for frames, pose in said.horizons.items()} == {2: 2, 4: 4, 8: 8}
    assert said.poses.shape == (8, 22, 3)
    # What it promised, it must keep.
    with pytest.raises(BadInput, match="too far"):
        forecast("x", PerHorizon(), Span(10, 25, 22, 3), excerpt)


def test_a_method_that_reaches_no_horizon_is_refused() -> None:
    class Nearest:
        def predict(self, history: torch.Tensor, frames: int) -> torch.Tensor:
            if frames > 1:
                raise BadInput("too far")
            return history[:, -1:]

    excerpt = cut(DATASET, clip("one"), "test", 60, [Span(10, 25, 22, 3)])
    with pytest.raises(BadInput, match=r"x reaches no horizon; found 1 frame .*at least 2"):
        forecast("x", Nearest(), Span(10, 1, 22, 3), excerpt)


def test_the_command_prints_the_files(tmp_path: Path, written) -> None:
    arguments = ["prediction", "--clip", "S5/walking_1", "--methods", "zero-velocity, simlpe"]
    arguments += ["--budget", "smoke", "--out", str(tmp_path / "out"), "--at", "100"]
    trained("simlpe", tmp_path / "out")
    result = CliRunner().invoke(group, arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path}/out/pictures/h36m-motion_S5_walking_1_100.pdf\n"
    refused = CliRunner().invoke(group, ["prediction", "--clip", "x", "--methods", " , "])
    assert refused.exit_code == 2
    assert "one or more names" in refused.output
