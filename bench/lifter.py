"""The FCN estimator (Martinez et al. 2017): 2D detections of one frame to a 3D pose, trained by us.

Input: 16 detected joints in pixels, z-scored; output: 16 joints relative to the hip in the camera
frame, millimetres, z-scored. Linear to the width; two residual blocks of two (linear, batch norm,
ReLU, dropout); linear out. Kaiming init, every unit's weights clipped to norm 1 in the
forward pass, Adam with exponential decay.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from bench.contracts import FOREIGN_ERRORS, BadInput
from bench.data.placing import Placing, Scene
from bench.files import write_whole

Progress = Callable[[int, int, str], None]

JOINTS = 16
# About so many frames tell means and deviations.
_STANDARD = 100_000
IMAGE_WIDTH = 1000.0

# Left and right exchanged: the detector's order, and h36m-17 without the hip.
_MIRROR_INPUT = (5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10)
_MIRROR_OUTPUT = (3, 4, 5, 0, 1, 2, 6, 7, 8, 9, 13, 14, 15, 10, 11, 12)


@dataclass(frozen=True)
class LifterConfig:
    """How a lifter is built and trained.

    Every epoch sees one frame of each `stride` neighbours (which one is drawn anew); the rate
    falls exponentially from `lr` to `lr * final` over all steps of `epochs`. again: the rate then
    rises to `lr` once more and falls over so many epochs (a warm restart, Loshchilov and Hutter
    2017). mirror: half of every batch is
    seen with left and right exchanged, and so is every frame that is lifted, whose pose is the
    mean of both. turned, degrees, shift, scale: how people are placed elsewhere in the room while
    training, see `bench.data.placing.Placing`. The original has neither, but had no need to spare
    subjects for validation.
    """

    width: int = 1024
    blocks: int = 2
    dropout: float = 0.5
    batch: int = 64
    lr: float = 1e-3
    final: float = 0.02
    epochs: int = 200
    again: int = 0
    stride: int = 1
    mirror: bool = True
    turned: float = 0.0
    degrees: float = 0.0
    shift: float = 0.0
    scale: float = 0.0
    seed: int = 0

    @property
    def placing(self) -> Placing:
        """How people are placed elsewhere in the room."""
        return Placing(self.turned, self.degrees, self.shift, self.scale)


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
    """A linear layer whose units have incoming weights of norm 1 at most (max-norm)."""

    def reset_parameters(self) -> None:
        nn.init.kaiming_normal_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        # A factor on a unit's product is the same as one on its weights, with fewer operations.
        scale = 1 / self.weight.norm(dim=1).clamp(min=1)
        return torch.addcmul(self.bias, x @ self.weight.T, scale)


class Lifter(nn.Module):
    """(B, 16, 2) pixels -> (B, 16, 3) millimetres relative to the hip, camera frame."""

    input_mean: Tensor
    input_std: Tensor
    output_mean: Tensor
    output_std: Tensor

    def __init__(self, config: LifterConfig) -> None:
        super().__init__()
        self.mirror = config.mirror
        width = config.width
        self.first = _Layer(JOINTS * 2, width, config.dropout)
        self.blocks = nn.ModuleList(
            nn.Sequential(*(_Layer(width, width, config.dropout) for _ in range(2)))
            for _ in range(config.blocks)
        )
        self.last = _ClippedLinear(width, JOINTS * 3)
        # A start near the mean pose saves the first epochs.
        nn.init.normal_(self.last.weight, std=1e-3)
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
    scene: Scene,
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress = lambda _done, _all, _text: None,
) -> Lifter:
    """Train a lifter on the detections and poses of a scene.

    checkpoint: a file that receives the state after every epoch; an interrupted training goes on
    from it, to the same numbers as an uninterrupted one. progress: called with (epochs done, all
    epochs, text).
    """
    torch.manual_seed(config.seed)
    model = Lifter(config).to(device)
    frames = len(scene.pixels)
    samples = frames // config.stride
    if samples < 2:
        raise BadInput("too few frames to train a lifter", found=frames)
    scene = scene.to(device)
    seen = torch.arange(0, frames, max(frames // _STANDARD, 1), device=device)
    pixels, poses = scene.placed(seen, config.placing)
    model.standardise(pixels, poses[:, 1:])
    optimiser = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
    batch = min(config.batch, samples)
    steps = samples // batch
    first = _resume(checkpoint, config, model, optimiser)
    (group,) = optimiser.param_groups
    epochs = config.epochs + config.again
    began = time.perf_counter()
    for epoch in range(first, epochs):
        if epoch == config.epochs:
            group["lr"] = config.lr
        cycle = config.epochs if epoch < config.epochs else config.again
        fall = config.final ** (1 / (steps * cycle))
        # Every epoch has its own seed, so that a resumed training draws what it would have drawn.
        torch.manual_seed(config.seed * 100_003 + epoch + 1)
        phase = torch.randint(config.stride, (samples,))
        order = torch.randperm(samples)
        chosen = (order * config.stride + phase)[: steps * batch].view(steps, batch).to(device)
        model.train()
        total = torch.zeros((), device=device)
        for index in chosen:
            x, y = scene.placed(index, config.placing)
            y = y[:, 1:]
            if config.mirror:
                half = len(index) // 2
                x = torch.cat([x[:half], _mirror(x[half:], _MIRROR_INPUT, IMAGE_WIDTH)])
                y = torch.cat([y[:half], _mirror(y[half:], _MIRROR_OUTPUT, 0.0)])
            wanted = (y.flatten(1) - model.output_mean) / model.output_std
            loss = nn.functional.mse_loss(model.score(x), wanted)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            group["lr"] *= fall
            total += loss.detach()
        if not torch.isfinite(total):
            raise BadInput("the lifter's training diverged", found=f"loss {total.item()}")
        if checkpoint is not None:
            _save(checkpoint, config, model, optimiser, epoch + 1)
        left = (time.perf_counter() - began) / (epoch + 1 - first) * (epochs - epoch - 1)
        text = f"loss {total.item() / steps:.4f}, about {left / 60:.1f} min left"
        progress(epoch + 1, epochs, text)
    return model.eval()


@torch.no_grad()
def lift(model: Lifter, pixels: NDArray[np.float32], device: str = "cpu") -> NDArray[np.float32]:
    """Detections (N, 16, 2) px -> poses (N, 16, 3) in metres relative to the hip."""
    model = model.eval().to(device)
    parts = []
    for part in torch.split(torch.from_numpy(pixels).to(device), 16384):
        poses = model(part)
        if model.mirror:
            other = model(_mirror(part, _MIRROR_INPUT, IMAGE_WIDTH))
            poses = (poses + _mirror(other, _MIRROR_OUTPUT, 0.0)) / 2
        parts.append(poses.cpu())
    metres: NDArray[np.float32] = (torch.cat(parts) / 1000).numpy()
    return metres


def _resume(
    file: Path | None,
    config: LifterConfig,
    model: Lifter,
    optimiser: torch.optim.Optimizer,
) -> int:
    """Put a stored state back; the number of epochs it has seen, 0 without a usable one."""
    if file is None or not file.is_file():
        return 0
    before = copy.deepcopy((model.state_dict(), optimiser.state_dict()))
    try:
        return _restored(load_file(file), config, model, optimiser)
    except (*FOREIGN_ERRORS, SafetensorError, MemoryError):
        # Damaged, in whatever way: what it had changed is put back.
        model.load_state_dict(before[0])
        optimiser.load_state_dict(before[1])
        return 0


def _restored(
    state: dict[str, Tensor],
    config: LifterConfig,
    model: Lifter,
    optimiser: torch.optim.Optimizer,
) -> int:
    """As `_resume`, from the tensors of a file; raises whatever they lead to when damaged."""
    if state.pop("config", torch.empty(0)).tolist() != _digest(config).tolist():
        return 0
    epoch = int(state.pop("epoch"))
    own = optimiser.state_dict()
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    own["state"] = {
        i: {key: state.pop(f"adam.{i}.{key}") for key in ("step", "exp_avg", "exp_avg_sq")}
        for i in range(len(parameters))
    }
    for i, parameter in enumerate(parameters):
        if any(own["state"][i][key].shape != parameter.shape for key in ("exp_avg", "exp_avg_sq")):
            raise ValueError("moments of another model")
    own["param_groups"][0]["lr"] = float(state.pop("lr"))
    model.load_state_dict({k.removeprefix("model."): v for k, v in state.items()})
    optimiser.load_state_dict(own)
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
    hint = "make room; the same command goes on from the epoch before"
    write_whole(file, to_bytes(state), what="the lifter's checkpoint", hint=hint)


def _mirror(points: Tensor, order: Sequence[int], width: float) -> Tensor:
    """Points (B, J, D) with left and right exchanged, x counted from the other side."""
    other = points[:, list(order)]
    return torch.cat([width - other[..., :1], other[..., 1:]], dim=-1)


def _digest(config: LifterConfig) -> Tensor:
    """The configuration as numbers, to recognise a checkpoint of another one."""
    return torch.tensor([float(value) for value in asdict(config).values()], dtype=torch.float64)
