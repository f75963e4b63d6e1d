"""The floor: how fast the arithmetic and the memory of this machine allow something to be.

Peaks are measured, not looked up. Operations are counted from the model. The floor of a step is
the longer of two times: that of its matrix products at the peak of matrix products, and that of
its element-wise traffic at the peak of memory. A step whose parts do not overlap takes their sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional

from bench.cost import cost
from benchmarks.measuring import seconds_of, wait
from benchmarks.workloads import Workload

Arithmetic = Literal["float32", "tf32", "bfloat16"]

# Sides of the square products tried; small ones fit the caches, large ones hide the edges.
_SIDES = (128, 256, 512, 1024, 2048)
_GPU_SIDES = (2048, 4096, 8192)

# Numbers in an array that no cache holds: 256 MiB of float32.
_LARGE = 2**26

_TRIES = 5


@dataclass(frozen=True)
class Peaks:
    """What was measured: FLOP per second of matrix products, bytes per second of memory."""

    flops: float
    bandwidth: float

    @property
    def about(self) -> Mapping[str, float]:
        """What a row tells of them."""
        return {"GFLOP/s": self.flops / 1e9, "GB/s": self.bandwidth / 1e9}


def peaks(device: str = "cpu", arithmetic: Arithmetic = "float32") -> Peaks:
    """The best of several tries and sizes, with the threads of this process."""
    return Peaks(_products(device, arithmetic), _traffic(device))


def training_floor(case: Workload, peak: Peaks) -> float:
    """Seconds of a training step at the floor, whatever the batch: of one window.

    Products: forward once, backward twice. Traffic: every activation that backward needs is
    written and read once, and so is its gradient; parameters are left out, which a batch shares.
    """
    frames = case.window.frames
    products = 3 * 2 * cost("mixsynthformer", case.options, case.window).macs * frames
    return max(products / peak.flops, 4 * _activations(case) / peak.bandwidth)


def inference_floor(case: Workload, peak: Peaks) -> float:
    """Seconds of one window's matrix products at their peak."""
    return (
        2 * cost("mixsynthformer", case.options, case.window).macs * case.window.frames / peak.flops
    )


def _activations(case: Workload, batch: int = 4) -> float:
    """Bytes that the straightforward backward needs of one window, parameters left out."""
    model = case.plain().train()
    poses = torch.randn(batch, case.window.frames, case.window.pose)
    owned = {parameter.data_ptr() for parameter in model.parameters()}
    seen: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in owned:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        # Held until all is counted: a freed storage would leave its place to another one.
        loss = functional.l1_loss(model(poses), poses)
    del loss
    return sum(seen.values()) / batch


def _products(device: str, arithmetic: Arithmetic) -> float:
    kind = torch.bfloat16 if arithmetic == "bfloat16" else torch.float32
    best = 0.0
    with _tensor_cores(arithmetic == "tf32"):
        for side in _GPU_SIDES if device.startswith("cuda") else _SIDES:
            a, b = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
            out = torch.empty_like(a)
            repeat = max(1, 2**29 // side**3)

            def work(a: Tensor = a, b: Tensor = b, out: Tensor = out, repeat: int = repeat) -> None:
                for _ in range(repeat):
                    torch.mm(a, b, out=out)
                wait(device)

            work()
            once = min(seconds_of(work) for _ in range(_TRIES))
            best = max(best, 2 * side**3 * repeat / once)
    return best


def _traffic(device: str) -> float:
    """Bytes per second of a copy, and of a sum of two arrays into a third; the better one."""
    a, b, out = (torch.ones(_LARGE, device=device) for _ in range(3))

    def copy() -> None:
        out.copy_(a)
        wait(device)

    def triad() -> None:
        torch.add(a, b, alpha=0.5, out=out)
        wait(device)

    best = 0.0
    for work, arrays in ((copy, 2), (triad, 3)):
        work()
        once = min(seconds_of(work) for _ in range(_TRIES))
        best = max(best, arrays * a.nbytes / once)
    return best


@contextmanager
def _tensor_cores(allowed: bool) -> Iterator[None]:
    """Let float32 products be rounded to TF32 on a GPU, or not."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
