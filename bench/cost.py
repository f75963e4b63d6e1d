"""What a method costs: its parameters, and the multiply-accumulates (MACs) of one frame.

MACs are counted twice. As published: what thop 0.0.31, the version behind the paper's Tables 1, 2,
5 and 6, saw of a model, its modules for linear maps, convolutions and average pooling (spec 1.6,
2.3). Complete: every product of every matrix product, convolution and attention that runs, whoever
calls it. The difference is mostly attention. Element-wise operations are in neither.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.backends import mkldnn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench import registry
from bench.checks import Subject
from bench.contracts import Fitted, Geometry, Method, Window

_POOLS = (
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
)
_CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)

# Enough for a fit in closed form to be of full size; what it learns does not matter.
_FIT_SAMPLES = 16


@dataclass(frozen=True)
class Cost:
    """The cost of a method for one geometry.

    parameters: in all, as published tables count them, with weights that are never used; of a
    fitted method, the numbers that its fit finds; live: without the weights that are never used;
    macs_published: MACs per frame as published, None where the method is no `torch.nn.Module` or
    predicts: no cost of prediction is published; macs: MACs per frame, complete. A frame is one
    of the window's T, or one of the F predicted.
    """

    parameters: int
    live: int
    macs_published: float | None
    macs: float

    @property
    def by_metric(self) -> dict[str, float]:
        """What is known, by the names of `bench.metrics.COSTS`."""
        said = {
            "parameters": self.parameters,
            "live": self.live,
            "macs-published": self.macs_published,
            "macs": self.macs,
        }
        return {name: float(value) for name, value in said.items() if value is not None}


def cost(method: str | type[Method], options: Mapping[str, Any], geometry: Geometry) -> Cost:
    """What a method with these options costs, from one forward pass of one window on the CPU.

    Nothing is trained; a fitted method is fitted to a few random windows, for its sizes. No random
    number is drawn from the caller's generators. BadInput as in `registry.build`.
    """
    said = registry.resolve_options(method, options)
    return _cost(registry.method_class(method), json.dumps(said, sort_keys=True), geometry)


def estimator_cost(gflops: float, interval: int) -> float:
    """G operations per frame of an estimator that sees every K-th frame (paper Eq. 15).

    gflops: of one frame, as published (spec 3.5); interval: K. The paper adds the refiner's,
    which are MACs: `estimator_cost(4.13, 10) + cost.macs / 1e9`.
    """
    return gflops / interval


@lru_cache(maxsize=256)
def _cost(cls: type[Method], options: str, geometry: Geometry) -> Cost:
    # Seeding all of torch would seed the generators of GPUs as well. Both counters use something
    # that warns of its age.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.default_generator.manual_seed(0)
        subject = Subject(cls, geometry, json.loads(options))
        method = subject.build()
        if isinstance(method, Fitted):
            pairs = subject.pairs(*subject.clips(_FIT_SAMPLES))
            method.fit(pairs, pairs)
        run = partial(subject.apply, method)
        given = subject.seen(subject.clips(1)[0]).clone()
        seen = None
        if isinstance(method, nn.Module):
            method.eval()
        macs = _products(run, given)
        if isinstance(method, nn.Module) and isinstance(geometry, Window):
            seen = _seen_by_thop(method, run, given)
    sizes = _sizes(method)
    dead: Collection[str] = getattr(method, "dead_parameters", ())
    frames = geometry.frames if isinstance(geometry, Window) else geometry.future
    return Cost(
        parameters=sum(sizes.values()),
        live=sum(size for name, size in sizes.items() if name not in dead),
        macs_published=None if seen is None else seen / frames,
        macs=macs / frames,
    )


def _sizes(method: Any) -> dict[str, int]:
    """How many numbers each learned tensor has, by name."""
    if isinstance(method, nn.Module):
        return {name: tensor.numel() for name, tensor in method.named_parameters()}
    if isinstance(method, Fitted):
        return {name: tensor.numel() for name, tensor in method.state_dict().items()}
    return {}


def _products(run: Callable[[Tensor], Tensor], given: Tensor) -> int:
    """The products of one run: those of every operation that contracts an axis."""
    counter = FlopCounterMode(display=False, custom_mapping=_VECTOR_PRODUCTS)
    with _one_by_one(), counter:
        run(given)
    # FLOPs are two for each product.
    return counter.get_total_flops() // 2


@contextmanager
def _one_by_one() -> Iterator[None]:
    """Nothing fused: attention and recurrent layers run as the products they are made of."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), mkldnn.flags(enabled=False):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _matrix_vector(matrix: tuple[int, ...], *_: Any, **__: Any) -> int:
    return 2 * math.prod(matrix)


def _add_matrix_vector(_: Any, matrix: tuple[int, ...], *__: Any, **___: Any) -> int:
    return 2 * math.prod(matrix)


# What torch's own counter leaves out.
_VECTOR_PRODUCTS = {
    torch.ops.aten.mv: _matrix_vector,
    torch.ops.aten.dot: _matrix_vector,
    torch.ops.aten.vdot: _matrix_vector,
    torch.ops.aten.addmv: _add_matrix_vector,
}


class _Called(nn.Module):
    """A method as the module with a `forward` that thop wants."""

    def __init__(self, method: nn.Module, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.method = method
        self._run = run

    def forward(self, given: Tensor) -> Tensor:
        return self._run(given)


def _seen_by_thop(method: nn.Module, run: Callable[[Tensor], Tensor], given: Tensor) -> float:
    """What thop 0.0.31 counted of one run; leaves buffers in the method."""
    from thop import profile
    from thop.profile import register_hooks

    rules = {
        **{kind: _nothing for kind in register_hooks if kind not in (nn.Linear, *_POOLS)},
        **dict.fromkeys(_CONVOLUTIONS, _convolution),
    }
    macs, _ = profile(_Called(method, run), (given,), custom_ops=rules, verbose=False)
    return float(macs)


def _nothing(*_: Any) -> None:
    """Published counts hold nothing of normalisation, softmax and activations."""


def _convolution(module: Any, _: Any, output: Tensor) -> None:
    """Unlike linear maps, convolutions were counted with their biases; later versions do not."""
    inner = module.in_channels // module.groups * math.prod(module.kernel_size)
    module.total_ops += output.numel() * (inner + (module.bias is not None))
