"""What every method must do, as checks that anyone can run on a method of their own.

`check_method("ridge", window)` runs all of them; each raises `Violation`, an AssertionError, with
one line on what was expected and found. Windows for the checks are made here, from a seed.
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
from bench.contracts import Fitted, Method, Recovery, Refiner, Trainable, Window

_BATCH = 5
_CLOSE = 1e-5


class Violation(AssertionError):
    """A method broke the contract."""


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
        count = len(self) if most is None else min(most, len(self))
        chosen = torch.linspace(0, len(self) - 1, count).round().long()
        for rows in torch.split(chosen, size):
            yield keyframes_of(self.detected[rows], self.window), self.truth[rows]


@dataclass(frozen=True)
class Subject:
    """What is checked: a method, its hyper-parameters and the window that it is built for."""

    method: str | type[Method]
    window: Window
    options: Mapping[str, Any] = field(default_factory=dict)

    def ready(self, seed: int = 0) -> Method:
        """A new method under a seed, as if it had learned something, in evaluation mode."""
        torch.manual_seed(seed)
        method = registry.build(self.method, self.options, self.window)
        if registry.kind(self.method) == "fitted":
            train, validation = (random_windows(self.window, 40, seed=s) for s in (1, 2))
            cast(Fitted, method).fit(train, validation)
        if isinstance(method, torch.nn.Module):
            # Away from where training starts: a network that begins as linear interpolation
            # would pass every check whatever stands behind its last layer.
            with torch.no_grad():
                for parameter in method.parameters():
                    parameter.add_(torch.randn_like(parameter), alpha=0.05)
            method.eval()
        return method


def keyframes_of(frames: Tensor, window: Window) -> Tensor:
    """(B, T, P) frames -> (B, Q+1, P) keyframes: every K-th frame, a copy."""
    return frames[:, :: window.interval].clone()


def random_windows(window: Window, count: int, seed: int) -> Windows:
    """Smooth motion of a few decimetres, detected with a bias and noise of centimetres."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 1, window.pose)
    time = torch.linspace(0, 1, window.frames)[None, :, None]
    size, speed, phase = (torch.rand(shape, generator=generator) for _ in range(3))
    truth = size * torch.sin(6 * (speed * time + phase))
    noise = torch.randn(truth.shape, generator=generator)
    return Windows(window, truth + 0.03 + 0.02 * noise, truth)


def apply(method: Method, frames: Tensor, window: Window) -> Tensor:
    """Hand a method what it may see of (B, T, P) frames, as the harness does."""
    with torch.no_grad():
        if isinstance(method, Refiner):
            return method.refine(frames.clone())
        return cast(Recovery, method).recover(keyframes_of(frames, window))


def check_options(subject: Subject) -> None:
    """Every hyper-parameter has a value, and survives being written as JSON."""
    resolved = registry.resolve_options(subject.method, subject.options)
    again = registry.resolve_options(subject.method, json.loads(json.dumps(resolved)))
    _expect(again == resolved, "options that survive JSON", f"{resolved}, then {again}")


def check_shape(subject: Subject) -> None:
    """(B, Q+1, P) becomes (B, T, P) of the same type, for one window and for several."""
    method = subject.ready()
    for count in (1, _BATCH):
        frames = random_windows(subject.window, count, seed=3).detected
        output = apply(method, frames, subject.window)
        _expect(output.shape == frames.shape, f"shape {tuple(frames.shape)}", tuple(output.shape))
        _expect(output.dtype == frames.dtype, str(frames.dtype), output.dtype)


def check_inputs_kept(subject: Subject) -> None:
    """The method changes neither the tensor that it is given nor the one it gave before."""
    method = subject.ready()
    frames = random_windows(subject.window, _BATCH, seed=3).detected
    given = frames if isinstance(method, Refiner) else keyframes_of(frames, subject.window)
    before = given.clone()
    with torch.no_grad():
        run = method.refine if isinstance(method, Refiner) else cast(Recovery, method).recover
        output = run(given)
        kept = output.clone()
        run(given + 1)
    _expect(torch.equal(given, before), "an input left as it was", "changed values")
    _expect(torch.equal(output, kept), "an output of its own for each call", "a reused one")


def check_only_keyframes(subject: Subject) -> None:
    """Frames between keyframes make no difference, even where they lie next to them in memory."""
    method = subject.ready()
    if isinstance(method, Refiner):
        return
    frames = random_windows(subject.window, _BATCH, seed=3).detected
    other = frames + 1
    other[:, :: subject.window.interval] = frames[:, :: subject.window.interval]
    recover = cast(Recovery, method).recover
    with torch.no_grad():
        first, second = (recover(x[:, :: subject.window.interval]) for x in (frames, other))
    _expect_equal(second, first, "the same output whatever lies between the keyframes")


