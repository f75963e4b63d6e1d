"""The straightforward way computes what ours does, so that only the time differs."""

import numpy as np
import pytest
import torch

from bench import registry
from bench.data.windows import Windows
from bench.evaluation import evaluate
from bench.protocols import Protocol, protocol
from benchmarks.straightforward import metrics
from benchmarks.straightforward.evaluation import evaluate as plainly
from benchmarks.straightforward.training import Training, WindowDataset
from benchmarks.workloads import WORKLOADS, Workload

SMALL = {
    name: each.with_clips(3, clips)
    for (name, each), clips in zip(WORKLOADS.items(), (4, 1, 1), strict=True)
}
SMALL["h36m"] = Workload("h36m-fcn", "Human3.6M", 260, 230, 2, 1)


@pytest.mark.parametrize("name", SMALL)
def test_both_evaluations_give_the_same_numbers(name: str) -> None:
    case = SMALL[name]
    dataset, used = case.build(), protocol("deciwatch")
    assert isinstance(used, Protocol)
    method = case.method().eval()
    estimator = registry.build("estimator", {}, case.window)
    plain = plainly(case.plain(), dataset, case.window)
    for what, scored in (("output", method), ("input", estimator)):
        scores, _ = evaluate(scored, dataset, "test", used, case.window)
        ours = used.summarise(score.values for score in scores)
        assert plain[what] == pytest.approx({key: ours[key] for key in plain[what]}, rel=1e-6)
        assert plain[what]


@pytest.mark.parametrize("name", SMALL)
def test_both_models_give_the_same_loss_and_gradients(name: str) -> None:
    case = SMALL[name]
    dataset = case.build()
    items = WindowDataset(dataset.clips["train"], dataset.skeleton.root, case.window.frames)
    source = Windows(dataset, "train", case.window)
    assert len(items) == len(source)
    index = torch.tensor([0, 1, len(source) // 2, len(source) - 1])
    given, wanted = (
        torch.from_numpy(np.stack(part))
        for part in zip(*(items[int(i)] for i in index), strict=True)
    )
    keyframes, truth = source.gather(index)
    torch.testing.assert_close(wanted.float(), truth)
    torch.testing.assert_close(given[:, :: case.window.interval].float(), keyframes)
    method, plain = case.method().eval(), case.plain().eval()
    ours = method.loss(keyframes, truth)
    theirs = torch.nn.functional.l1_loss(plain(given), wanted)
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-6, atol=1e-6)
    ours.backward()
    theirs.backward()
    for key, parameter in plain.named_parameters():
        grad = method.get_parameter(key).grad
        assert (grad is None) == (parameter.grad is None), key
        if grad is not None:
            torch.testing.assert_close(parameter.grad, grad, rtol=1e-4, atol=1e-6)


def test_training_plainly_lowers_the_loss() -> None:
    case = SMALL["jhmdb"]
    dataset = case.build()
    items = WindowDataset(dataset.clips["train"], dataset.skeleton.root, case.window.frames)
    training = Training(case.plain(), items, batch=8, lr=1e-3)
    losses = [training.step() for _ in range(40)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_a_turned_scaled_and_moved_pose_is_aligned() -> None:
    truth = np.random.default_rng(0).normal(size=(6, 3))
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(metrics.aligned(2 * truth @ turn + 5, truth), truth, atol=1e-12)


def test_a_joint_on_the_line_is_right() -> None:
    truth = np.zeros((2, 2, 2))
    pred = truth.copy()
    pred[0, 1] = [3, 4]
    box = np.array([[0, 0, 50, 20], [0, 0, 50, 20]], np.int32)
    assert metrics.pck(pred, truth, box, 0.1).tolist() == [1.0, 1.0]
    assert metrics.pck(pred, truth, box, 0.09).tolist() == [1.0, 0.5]
