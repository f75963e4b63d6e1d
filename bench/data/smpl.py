"""Files of the SMPL body model: found, read, never unpickled (docs/data.md).

A folder holds `SMPL_NEUTRAL.npz` or `SMPL_NEUTRAL.pkl` and `J_regressor_extra.npy`. The official
file is a pickle of arrays, a sparse matrix of SciPy and arrays wrapped by chumpy; here those two
are replaced by stubs that keep plain attributes, and everything else is refused.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from bench.contracts import BadInput
from bench.data.body import BodyModel, check_model, skinning
from bench.data.clips import BODY_SHAPE
from bench.data.npz import ArrayPickle, RefusedError, Stub, guarded, read_npy, read_npz

_MODELS = ("SMPL_NEUTRAL.npz", "SMPL_NEUTRAL.pkl")
_EXTRA = "J_regressor_extra.npy"
# The row of the extra regressor that gives the top of the head: joint 48 of 24 turning joints, 21
# chosen vertices and these (spec 3.1, index 38 of the 49).
_HEADTOP = 3
_KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
# The attributes of a sparse matrix stored by columns, and the most numbers it may stand for.
_CSC = ("data", "indices", "indptr")
_LARGEST_DENSE = 1 << 24
_HINT = "docs/data.md says what the SMPL body model is and how to convert it"


def find(roots: Sequence[Path]) -> Path | None:
    """The folder with the body model: BENCH_SMPL, else `smpl/` in the first root that has it.

    BadInput when that folder does not hold it.
    """
    own = os.environ.get("BENCH_SMPL")
    folder = Path(own) if own else next((r / "smpl" for r in roots if (r / "smpl").is_dir()), None)
    if folder is not None:
        files(folder)
    return folder


def files(folder: Path) -> tuple[Path, Path]:
    """The model's file and the extra regressor's; BadInput when one is not there."""
    model = next((folder / name for name in _MODELS if (folder / name).is_file()), None)
    if model is None:
        raise BadInput(
            "no SMPL body model in this folder",
            file=folder,
            expected=" or ".join(_MODELS),
            hint=_HINT,
        )
    if not (folder / _EXTRA).is_file():
        raise BadInput("no such file", file=folder / _EXTRA, hint=_HINT)
    return model, folder / _EXTRA


def read(folder: Path) -> BodyModel:
    """The neutral body of a folder; BadInput names the file and array that does not fit.

    Also BadInput without the package that poses it, before anything is computed.
    """
    skinning()
    file, extra = files(folder)
    with guarded(file, _HINT):
        return _model(file, extra)


def _model(file: Path, extra: Path) -> BodyModel:
    """What `read` does; what does not fit may also show as an error of NumPy's."""
    found = read_npz(file, _KEYS) if file.suffix == ".npz" else _read_pickle(file)
    for key in _KEYS:
        if key not in found:
            raise BadInput(f"no key '{key}'", file=file, found=", ".join(found), hint=_HINT)
        if found[key].dtype.kind not in "biuf":
            raise BadInput(f"key '{key}' holds no numbers", file=file, hint=_HINT)
    bends, basis, tree = found["posedirs"], found["shapedirs"], found["kintree_table"]
    if bends.ndim != 3 or basis.ndim != 3 or tree.ndim != 2:
        raise BadInput(
            "the arrays of the body model have the wrong shape",
            file=file,
            found=f"posedirs {bends.shape}, shapedirs {basis.shape}, kintree_table {tree.shape}",
            expected="(V, 3, 207), (V, 3, 10) and (2, 24)",
            hint=_HINT,
        )
    rows = read_npy(extra)
    if rows.ndim != 2 or len(rows) <= _HEADTOP or rows.dtype.kind not in "biuf":
        raise BadInput(
            "no regressor of joints from vertices",
            file=extra,
            found=f"{rows.shape} {rows.dtype}",
            expected="(9, 6890) numbers",
            hint=_HINT,
        )
    model = BodyModel(
        template=_floats(found["v_template"]),
        shape_basis=_floats(basis[..., :BODY_SHAPE]),
        pose_basis=_floats(bends.reshape(-1, bends.shape[-1]).T),
        regressor=_floats(found["J_regressor"]),
        weights=_floats(found["weights"]),
        headtop=_floats(rows[_HEADTOP]),
        # The first joint's parent is written as the largest unsigned number.
        parents=(-1, *(int(parent) for parent in tree[0, 1:])),
    )
    check_model(model, file)
    return model


def _floats(array: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(array, np.float32)


class _Parts:
    """Stands in for an object while a pickle is read: its attributes, and nothing it could do."""

    parts: Mapping[str, object] = MappingProxyType({})

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict):
            raise RefusedError(f"a {type(self).__name__} of another kind")
        self.parts = state


class _Sparse(_Parts):
    """Stands in for a sparse matrix stored by columns."""


class _Wrapped(_Parts):
    """Stands in for an array in the wrapping of chumpy, which has it as attribute `x`."""


class _ModelPickle(ArrayPickle):
    """Rebuilds the arrays of a dictionary."""

    # What dictionaries and the oldest, written form of pickles add: all of them make plain data.
    opcodes = ArrayPickle.opcodes | {
        "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "STRING", "UNICODE", "INT", "LONG", "FLOAT",
        "GET", "PUT", "EMPTY_SET", "ADDITEMS",
    }  # fmt: skip

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        for module in ("copy_reg", "copyreg"):
            self.stubs[module, "_reconstructor"] = Stub(_made)
        for module in ("__builtin__", "builtins"):
            self.stubs[module, "object"] = Stub(_refused)
            self.stubs[module, "set"] = Stub(lambda *_: None)
        for module in ("scipy.sparse.csc", "scipy.sparse._csc"):
            self.stubs[module, "csc_matrix"] = _Sparse
        self.stubs["chumpy.ch", "Ch"] = _Wrapped

    def dictionary(self) -> dict[str, NDArray[Any]]:
        """The arrays among the values, by key; sparse ones come out dense."""
        values = self.checked()
        if not isinstance(values, dict):
            raise RefusedError("a value that is no dictionary")
        return {key: self._dense(value, key) for key, value in values.items() if key in _KEYS}

    def _dense(self, value: object, key: str) -> NDArray[Any]:
        if isinstance(value, _Wrapped):
            value = value.parts.get("x")
        if isinstance(value, _Sparse):
            parts = value.parts
            data, indices, starts = (self._dense(parts.get(k), key) for k in _CSC)
            shape = parts.get("_shape")
            if not isinstance(shape, tuple) or not 0 < math.prod(shape) <= _LARGEST_DENSE:
                raise ValueError(f"'{key}' is no sparse matrix, or too large a one")
            matrix = csc_matrix((data, indices, starts), shape=shape)
            matrix.check_format(full_check=True)  # SciPy writes where the indices say
            dense: NDArray[Any] = matrix.toarray()
            return dense
        array = self.resolve(value)
        if not isinstance(array, np.ndarray):
            raise RefusedError(f"'{key}' is no array")
        return array


def _made(kind: object, *_: object) -> _Parts:
    """Stands in for `copyreg._reconstructor`."""
    if not isinstance(kind, type) or not issubclass(kind, _Parts):
        raise RefusedError("an object of an unknown class")
    return kind()


def _refused(*_: object) -> None:
    raise RefusedError("a call of object")


def _read_pickle(file: Path) -> dict[str, NDArray[Any]]:
    return _ModelPickle(file.read_bytes()).dictionary()
