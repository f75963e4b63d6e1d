"""Methods in ONNX Runtime give what they give in PyTorch."""

import numpy as np
import pytest
import torch

from bench import exporting
from bench.checks import Subject
from bench.config import method_config
from bench.contracts import BadInput, Window
from bench.exporting import session, to_onnx

WINDOW = Window(5, 4, 3, 2)
NETWORKS = [
    ("mixsynthformer", "paper"),
    ("mixsynthformer", "released"),
    ("mixsynthformer", "quick"),
    ("deciwatch", "paper"),
    ("deciwatch", "released"),
    ("deciwatch", "quick"),
    ("mct", "paper"),
    ("mct", "quick"),
]
MAPS = ["linear", "cubic", "ridge", "shared-filter", "estimator", "smoothnet"]

needs_runtime = pytest.mark.skipif(
    bool(exporting.missing_packages()),
    reason=f"not installed: {', '.join(exporting.missing_packages())}",
)


def difference(subject: Subject, batch: int, threads: int = 1) -> float:
    method = subject.ready()
    given = subject.seen(subject.clips(batch)[0]).clone()
    run = getattr(method, "refine", None) or method.recover
    with torch.no_grad():
        expected = run(given).numpy()
        # So that it cannot pass by giving back the interpolation: training has begun.
        assert np.ptp(expected) > 0.1
        found = session(to_onnx(method, run, given), threads)(given.numpy())
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    return float(np.abs(found - expected).max())


@needs_runtime
@pytest.mark.parametrize(("method", "preset"), NETWORKS)
def test_networks_agree(method: str, preset: str) -> None:
    options = dict(method_config(method).presets[preset].options)
    # Less deep, of the same parts.
    subject = Subject(method, WINDOW, {**options, "depth": 1})
    assert difference(subject, batch=1) < 1e-4


@needs_runtime
def test_a_whole_published_network_agrees() -> None:
    options = method_config("mixsynthformer").presets["released"].options
    assert difference(Subject("mixsynthformer", Window(10, 10, 17, 3), options), batch=2) < 1e-4


@needs_runtime
@pytest.mark.parametrize("method", MAPS)
def test_maps_and_refiners_agree(method: str) -> None:
    assert difference(Subject(method, WINDOW, {}), batch=3, threads=2) < 1e-4


@needs_runtime
def test_what_cannot_be_exported_says_why() -> None:
    def run(given: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("not on paper\nand much more")

    with pytest.raises(BadInput, match=r"no export; found not on paper$"):
        to_onnx(object(), run, torch.zeros(1, 5, 6))


@needs_runtime
def test_what_is_no_model_says_so() -> None:
    with pytest.raises(BadInput, match="ONNX Runtime refuses the model"):
        session(b"no model", 1)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        exporting, "find_spec", lambda name: None if name == "onnxruntime" else "there"
    )
    with pytest.raises(BadInput, match=r"without onnxruntime; pip install 'bench\[onnx\]'"):
        to_onnx(object(), lambda x: x, torch.zeros(1))
