"""Weights as MLflow shows them: the safetensors file, and an MLmodel file with their signature.

No pickle and no code: the file says what goes in and what comes out, and what loads it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import bench
from bench import config, registry
from bench.contracts import BadInput
from bench.data.clips import DIMS
from bench.data.skeletons import SKELETONS
from bench.results import Cell

FLAVOR = "bench"
"""The name of what loads such a model; MLflow has none of its own for it."""


def shapes(cell: Cell) -> tuple[tuple[str, int, int], tuple[str, int, int]]:
    """What a cell's method takes and gives: name, frames and values of a pose, less the batch.

    (Q+1, P) keyframes -> (T, P) window, for a refiner (T, P) -> (T, P), for prediction
    (H, P) history -> (F, P) future. BadInput for a method or a dataset that is not known here.
    """
    about = config.dataset_config(cell.dataset)
    pose = len(SKELETONS[about.skeleton].joints) * DIMS[about.space]
    if "history" in cell.geometry:
        history, future = cell.geometry["history"], cell.geometry["future"]
        return ("history", history, pose), ("future", future, pose)
    intervals = cell.geometry["intervals"]
    frames = cell.geometry["interval"] * intervals + 1
    if registry.sees(cell.method) == "frames":
        return ("frames", frames, pose), ("window", frames, pose)
    return ("keyframes", intervals + 1, pose), ("window", frames, pose)


def write(folder: Path, cell: Cell, weights: Path) -> None:
    """Put the weights of a cell and their MLmodel into a folder, which is there and empty.

    Without the MLmodel where the shapes cannot be told.
    """
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    shutil.copyfile(weights, folder / weights.name)
    try:
        given, wanted = shapes(cell)
    except BadInput:
        return

    def schema(name: str, frames: int, pose: int) -> Schema:
        return Schema([TensorSpec(np.dtype(np.float32), (-1, frames, pose), name)])

    signature = ModelSignature(schema(*given), schema(*wanted))
    said = {
        "weights": weights.name,
        "method": cell.method,
        "options": dict(cell.options),
        "geometry": dict(cell.geometry),
        "dataset": cell.dataset,
        "bench_version": bench.__version__,
        "load": "bench.weights.Weights(OUT).load(cell), or safetensors.torch.load_file(FILE); "
        "then bench.registry.build(method, options, geometry).load_state_dict(...)",
    }
    Model(signature=signature, flavors={FLAVOR: said}).save(str(folder / "MLmodel"))
