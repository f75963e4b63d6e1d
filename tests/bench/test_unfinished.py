"""Interrupted trainings: they go on to the very weights of those that were not."""

import itertools
import os

import pytest
import torch

from bench.training import train
from bench.unfinished import Unfinished
from tests.bench.test_steps import AHEAD, build, judge_of, settings, source


class Killed(Exception):
    pass


class Keeping(Unfinished):
    """Dies after so many times that something was kept."""

    left = 10**9

    def save(self, kept):
        super().save(kept)
        self.left -= 1
        if self.left == 0:
            raise Killed


def run(name, keeper=None, tries=1):
    method = build(name, 1)
    samples = source(name)
    asked = []

    def judge():
        asked.append(0)
        return judge_of(method, samples)

    done = train(method, samples, settings(1), seed=1, evaluations=5, judge=judge, keeper=keeper)
    return method.state_dict(), done, len(asked)


@pytest.mark.parametrize(
    "name", ["mixsynthformer", "deciwatch", "mct", "smoothnet", "simlpe", "stsgcn"]
)
@pytest.mark.parametrize("every_step", [False, True])
def test_after_any_interruption_the_weights_are_those_of_an_undisturbed_run(
    name, every_step, tmp_path, monkeypatch
):
    expected, whole, looks = run(name)
    if every_step:
        monkeypatch.setattr("bench.training._KEEP_SECONDS", -1.0)
    asked = 0
    for number in itertools.count(1):
        keeper = Keeping(tmp_path, "one", "cpu")
        keeper.left = 1
        # Whatever else drew random numbers in between must not matter.
        torch.rand(number)
        try:
            found, done, more = run(name, keeper)
        except Killed:
            continue
        break
    # 40 or 21 windows an epoch, batches of 16, 100 windows in all.
    assert number >= (7 if every_step else 3)
    assert done == whole
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert asked + more <= looks


def test_nothing_is_kept_of_a_training_within_its_first_epoch(tmp_path):
    class Refuses(Unfinished):
        def save(self, kept):
            raise AssertionError

    method, samples = build("simlpe", 0), source("simlpe")
    short = settings(0).model_copy(update={"windows": len(samples) - 1})
    train(
        method,
        samples,
        short,
        seed=0,
        evaluations=1,
        judge=None,
        keeper=Refuses(tmp_path, "one", "cpu"),
    )
    assert not list(tmp_path.iterdir())


def kept(tmp_path) -> Keeping:
    keeper = Keeping(tmp_path, "one", "cpu")
    keeper.left = 1
    with pytest.raises(Killed):
        run("simlpe", keeper)
    assert keeper.load() is not None
    return keeper


def test_a_damaged_file_is_not_gone_on_with(tmp_path):
    keeper = kept(tmp_path)
    content = keeper.path.read_bytes()
    keeper.path.write_bytes(content[: len(content) // 2])
    assert keeper.load() is None
    keeper.path.write_bytes(b"")
    assert keeper.load() is None
    expected, whole, _ = run("simlpe")
    found, done, _ = run("simlpe", Keeping(tmp_path, "one", "cpu"))
    assert done == whole
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_another_device_and_another_torch_begin_anew(tmp_path, monkeypatch):
    kept(tmp_path)
    assert Unfinished(tmp_path, "one", "cuda:0").load() is None
    assert Unfinished(tmp_path, "other", "cpu").load() is None
    monkeypatch.setattr(torch, "__version__", "0.0")
    assert Unfinished(tmp_path, "one", "cpu").load() is None


def test_what_was_kept_of_another_network_is_not_gone_on_with(tmp_path, monkeypatch):
    kept(tmp_path)
    first = build("simlpe", 1)
    wider = {**AHEAD, "simlpe": {**AHEAD["simlpe"], "blocks": 4}}
    monkeypatch.setattr("tests.bench.test_steps.AHEAD", wider)
    expected, whole, _ = run("simlpe")
    assert expected.keys() != first.state_dict().keys()
    found, done, _ = run("simlpe", Unfinished(tmp_path, "one", "cpu"))
    assert done == whole
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_fused_operations_do_not_go_on_with_what_others_began(tmp_path):
    kept(tmp_path)
    assert Unfinished(tmp_path, "one", "cpu", compiled=True).load() is None
    assert Unfinished(tmp_path, "one", "cpu").load() is not None


def test_short_epochs_are_not_kept_when_keeping_takes_longer(tmp_path, monkeypatch):
    now, saves = [0.0], []

    class Slow(Unfinished):
        def save(self, kept):
            saves.append(kept.about["seen"])
            now[0] += 1.0

    monkeypatch.setattr("bench.training.time.monotonic", lambda: now[0])
    run("simlpe", Slow(tmp_path, "one", "cpu"))
    # 21 windows an epoch, 100 in all; no time passes but that of the first save.
    assert len(saves) == 1


def test_where_nothing_can_be_kept_training_goes_on(tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    expected, _, _ = run("simlpe")
    found, _, _ = run("simlpe", Unfinished(tmp_path, "one", "cpu"))
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert not list(tmp_path.glob("unfinished/*"))


def test_what_is_finished_is_forgotten(tmp_path):
    keeper = kept(tmp_path)
    keeper.drop()
    keeper.drop()
    assert keeper.load() is None
