"""What every method must do, as checks that anyone can run on a method of their own.

`check_method("ridge", window)` runs all of them; each raises `Violation`, an AssertionError, with
one line on what was expected and found. What a method is shown is made here, from a seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from bench import registry
from bench.config import method_config
from bench.contracts import (
    BadInput,
    Fitted,
    Foldable,
    Geometry,
    Method,
    Prediction,
    Recovery,
    Refiner,
    Span,
    Trainable,
    Window,
)

_BATCH = 5
_CLOSE = 1e-5

FOLDED_CLOSE = 1e-4
"""How far a folded form may be from the method, relative to the largest value."""


class Violation(AssertionError):
    """A method broke the contract."""


@dataclass(eq=False)
class Pairs:
    """A `bench.contracts.Samples` in memory: what is given and what is wanted, (N, ..., P) each."""

    given: Tensor
    wanted: Tensor

    def __len__(self) -> int:
        return len(self.wanted)

    def batches(self, size: int, most: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Given and wanted, B at most `size`, at most `most` in all."""
        count = len(self) if most is None else min(most, len(self))
        chosen = torch.linspace(0, len(self) - 1, count).round().long()
        for rows in torch.split(chosen, size):
            yield self.given[rows], self.wanted[rows]


@dataclass(eq=False)
class Windows:
    """A `bench.contracts.Samples` in memory: detected and true frames (N, T, P)."""

    window: Window
    detected: Tensor
    truth: Tensor

    def __len__(self) -> int:
        return len(self.truth)

    def batches(self, size: int, most: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Keyframes (B, Q+1, P) and truth (B, T, P), B at most `size`, at most `most` in all."""
        return Pairs(keyframes_of(self.detected, self.window), self.truth).batches(size, most)


@dataclass(frozen=True)
class Subject:
    """What is checked: a method, its hyper-parameters and the geometry that it is built for.

    geometry: a window for a method that recovers or refines, a span for one that predicts.
    """

    method: str | type[Method]
    geometry: Geometry
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Any:
        """A new method, its random weights from torch's global generator."""
        return registry.build(self.method, self.options, self.geometry)

    def ready(self, seed: int = 0) -> Any:
        """A new method under a seed, as if it had learned something, in evaluation mode."""
        torch.manual_seed(seed)
        method = self.build()
        if registry.kind(self.method) == "fitted":
            cast(Fitted, method).fit(*(self.pairs(*self.clips(40, seed=s)) for s in (1, 2)))
        if isinstance(method, torch.nn.Module):
            # Away from where training starts: a network that begins as linear interpolation
            # would pass every check whatever stands behind its last layer.
            with torch.no_grad():
                for parameter in method.parameters():
                    parameter.add_(torch.randn_like(parameter), alpha=0.05)
            method.eval()
        return method

    def clips(self, count: int = _BATCH, seed: int = 3) -> tuple[Tensor, Tensor]:
        """What is detected and what is true, every frame of each: two of (B, frames, P)."""
        if isinstance(self.geometry, Window):
            windows = random_windows(self.geometry, count, seed)
            return windows.detected, windows.truth
        poses = _motion(self.geometry, count, torch.Generator().manual_seed(seed))
        return poses, poses

    def seen(self, frames: Tensor) -> Tensor:
        """Of all frames (B, frames, P) those that the method may see, as a view."""
        if isinstance(self.geometry, Span):
            return frames[:, : self.geometry.history]
        every = registry.sees(self.method) == "frames"
        return frames if every else frames[:, :: self.geometry.interval]

    def given(self) -> Tensor:
        """What the harness would hand to the method, of a few clips: a copy of what it sees."""
        return self.seen(self.clips()[0]).clone()

    def pairs(self, detected: Tensor, truth: Tensor) -> Pairs:
        """What is given and wanted of clips (N, frames, P)."""
        wanted = truth[:, self.geometry.history :] if isinstance(self.geometry, Span) else truth
        return Pairs(self.seen(detected).clone(), wanted)

    def apply(self, method: Method, given: Tensor) -> Tensor:
        """What the method makes of what it is given, as the harness asks for it."""
        with torch.no_grad():
            if isinstance(self.geometry, Span):
                return cast(Prediction, method).predict(given, self.geometry.future)
            if isinstance(method, Refiner):
                return method.refine(given)
            return cast(Recovery, method).recover(given)


def keyframes_of(frames: Tensor, window: Window) -> Tensor:
    """(B, T, P) frames -> (B, Q+1, P) keyframes: every K-th frame, a copy."""
    return frames[:, :: window.interval].clone()


def random_windows(window: Window, count: int, seed: int) -> Windows:
    """Smooth motion of a few decimetres, detected with a bias and noise of centimetres."""
    generator = torch.Generator().manual_seed(seed)
    truth = _motion(window, count, generator)
    noise = torch.randn(truth.shape, generator=generator)
    return Windows(window, truth + 0.03 + 0.02 * noise, truth)


def _motion(geometry: Geometry, count: int, generator: torch.Generator) -> Tensor:
    """Smooth motion of a few decimetres: (count, frames, P)."""
    shape = (count, 1, geometry.pose)
    time = torch.linspace(0, 1, geometry.frames)[None, :, None]
    size, speed, phase = (torch.rand(shape, generator=generator) for _ in range(3))
    return size * torch.sin(6 * (speed * time + phase))


def check_options(subject: Subject) -> None:
    """Every hyper-parameter has a value, and survives being written as JSON."""
    resolved = registry.resolve_options(subject.method, subject.options)
    again = registry.resolve_options(subject.method, json.loads(json.dumps(resolved)))
    _expect(again == resolved, "options that survive JSON", f"{resolved}, then {again}")


def check_shape(subject: Subject) -> None:
    """What comes out has all frames that were asked for, and the type of what went in.

    For one clip and for several; a prediction also for fewer frames, and for more, unless the
    method refuses to look so far.
    """
    method, geometry = subject.ready(), subject.geometry
    for count in (1, _BATCH):
        given = subject.seen(subject.clips(count)[0])
        if isinstance(geometry, Window):
            _expect_like(subject.apply(method, given.clone()), given, geometry.frames)
            continue
        with torch.no_grad():
            for frames in sorted({1, (geometry.future + 1) // 2, geometry.future}):
                _expect_like(method.predict(given.clone(), frames), given, frames)
            try:
                further = method.predict(given.clone(), geometry.future + 1)
            except BadInput:
                continue
        _expect_like(further, given, geometry.future + 1)


def check_inputs_kept(subject: Subject) -> None:
    """The method changes neither the tensor that it is given nor the one it gave before."""
    method, given = subject.ready(), subject.given()
    before = given.clone()
    output = subject.apply(method, given)
    kept = output.clone()
    subject.apply(method, given + 1)
    _expect(torch.equal(given, before), "an input left as it was", "changed values")
    _expect(torch.equal(output, kept), "an output of its own for each call", "a reused one")


def check_only_given(subject: Subject) -> None:
    """What a method may not see makes no difference, even where it lies next to it in memory.

    Those are the frames between keyframes, and the future.
    """
    method = subject.ready()
    frames = subject.clips()[0]
    other = frames + 1
    subject.seen(other).copy_(subject.seen(frames))
    first, second = (subject.apply(method, subject.seen(clips)) for clips in (frames, other))
    _expect_equal(second, first, "the same output whatever lies between what is given")


def check_no_memory(subject: Subject) -> None:
    """What a method makes of a clip does not depend on what it has seen since it was trained."""
    method, given = subject.ready(), subject.given()
    first = subject.apply(method, given.clone())
    if registry.kind(subject.method) == "trainable":
        pairs = subject.pairs(*subject.clips())
        with torch.no_grad():
            cast(Trainable, method).loss(pairs.given, pairs.wanted)
    subject.apply(method, given.flip(0) - 1)
    again = subject.apply(method, given.clone())
    _expect_equal(again, first, "the same output after other clips")


def check_deterministic(subject: Subject) -> None:
    """Two methods built under one seed give the same bits."""
    given = subject.given()
    first, second = (subject.apply(subject.ready(seed=7), given.clone()) for _ in range(2))
    _expect_equal(second, first, "the same bits under one seed")


def check_constant(subject: Subject) -> None:
    """A pose that stands still gives finite numbers, also where only such were learned from."""
    for value in (0.0, 0.3):
        still = torch.full((40, subject.geometry.frames, subject.geometry.pose), value)
        methods = [subject.ready()]
        if registry.kind(subject.method) == "fitted":
            unfitted = subject.build()
            unfitted.fit(subject.pairs(still, still), subject.pairs(still, still))
            methods.append(unfitted)
        for method in methods:
            output = subject.apply(method, subject.seen(still[:_BATCH]).clone())
            _expect(bool(output.isfinite().all()), f"finite output for constant {value}", "NaN")


def check_batch(subject: Subject) -> None:
    """A clip's output does not depend on the other clips of its batch."""
    method, given = subject.ready(), subject.given()
    together = subject.apply(method, given.clone())
    scale = float(together.abs().max()) + 1
    alone = torch.cat([subject.apply(method, one[None].clone()) for one in given])
    changed = given.clone()
    changed[1:] = 2 - changed[1:]
    beside = subject.apply(method, changed)[0]
    for output, expected, what in (
        (alone, together, "the same output for a clip alone"),
        (beside, together[0], "the same output beside other clips"),
    ):
        off = float((output - expected).abs().max())
        _expect(off <= _CLOSE * scale, what, f"a difference of {off:.3g}")


def check_gradients(subject: Subject) -> None:
    """The loss is a finite number that reaches every parameter but the declared dead ones.

    A method lists parameters that it keeps for other reasons in its attribute `dead_parameters`.
    """
    if registry.kind(subject.method) != "trainable":
        return
    method = cast(torch.nn.Module, subject.ready())
    method.train()
    pairs = subject.pairs(*subject.clips())
    loss = cast(Trainable, method).loss(pairs.given, pairs.wanted)
    _expect(loss.shape == (), "a scalar loss", tuple(loss.shape))
    _expect(bool(loss.isfinite()), "a finite loss", loss.item())
    loss.backward()  # type: ignore[no-untyped-call]
    dead = set(getattr(method, "dead_parameters", ()))
    without = {n for n, p in method.named_parameters() if p.grad is None}
    broken = [
        n
        for n, p in method.named_parameters()
        if p.grad is not None and not p.grad.isfinite().all()
    ]
    _expect(not broken, "finite gradients", f"others at {broken}")
    _expect(
        without == dead,
        f"no gradient at dead_parameters {sorted(dead)} alone",
        f"none at {sorted(without)}",
    )


def check_state(subject: Subject) -> None:
    """Learned numbers can be taken out and put into a new method, which then does the same."""
    if registry.kind(subject.method) not in ("fitted", "trainable"):
        return
    method, given = subject.ready(), subject.given()
    state = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    torch.manual_seed(99)
    other = subject.build()
    other.load_state_dict(state)
    if isinstance(other, torch.nn.Module):
        other.eval()
    first, second = (subject.apply(m, given.clone()) for m in (method, other))
    _expect_equal(second, first, "the same output from a restored state")


def check_folded(subject: Subject) -> None:
    """A form for inference, where the method has one, does the same and leaves the method alone."""
    method = subject.ready()
    if not isinstance(method, Foldable) or isinstance(subject.geometry, Span):
        return
    given = subject.given()
    expected = subject.apply(method, given.clone())
    function = method.folded()
    _expect_equal(subject.apply(method, given.clone()), expected, "a method left as it was")
    if isinstance(method, torch.nn.Module):
        with torch.no_grad():
            for parameter in method.parameters():
                parameter.add_(1)
    for count in (1, len(given)):
        with torch.no_grad():
            found = function(given[:count].clone())
        _expect_like(found, given[:count], subject.geometry.frames)
        off = float((found - expected[:count]).abs().max() / expected.abs().max())
        _expect(off <= FOLDED_CLOSE, "the same from its folded form", f"{off:.3g} off")


def check_device(subject: Subject, device: str = "cuda") -> None:
    """Another device gives the same numbers but for rounding."""
    method, given = subject.ready(), subject.given()
    here = subject.apply(method, given.clone())
    if isinstance(method, torch.nn.Module):
        method.to(device)
    there = subject.apply(method, given.to(device))
    _expect(there.device.type == torch.device(device).type, f"output on {device}", there.device)
    off = float((there.cpu() - here).abs().max())
    _expect(
        off <= 1e-4 * (float(here.abs().max()) + 1), f"the same on {device}", f"off by {off:.3g}"
    )


Check = Callable[[Subject], None]

CHECKS: tuple[Check, ...] = (
    check_options,
    check_shape,
    check_inputs_kept,
    check_only_given,
    check_no_memory,
    check_deterministic,
    check_constant,
    check_batch,
    check_gradients,
    check_state,
    check_folded,
)


def quick_options(method: str | type[Method]) -> Mapping[str, Any]:
    """The options of a method's `quick` preset, or none: small enough to build in a test."""
    if not isinstance(method, str):
        return {}
    preset = method_config(method).presets.get("quick")
    return preset.options if preset else {}


def check_method(
    method: str | type[Method], geometry: Geometry, options: Mapping[str, Any] | None = None
) -> None:
    """Run every check on a method, given by name or as a class; Violation where one fails.

    options: hyper-parameters to build it with; those of its `quick` preset when not given.
    geometry: a window to recover, or a span to predict. BadInput when the method cannot be built
    with these options for this geometry.
    """
    subject = Subject(method, geometry, quick_options(method) if options is None else options)
    for check in CHECKS:
        check(subject)
    if torch.cuda.is_available():
        check_device(subject)


def _expect(holds: bool, expected: str, found: object) -> None:
    if not holds:
        raise Violation(f"expected {expected}; found {found}")


def _expect_like(output: Tensor, given: Tensor, frames: int) -> None:
    shape = (len(given), frames, given.shape[2])
    _expect(output.shape == shape, f"shape {shape}", tuple(output.shape))
    _expect(output.dtype == given.dtype, str(given.dtype), output.dtype)


def _expect_equal(output: Tensor, expected: Tensor, what: str) -> None:
    off = "another shape" if output.shape != expected.shape else "a difference"
    _expect(torch.equal(output, expected), what, off)
