"""The SMPL body: joint rotations and a shape in, vertices and the joints that are scored out.

Axes: F frames, V vertices, 24 joints of `smpl-24`, 14 joints of `body-14`, S = 10 numbers of a
shape. Metres, the body where its model has it: nothing is known here of its place in the room.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.contracts import BadInput
from bench.data.clips import BODY_SHAPE, Array
from bench.data.rotations import sixd_to_matrix
from bench.data.skeletons import BODY_14, SMPL_24

JOINTS = len(SMPL_24.joints)
# Numbers that a pose bends the vertices by: the matrices of all joints but the first.
BENDS = 9 * (JOINTS - 1)

# Frames per batch: some 150 MB for the 6890 vertices of SMPL.
_CHUNK = 64

# All scored joints but the last, the top of the head, are joints that turn (spec 3.1).
_TURNING = [SMPL_24.joints.index(name) for name in BODY_14.joints[:-1]]


@dataclass(frozen=True, eq=False)
class BodyModel:
    """What makes a body of rotations, float32; all are linear maps from or to the vertices.

    template: (V, 3) the body at rest, m; shape_basis: (V, 3, S), how each number of a shape moves
    it; pose_basis: (9 * 23, V * 3), how each number of the joints' matrices less the identity
    does; regressor: (24, V), joints at rest from vertices; weights: (V, 24), how far each joint
    turns a vertex; headtop: (V,), the top of the head from vertices; parents: (24,) whole numbers,
    -1 for the first.
    """

    template: Array
    shape_basis: Array
    pose_basis: Array
    regressor: Array
    weights: Array
    headtop: Array
    parents: tuple[int, ...]

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that change with any number of the model."""
        digest = hashlib.sha256(str(self.parents).encode())
        for array in self.arrays().values():
            digest.update(np.ascontiguousarray(array, np.float32).data)
        return digest.hexdigest()[:16]

    def arrays(self) -> dict[str, Array]:
        """Everything but the parents, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "parents"}


class Shapes(NamedTuple):
    """The bodies that rotations are of: a model, and (F, S) shapes of prediction and truth.

    device: where bodies are computed.
    """

    model: BodyModel
    prediction: Array
    truth: Array
    device: str = "cpu"


def check_model(model: BodyModel, file: object = None) -> None:
    """Raise BadInput unless the arrays of a model fit each other and are finite."""
    count = len(model.template)
    expected = {
        "template": (count, 3),
        "shape_basis": (count, 3, BODY_SHAPE),
        "pose_basis": (BENDS, count * 3),
        "regressor": (JOINTS, count),
        "weights": (count, JOINTS),
        "headtop": (count,),
    }
    for name, array in model.arrays().items():
        if array.shape != expected[name] or array.dtype != np.float32:
            raise BadInput(
                f"the body model's {name} has the wrong shape",
                file=file,
                found=f"{array.shape} {array.dtype}",
                expected=f"{expected[name]} float32",
            )
        if not np.isfinite(array).all():
            raise BadInput(f"the body model's {name} is not finite", file=file)
    ordered = all(0 <= parent < joint for joint, parent in enumerate(model.parents) if joint)
    if len(model.parents) != JOINTS or model.parents[0] != -1 or not ordered:
        raise BadInput(
            "the body model's joints are in another order",
            file=file,
            found=model.parents,
            expected=f"{JOINTS} joints, each after its parent",
        )


def pose(
    model: BodyModel, rotations: NDArray[Any], shapes: NDArray[Any], device: str = "cpu"
) -> tuple[Array, Array]:
    """Vertices (F, V, 3) and the 14 scored joints (F, 14, 3) of bodies, m, float32.

    rotations: (F, 24, 6), made orthonormal here; shapes: (F, S). NaN in a frame's rotations or
    shape makes the frame NaN. Memory grows with F * V: see `chunks`. Source: spec 3.1; linear
    blend skinning by `smplx` (BadInput without that package).
    """
    import torch

    lbs = skinning()
    matrices = sixd_to_matrix(rotations).astype(np.float32)

    def there(array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    vertices, joints = lbs(
        there(np.asarray(shapes, np.float32)),
        there(matrices),
        there(model.template),
        there(model.shape_basis),
        there(model.pose_basis),
        there(model.regressor),
        torch.tensor(model.parents, device=device),
        there(model.weights),
        pose2rot=False,
    )
    top = torch.einsum("fvd,v->fd", vertices, there(model.headtop))
    scored = torch.cat([joints[:, _TURNING], top[:, None]], dim=1)
    return vertices.cpu().numpy(), scored.cpu().numpy()


def chunks(frames: int) -> Iterator[slice]:
    """The frames of a clip in parts whose vertices fit into memory."""
    for start in range(0, frames, _CHUNK):
        yield slice(start, start + _CHUNK)


def skinning() -> Any:
    """The function `lbs` of smplx, which is an extra and takes a second; BadInput without it."""
    try:
        return import_module("smplx.lbs").lbs
    except ImportError as error:
        raise BadInput(
            "bodies need the package smplx",
            found=repr(error),
            hint="install it: pip install smplx, or take the body model away",
        ) from error
