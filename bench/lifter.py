"""The FCN estimator (Martinez et al. 2017): 2D detections of one frame to a 3D pose, trained by us.

Input: 16 detected joints in pixels, z-scored; output: 16 joints relative to the hip in the camera
frame, millimetres, z-scored. Linear to the width; two residual blocks of two (linear, batch norm,
ReLU, dropout); linear out. Kaiming init, every weight matrix clipped to norm 1 in the forward
pass, Adam with exponential decay.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.contracts import BadInput

Progress = Callable[[int, int, str], None]

JOINTS = 16


@dataclass(frozen=True)
class LifterConfig:
    """How a lifter is built and trained.

    Every epoch sees one frame of each `stride` neighbours (which one is drawn anew); the rate
    falls exponentially from `lr` to `lr * final` over all steps.
    """

    width: int = 1024
    blocks: int = 2
    dropout: float = 0.5
    batch: int = 64
    lr: float = 1e-3
    final: float = 0.02
    epochs: int = 200
    stride: int = 1
    seed: int = 0


class _Layer(nn.Module):
    """Linear (clipped to norm 1), batch norm, ReLU, dropout."""

    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.linear = _ClippedLinear(inputs, width)
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.dropout(torch.relu(self.norm(self.linear(x))))
        return out


class _ClippedLinear(nn.Linear):
    """A linear layer whose weight matrix has at most norm 1 when it is used."""

    def reset_parameters(self) -> None:
        nn.init.kaiming_normal_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        # A scalar on the product is the same as one on the matrix, and far fewer multiplications.
        scale = 1 / self.weight.norm().clamp(min=1)
        return torch.addcmul(self.bias, x @ self.weight.T, scale)


class Lifter(nn.Module):
    """(B, 16, 2) pixels -> (B, 16, 3) millimetres relative to the hip, camera frame."""

    input_mean: Tensor
    input_std: Tensor
    output_mean: Tensor
    output_std: Tensor

    def __init__(self, config: LifterConfig) -> None:
        super().__init__()
        width = config.width
        self.first = _Layer(JOINTS * 2, width, config.dropout)
        self.blocks = nn.ModuleList(
            nn.Sequential(*(_Layer(width, width, config.dropout) for _ in range(2)))
            for _ in range(config.blocks)
        )
        self.last = _ClippedLinear(width, JOINTS * 3)
        for name, size in (("input", JOINTS * 2), ("output", JOINTS * 3)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))

    def standardise(self, pixels: Tensor, poses: Tensor) -> None:
        """Take means and deviations from training data (N, 16, 2) and (N, 16, 3)."""
        for name, values in (("input", pixels), ("output", poses)):
            flat = values.flatten(1).double()
            getattr(self, f"{name}_mean").copy_(flat.mean(0))
            getattr(self, f"{name}_std").copy_(flat.std(0).clamp(min=1e-6))

    def score(self, pixels: Tensor) -> Tensor:
        """(B, 16, 2) pixels -> (B, 48) z-scored poses."""
        x = self.first((pixels.flatten(1) - self.input_mean) / self.input_std)
        for block in self.blocks:
            x = x + block(x)
        out: Tensor = self.last(x)
        return out

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 16, 2) pixels -> (B, 16, 3) millimetres relative to the hip."""
        return (self.score(pixels) * self.output_std + self.output_mean).view(-1, JOINTS, 3)


