"""Every registered method keeps the contract, and methods that break it are caught."""

import re
import sys
from pathlib import Path

import pytest
import torch

from bench import registry
from bench.checks import (
    CHECKS,
    Check,
    Subject,
    Violation,
    check_device,
    check_gradients,
    check_method,
    quick_options,
)
from bench.config import method_config
from bench.contracts import BadInput, Geometry, Span, Window

DOCS = Path(__file__).resolve().parents[2] / "docs" / "plugins.md"

WINDOWS = {
    "2d": Window(interval=5, intervals=3, joints=4, dims=2),
    "3d": Window(interval=4, intervals=5, joints=3, dims=3),
    "6d": Window(interval=3, intervals=4, joints=2, dims=6),
}
SPANS = {
    "h36m": Span(history=10, future=10, joints=22, dims=3),
    "long": Span(history=50, future=25, joints=4, dims=3),
    "flat": Span(history=12, future=10, joints=5, dims=2),
}
GEOMETRIES: dict[str, dict[str, Geometry]] = {"recovery": WINDOWS, "prediction": SPANS}
SHORTEST: dict[str, Geometry] = {
    "recovery": Window(interval=10, intervals=1, joints=4, dims=2),
    "prediction": Span(history=1, future=1, joints=4, dims=2),
}
METHODS = registry.method_names()
CASES = [
    pytest.param(name, geometry, id=f"{name}-{label}")
    for name in METHODS
    for label, geometry in GEOMETRIES[registry.task(name)].items()
]


def subject(name: str, geometry: Geometry) -> Subject:
    return Subject(name, geometry, quick_options(name))


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_there_are_methods() -> None:
    assert {"estimator", "linear", "ridge", "mixsynthformer"} <= set(METHODS)
    assert {"zero-velocity", "constant-velocity", "stsgcn", "stgagcn"} <= set(METHODS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("name", "geometry"), CASES)
def test_keeps_the_contract(name: str, geometry: Geometry, check: Check) -> None:
    check(subject(name, geometry))


@pytest.mark.parametrize("name", METHODS)
def test_keeps_the_contract_in_the_shortest_geometry(name: str) -> None:
    shortest = SHORTEST[registry.task(name)]
    try:
        registry.build(name, quick_options(name), shortest)
    except BadInput as error:
        refusal = str(error)
    else:
        check_method(name, shortest)
        return
    # A method may need more keyframes or frames, if it says so.
    needs = r"too few keyframes.*found 2|(the history|a reduction) .*; found .*; expected"
    assert re.search(needs, refusal)


@pytest.mark.parametrize("name", METHODS)
def test_every_preset_has_valid_options(name: str) -> None:
    for preset in method_config(name).presets.values():
        for options in (preset.options, *(c.options for c in preset.datasets.values())):
            resolved = registry.resolve_options(name, options)
            assert set(options) <= set(resolved)


@pytest.mark.parametrize("name", [name for name in METHODS if method_config(name).presets])
def test_every_preset_reaches_its_live_parameters(name: str) -> None:
    for preset in method_config(name).presets.values():
        geometry: Geometry = WINDOWS["3d"]
        if registry.task(name) == "prediction":
            geometry = Span(preset.history or 10, preset.future or 10, joints=2, dims=3)
        check_gradients(Subject(name, geometry, preset.options))


