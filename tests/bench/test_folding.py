"""Folded forms: found, refused, and run in ONNX Runtime for batches of any size up to one."""

import time
from statistics import median

import pytest
import torch
from torch import Tensor

from bench import exporting
from bench.checks import Subject, Violation, check_folded
from bench.config import method_config
from bench.contracts import BadInput, Foldable, Window
from bench.folding import folded, in_batches, plain
from methods.closed_form import Ridge
from methods.interpolation import Estimator, Linear, NoOptions
from methods.mixsynthformer import MixSynthFormer

WINDOW = Window(3, 3, 2, 2)
SMALL = {"width": 8, "depth": 1}

needs_runtime = pytest.mark.skipif(
    bool(exporting.missing_packages()),
    reason=f"not installed: {', '.join(exporting.missing_packages())}",
)


def test_a_method_without_a_folded_form_says_so() -> None:
    method = Linear(NoOptions(), WINDOW)
    assert not isinstance(method, Foldable)
    with pytest.raises(BadInput, match="it has no folded form"):
        folded(method)


def test_what_a_method_does_as_it_is() -> None:
    keyframes, frames = torch.rand(2, 4, 4), torch.rand(2, 10, 4)
    method = Linear(NoOptions(), WINDOW)
    assert plain(method)(keyframes).equal(method.recover(keyframes))
    assert plain(Estimator(NoOptions(), WINDOW))(frames) is frames


class Broken(MixSynthFormer):
    """Its folded form is a thousandth off."""

    def folded(self) -> torch.nn.Module:
        right = super().folded()

        class Off(torch.nn.Module):
            def forward(self, keyframes: Tensor) -> Tensor:
                return 1.001 * right(keyframes)

        return Off()


class Destructive(MixSynthFormer):
    """Its weights are no longer its own once it was folded."""

    def folded(self) -> torch.nn.Module:
        right = super().folded()
        with torch.no_grad():
            self.output.weight.mul_(2)
        return right


class Bound(MixSynthFormer):
    """Its folded form is the method, and follows what becomes of it."""

    def folded(self) -> torch.nn.Module:
        return self


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (Broken, "the same from its folded form; found 0.000"),
        (Destructive, "a method left as it was"),
        (Bound, "the same from its folded form"),
    ],
)
def test_a_wrong_folded_form_is_found(method: type, said: str) -> None:
    check_folded(Subject(MixSynthFormer, WINDOW, SMALL))
    with pytest.raises(Violation, match=said):
        check_folded(Subject(method, WINDOW, SMALL))


@needs_runtime
@pytest.mark.parametrize("kind", [MixSynthFormer, Linear, Ridge])
def test_one_model_does_for_smaller_batches(kind: type) -> None:
    subject = Subject(kind, WINDOW, SMALL if kind is MixSynthFormer else {})
    method = subject.ready()
    given = subject.seen(subject.clips(4)[0]).clone()
    function = in_batches(method, given, threads=1)
    expected = subject.apply(method, given)
    for count in (1, 3, 4):
        found = function(given[:count])
        assert found.shape == (count, WINDOW.frames, WINDOW.pose)
        assert (found - expected[:count]).abs().max() <= 1e-5
    with pytest.raises(BadInput, match="a batch too large; found 5; expected at most 4"):
        function(torch.zeros(5, 4, 4))


@needs_runtime
def test_the_folded_form_in_onnx_runtime_is_faster_than_the_network() -> None:
    """Of processor time, which neighbours do not take: 1/8 here; above 1/2 the code slipped."""
    preset = method_config("mixsynthformer").presets["released"].on("pw3d-spin")
    subject = Subject("mixsynthformer", Window(10, 5, 14, 3), preset.options)
    method, given = subject.ready(), subject.seen(subject.clips(1)[0]).clone()
    fast = in_batches(method, given, threads=1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ratios = []
    try:
        with torch.inference_mode():
            for _ in range(10):
                spent = []
                for function in (method.recover, fast):
                    function(given)
                    began = time.thread_time()
                    for _ in range(10):
                        function(given)
                    spent.append(time.thread_time() - began)
                ratios.append(spent[0] / spent[1])
    finally:
        torch.set_num_threads(threads)
    assert median(ratios) > 2