def train(
    config: LifterConfig,
    pixels: NDArray[np.float32],
    poses: NDArray[np.float32],
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress = lambda _done, _all, _text: None,
) -> Lifter:
    """Train a lifter on (N, 16, 2) pixels and (N, 16, 3) millimetres relative to the hip.

    checkpoint: a file that receives the state after every epoch; an interrupted training goes on
    from it, to the same numbers as an uninterrupted one. progress: called with (epochs done, all
    epochs, text).
    """
    torch.manual_seed(config.seed)
    model = Lifter(config).to(device)
    inputs, targets = torch.from_numpy(pixels), torch.from_numpy(poses)
    model.standardise(inputs, targets)
    inputs = inputs.to(device)
    targets = ((targets.flatten(1).to(device) - model.output_mean) / model.output_std).float()

    optimiser = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
    samples = len(inputs) // config.stride
    if samples < 2:
        raise BadInput("too few frames to train a lifter", found=len(inputs))
    batch = min(config.batch, samples)
    steps = samples // batch
    schedule = torch.optim.lr_scheduler.ExponentialLR(
        optimiser, config.final ** (1 / (steps * config.epochs))
    )
    first = _resume(checkpoint, config, model, optimiser, schedule)
    began = time.perf_counter()
    for epoch in range(first, config.epochs):
        # Every epoch has its own seed, so that a resumed training draws what it would have drawn.
        torch.manual_seed(config.seed * 100_003 + epoch + 1)
        phase = torch.randint(config.stride, (samples,))
        order = torch.randperm(samples)
        chosen = (order * config.stride + phase)[: steps * batch].view(steps, batch).to(device)
        model.train()
        total = torch.zeros((), device=device)
        for index in chosen:
            loss = nn.functional.mse_loss(model.score(inputs[index]), targets[index])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += loss.detach()
        if not torch.isfinite(total):
            raise BadInput("the lifter's training diverged", found=f"loss {total.item()}")
        if checkpoint is not None:
            _save(checkpoint, config, model, optimiser, epoch + 1)
        left = (time.perf_counter() - began) / (epoch + 1 - first) * (config.epochs - epoch - 1)
        text = f"loss {total.item() / steps:.4f}, about {left / 60:.1f} min left"
        progress(epoch + 1, config.epochs, text)
    return model.eval()


@torch.no_grad()
def lift(model: Lifter, pixels: NDArray[np.float32], device: str = "cpu") -> NDArray[np.float32]:
    """Detections (N, 16, 2) px -> poses (N, 16, 3) in metres relative to the hip."""
    model = model.eval().to(device)
    parts = [model(part.to(device)).cpu() for part in torch.split(torch.from_numpy(pixels), 16384)]
    metres: NDArray[np.float32] = (torch.cat(parts) / 1000).numpy()
    return metres


def _resume(
    file: Path | None,
    config: LifterConfig,
    model: Lifter,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> int:
    """Put a stored state back; the number of epochs it has seen, 0 without a usable one."""
    if file is None or not file.is_file():
        return 0
    try:
        state = load_file(file)
    except (SafetensorError, OSError):
        return 0
    if not torch.equal(state.pop("config"), _digest(config)):
        return 0
    epoch = int(state.pop("epoch"))
    own = optimiser.state_dict()
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    own["state"] = {
        i: {key: state.pop(f"adam.{i}.{key}") for key in ("step", "exp_avg", "exp_avg_sq")}
        for i in range(len(parameters))
    }
    own["param_groups"][0]["lr"] = float(state.pop("lr"))
    model.load_state_dict({k.removeprefix("model."): v for k, v in state.items()})
    optimiser.load_state_dict(own)
    schedule.last_epoch = int(own["state"][0]["step"])
    return epoch


def _save(
    file: Path,
    config: LifterConfig,
    model: Lifter,
    optimiser: torch.optim.Optimizer,
    epoch: int,
) -> None:
    state = {f"model.{key}": value.contiguous() for key, value in model.state_dict().items()}
    for i, entry in optimiser.state_dict()["state"].items():
        state |= {f"adam.{i}.{key}": torch.as_tensor(value).clone() for key, value in entry.items()}
    state["epoch"] = torch.tensor(epoch)
    state["lr"] = torch.tensor(optimiser.param_groups[0]["lr"], dtype=torch.float64)
    state["config"] = _digest(config)
    temporary = file.with_suffix(".tmp")
    save_file(state, temporary)
    temporary.replace(file)


def _digest(config: LifterConfig) -> Tensor:
    """The configuration as numbers, to recognise a checkpoint of another one."""
    return torch.tensor([float(value) for value in asdict(config).values()], dtype=torch.float64)