def check_no_memory(subject: Subject) -> None:
    """What a method recovers does not depend on what it has seen since it was trained."""
    method = subject.ready()
    windows = random_windows(subject.window, _BATCH, seed=3)
    first = apply(method, windows.detected, subject.window)
    if registry.kind(subject.method) == "trainable":
        with torch.no_grad():
            keyframes = keyframes_of(windows.detected, subject.window)
            cast(Trainable, method).loss(keyframes, windows.truth)
    apply(method, windows.detected.flip(0) - 1, subject.window)
    again = apply(method, windows.detected, subject.window)
    _expect_equal(again, first, "the same output after other windows")


def check_deterministic(subject: Subject) -> None:
    """Two methods built under one seed give the same bits."""
    frames = random_windows(subject.window, _BATCH, seed=3).detected
    first, second = (apply(subject.ready(seed=7), frames, subject.window) for _ in range(2))
    _expect_equal(second, first, "the same bits under one seed")


def check_constant(subject: Subject) -> None:
    """A pose that stands still gives finite numbers, also where only such were learned from."""
    window = subject.window
    for value in (0.0, 0.3):
        still = torch.full((40, window.frames, window.pose), value)
        methods = [subject.ready()]
        if registry.kind(subject.method) == "fitted":
            unfitted = registry.build(subject.method, subject.options, window)
            cast(Fitted, unfitted).fit(Windows(window, still, still), Windows(window, still, still))
            methods.append(unfitted)
        for method in methods:
            output = apply(method, still[:_BATCH], window)
            _expect(bool(output.isfinite().all()), f"finite output for constant {value}", "NaN")


def check_batch(subject: Subject) -> None:
    """A window's output does not depend on the other windows of its batch."""
    method = subject.ready()
    frames = random_windows(subject.window, _BATCH, seed=3).detected
    together = apply(method, frames, subject.window)
    scale = float(together.abs().max()) + 1
    alone = torch.cat([apply(method, frame[None], subject.window) for frame in frames])
    changed = frames.clone()
    changed[1:] = 2 - changed[1:]
    beside = apply(method, changed, subject.window)[0]
    for output, expected, what in (
        (alone, together, "the same output for a window alone"),
        (beside, together[0], "the same output beside other windows"),
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
    windows = random_windows(subject.window, _BATCH, seed=3)
    loss = cast(Trainable, method).loss(
        keyframes_of(windows.detected, subject.window), windows.truth
    )
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
    frames = random_windows(subject.window, _BATCH, seed=3).detected
    method: Any = subject.ready()
    state = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    torch.manual_seed(99)
    other: Any = registry.build(subject.method, subject.options, subject.window)
    other.load_state_dict(state)
    if isinstance(other, torch.nn.Module):
        other.eval()
    first, second = (apply(m, frames, subject.window) for m in (method, other))
    _expect_equal(second, first, "the same output from a restored state")


def check_device(subject: Subject, device: str = "cuda") -> None:
    """Another device gives the same numbers but for rounding."""
    method: Any = subject.ready()
    frames = random_windows(subject.window, _BATCH, seed=3).detected
    here = apply(method, frames, subject.window)
    if isinstance(method, torch.nn.Module):
        method.to(device)
    there = apply(method, frames.to(device), subject.window)
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
    check_only_keyframes,
    check_no_memory,
    check_deterministic,
    check_constant,
    check_batch,
    check_gradients,
    check_state,
)


def quick_options(method: str | type[Method]) -> Mapping[str, Any]:
    """The options of a method's `quick` preset, or none: small enough to build in a test."""
    if not isinstance(method, str):
        return {}
    preset = method_config(method).presets.get("quick")
    return preset.options if preset else {}


def check_method(
    method: str | type[Method], window: Window, options: Mapping[str, Any] | None = None
) -> None:
    """Run every check on a method, given by name or as a class; Violation where one fails.

    options: hyper-parameters to build it with; those of its `quick` preset when not given.
    BadInput when it cannot be built with them for this window.
    """
    subject = Subject(method, window, quick_options(method) if options is None else options)
    for check in CHECKS:
        check(subject)
    if torch.cuda.is_available():
        check_device(subject)


def _expect(holds: bool, expected: str, found: object) -> None:
    if not holds:
        raise Violation(f"expected {expected}; found {found}")


def _expect_equal(output: Tensor, expected: Tensor, what: str) -> None:
    off = "another shape" if output.shape != expected.shape else "a difference"
    _expect(torch.equal(output, expected), what, off)
