"""Trainings that go on: what is needed to go on with one after it was interrupted.

One safetensors file each in an output folder, written to a temporary name and renamed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from bench.contracts import FOREIGN_ERRORS, BadInput
from bench.files import write_whole
from bench.weights import digest

FORMAT = 1


@dataclass(frozen=True)
class Snapshot:
    """A training at one of its steps.

    weights: the method's state; adam: the optimiser's, by `PARAMETER.FIELD`; extra: states of
    random generators and whatever else is a tensor; about: what can be written as JSON.
    """

    weights: Mapping[str, Tensor]
    adam: Mapping[str, Tensor]
    extra: Mapping[str, Tensor]
    about: Mapping[str, Any]


class Keeper(Protocol):
    """Where a training is kept while it goes on."""

    def load(self) -> Snapshot | None:
        """What was kept last; None when there is nothing that can be used."""
        ...

    def save(self, kept: Snapshot, /) -> None:
        """Keep this in place of what was kept before."""
        ...


def snapshot(
    method: nn.Module,
    optimiser: torch.optim.Optimizer,
    *,
    about: Mapping[str, Any],
    extra: Mapping[str, Tensor],
) -> Snapshot:
    """A training as it is now; its tensors are its own only until the next step."""
    adam = {
        f"{number}.{field}": value
        for number, state in optimiser.state_dict()["state"].items()
        for field, value in state.items()
    }
    return Snapshot(method.state_dict(), adam, extra, about)


def fits(kept: Snapshot, method: nn.Module) -> bool:
    """Whether this was kept of a method of the same form."""
    own = {name: (value.shape, value.dtype) for name, value in method.state_dict().items()}
    return own == {name: (value.shape, value.dtype) for name, value in kept.weights.items()}


def restore(kept: Snapshot, method: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Put weights and optimiser back as they were."""
    method.load_state_dict(kept.weights)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in kept.adam.items():
        number, _, field = name.partition(".")
        state.setdefault(int(number), {})[field] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


class Unfinished:
    """What one training keeps, `FOLDER/unfinished/KEY.safetensors`.

    name: KEY, which names all that decides what is learned; device: its type, because random
    generators of two devices differ; compiled: whether operations are fused, which rounds
    otherwise.
    """

    def __init__(self, folder: Path, name: str, device: str, *, compiled: bool = False) -> None:
        """folder: the output folder; nothing is made before something is kept."""
        self.path = folder / "unfinished" / f"{name}.safetensors"
        # A GPU's number says nothing about what it computes.
        self._made_with = {
            "format": FORMAT,
            "torch": torch.__version__,
            "device": torch.device(device).type,
            "compiled": compiled,
        }

    def load(self) -> Snapshot | None:
        """What was kept last, on the CPU; None without a whole file of this torch and device."""
        try:
            with safe_open(self.path, framework="pt") as file:
                about = json.loads(file.metadata()["about"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            made_with = about.pop("made with")
            if about.pop("digest") != digest(tensors):
                return None
        except (*FOREIGN_ERRORS, SafetensorError, MemoryError):
            return None
        if made_with != self._made_with:
            return None
        parts: dict[str, dict[str, Tensor]] = {"weights": {}, "adam": {}, "extra": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            if part not in parts:
                return None
            parts[part][rest] = tensor
        return Snapshot(**parts, about=about)

    def save(self, kept: Snapshot) -> None:
        """Keep a training; where that fails it just goes on."""
        tensors = {
            f"{part}/{name}": tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for part in ("weights", "adam", "extra")
            for name, tensor in getattr(kept, part).items()
        }
        about = json.dumps({**kept.about, "made with": self._made_with, "digest": digest(tensors)})
        try:
            write_whole(
                self.path,
                to_bytes(tensors, {"about": about}),
                what="an unfinished training",
                hint="make room",
            )
        except BadInput:
            # Only an interruption would cost something now.
            return

    def drop(self) -> None:
        """Forget it."""
        self.path.unlink(missing_ok=True)