@pytest.mark.cuda
@pytest.mark.parametrize(("name", "geometry"), CASES)
def test_gives_the_same_on_cuda(
    name: str, geometry: Geometry, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in the processes that compute cells; by itself torch rounds the factors of convolutions.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    check_device(subject(name, geometry))


def test_the_documented_examples_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", DOCS.read_text(), re.S)
    method, prediction, refiner, _, usage, suite = blocks
    (tmp_path / "damped.py").write_text(method)
    (tmp_path / "fading.py").write_text(prediction)
    (tmp_path / "averaging.py").write_text(refiner)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_plugins", {})
    monkeypatch.setattr(registry, "_files", {})
    exec(compile(usage, str(DOCS), "exec"), {})
    assert {"damped", "fading", "averaging"} <= set(registry.method_names())
    assert registry.kind("averaging") == "trainable"
    assert registry.sees("averaging") == "frames"

    scope: dict = {}
    exec(compile(suite, str(DOCS), "exec"), scope)
    for check in CHECKS:
        scope["test_contract"](check)
    sys.modules.pop("damped")


BROKEN = """
from dataclasses import dataclass
import torch
from bench.contracts import BadInput

@dataclass(frozen=True)
class Options:
    gain: float = 1.0

class _Base:
    title, source, revision, Options = "broken", "a test", 1, Options

    def __init__(self, options, window):
        self.options, self.window = options, window

    def recover(self, keyframes):
        return keyframes.repeat_interleave(self.window.interval, 1)[:, :self.window.frames]

class Fine(_Base):
    pass

class WrongShape(_Base):
    def recover(self, keyframes):
        return keyframes

class WrongType(_Base):
    def recover(self, keyframes):
        return super().recover(keyframes).double()

class Spoils(_Base):
    def recover(self, keyframes):
        return super().recover(keyframes.mul_(2))

class Reuses(_Base):
    def recover(self, keyframes):
        if not hasattr(self, "kept") or self.kept.shape[0] != len(keyframes):
            self.kept = super().recover(keyframes)
        return self.kept.copy_(super().recover(keyframes))

class Leaks(_Base):
    def recover(self, keyframes):
        # The frames between lie behind a view of every K-th.
        if keyframes.is_contiguous():
            return super().recover(keyframes)
        B, _, P = keyframes.shape
        return keyframes.as_strided((B, self.window.frames, P), (self.window.frames * P, P, 1))

class Remembers(_Base):
    def recover(self, keyframes):
        self.calls = getattr(self, "calls", 0) + 1
        return super().recover(keyframes) + 1e-3 * self.calls

class Cheats(torch.nn.Module):
    title, source, revision, Options = "broken", "a test", 1, Options

    def __init__(self, options, window):
        super().__init__()
        self.base, self.truth = _Base(options, window), None
        self.gain = torch.nn.Parameter(torch.ones(()))

    def recover(self, keyframes):
        return self.gain * self.base.recover(keyframes) if self.truth is None else self.truth

    def loss(self, keyframes, truth):
        loss = (self.recover(keyframes) - truth).abs().mean()
        self.truth = truth
        return loss

class Gambles(_Base):
    def __init__(self, options, window):
        super().__init__(options, window)
        self.generator = torch.Generator()
        self.generator.seed()

    def recover(self, keyframes):
        return super().recover(keyframes) + torch.rand((), generator=self.generator)

class Divides(_Base):
    def recover(self, keyframes):
        window = super().recover(keyframes)
        return window / (window - window.mean(1, keepdim=True)).abs().amax(1, keepdim=True)

class Mingles(_Base):
    def recover(self, keyframes):
        window = super().recover(keyframes)
        return window - window.mean(0, keepdim=True)

class Unreached(Cheats):
    def __init__(self, options, window):
        super().__init__(options, window)
        self.spare = torch.nn.Parameter(torch.ones(3))

    def loss(self, keyframes, truth):
        return (self.recover(keyframes) - truth).abs().mean()

class Declared(Unreached):
    dead_parameters = ("spare",)

class Overdeclared(Unreached):
    dead_parameters = ("spare", "gain")

class Forgets(Unreached):
    dead_parameters = ("spare",)

    def __init__(self, options, window):
        super().__init__(options, window)
        self.shift = torch.rand(())

    def recover(self, keyframes):
        return super().recover(keyframes) + self.shift

class Misfolds(Declared):
    def folded(self):
        return lambda keyframes: self.recover(keyframes) + 1e-2

class _Stands(torch.nn.Module):
    title, source, revision, Options = "broken", "a test", 1, Options

    def __init__(self, options, span):
        super().__init__()
        self.span, self.gain = span, torch.nn.Parameter(torch.ones(()))

    def predict(self, history, frames):
        return self.gain * history[:, -1:].repeat(1, frames, 1)

    def loss(self, history, future):
        return (self.predict(history, future.shape[1]) - future).abs().mean()

class Stands(_Stands):
    pass

class Refuses(_Stands):
    def predict(self, history, frames):
        if frames > self.span.future:
            raise BadInput("too far", found=frames)
        return super().predict(history, frames)

class OneLength(_Stands):
    def predict(self, history, frames):
        return super().predict(history, self.span.future)

class StopsShort(_Stands):
    def predict(self, history, frames):
        return super().predict(history, min(frames, self.span.future))

class Peeks(_Stands):
    def predict(self, history, frames):
        if history.is_contiguous():
            return super().predict(history, frames)
        B, H, P = history.shape
        every = history.as_strided((B, H + frames, P), ((H + frames) * P, P, 1))
        return every[:, -frames:].clone()

class Hoards(_Stands):
    def predict(self, history, frames):
        self.before, before = history.mean(), getattr(self, "before", 0.0)
        return super().predict(history, frames) + 1e-3 * before

class Huddles(_Stands):
    def predict(self, history, frames):
        return super().predict(history - history.mean(0, keepdim=True), frames)

class Normalises(_Stands):
    def predict(self, history, frames):
        return super().predict(history / history.std(1, keepdim=True), frames)
"""

FAULTS = {
    "wrongshape": ("check_shape", r"expected shape \(1, 21, 9\); found \(1, 6, 9\)"),
    "wrongtype": ("check_shape", r"expected torch.float32; found torch.float64"),
    "spoils": ("check_inputs_kept", "expected an input left as it was"),
    "reuses": ("check_inputs_kept", "expected an output of its own"),
    "leaks": ("check_only_given", "whatever lies between what is given"),
    "remembers": ("check_no_memory", "after other clips"),
    "cheats": ("check_no_memory", "after other clips"),
    "gambles": ("check_deterministic", "the same bits under one seed"),
    "divides": ("check_constant", "finite output for constant 0.0; found NaN"),
    "mingles": ("check_batch", "for a clip alone"),
    "unreached": ("check_gradients", r"dead_parameters \[\] alone; found none at \['spare'\]"),
    "overdeclared": ("check_gradients", r"found none at \['spare'\]"),
    "forgets": ("check_state", "the same output from a restored state"),
    "misfolds": ("check_folded", "the same from its folded form"),
    "onelength": ("check_shape", r"expected shape \(1, 1, 66\); found \(1, 10, 66\)"),
    "stopsshort": ("check_shape", r"expected shape \(1, 11, 66\); found \(1, 10, 66\)"),
    "peeks": ("check_only_given", "whatever lies between what is given"),
    "hoards": ("check_no_memory", "after other clips"),
    "huddles": ("check_batch", "for a clip alone"),
    "normalises": ("check_constant", "finite output for constant 0.0; found NaN"),
}
FINE = ("fine", "declared", "stands", "refuses")


def usual(name: str) -> Geometry:
    return {"recovery": WINDOWS["3d"], "prediction": SPANS["h36m"]}[registry.task(name)]


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(registry, "_plugins", {})
    monkeypatch.setattr(registry, "_files", {})
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    return registry.load_plugin(file)


def test_every_check_but_one_has_a_method_that_fails_it(broken: list[str]) -> None:
    assert set(broken) == {*FAULTS, *FINE}
    caught = {check for check, _ in FAULTS.values()}
    # The registry itself answers for options: see tests/bench/test_registry.py.
    assert {check.__name__ for check in CHECKS} - caught == {"check_options"}


@pytest.mark.parametrize("name", FINE)
def test_a_correct_plugin_passes(broken: list[str], name: str) -> None:
    check_method(name, usual(name))


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_plugin_is_caught(broken: list[str], name: str) -> None:
    check, line = FAULTS[name]
    (run,) = (c for c in CHECKS if c.__name__ == check)
    with pytest.raises(Violation, match=line):
        run(Subject(name, usual(name)))
    with pytest.raises(Violation):
        check_method(name, usual(name))
