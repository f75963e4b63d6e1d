"""Trained weights in an output folder: one safetensors file for each training.

Written to a temporary name and renamed, like results; no pickle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from bench.contracts import FOREIGN_ERRORS
from bench.files import write_whole
from bench.results import Cell


def digest(state: Mapping[str, Tensor]) -> str:
    """16 hexadecimal digits that change with any name, type, shape or number of a state dict."""
    found = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        found.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()[:16]


class Weights:
    """The weights of one output folder, `FOLDER/weights/KEY.safetensors`.

    KEY is the cell's `training_key`: cells that only differ in how they are scored share a file.
    """

    def __init__(self, folder: Path) -> None:
        """folder: the output folder; nothing is made before something is saved."""
        self.folder = folder / "weights"

    def path(self, cell: Cell) -> Path:
        """Where the cell's weights lie."""
        return self.folder / f"{cell.training_key}.safetensors"

    def save(self, cell: Cell, state: Mapping[str, Tensor], about: Mapping[str, Any]) -> Path:
        """Store weights so that a kill at any instant leaves the old file or the new one.

        state: tensors by name, wherever they lie in memory; about: what can be written as JSON
        (curve, what was chosen, where they were learned). BadInput when the folder cannot be
        written.
        """
        # One memory for each tensor: the format knows neither views nor tied weights.
        own = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in state.items()
        }
        content = to_bytes(own, {"about": json.dumps(about, sort_keys=True), "digest": digest(own)})
        path = self.path(cell)
        write_whole(
            path,
            content,
            what="the weights",
            hint="make room, or choose another folder with --out",
        )
        return path

    def load(
        self, cell: Cell, say: Callable[[str], None] = lambda _line: None
    ) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The weights, on the CPU, and what was said about them.

        None when there are none or their file is damaged, be it in a single number. say: receives
        one line about a file that is: which one and what is wrong with it.
        """
        path = self.path(cell)
        if not path.is_file():
            return None
        try:
            # The file may be replaced while its tensors are in use, but not what was opened.
            with safe_open(path, framework="pt") as file:
                said = file.metadata()
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = json.loads(said["about"])
            if not isinstance(about, dict) or said["digest"] != digest(state):
                raise ValueError("another digest")
        except (*FOREIGN_ERRORS, SafetensorError, MemoryError) as error:
            say(f"{path}: the weights are damaged; found {error!r}; they count as absent")
            return None
        return state, about
