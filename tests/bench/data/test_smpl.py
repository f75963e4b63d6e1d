"""Files of the body model: plain ones, official ones as pickles, and what must not be read."""

import os
import pickle
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.sparse import csc_matrix

from bench.contracts import BadInput
from bench.data import smpl

pytest.importorskip("smplx", reason="the extra 'body' is not installed")


class Ch:
    """Written as chumpy's arrays are: an object whose attribute `x` is the array."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x
        self._dirty_vars = {"x"}
        self._itr = None


@pytest.fixture(autouse=True)
def _chumpy(monkeypatch):
    """A module by the name that pickles of the wrapping refer to."""
    module = ModuleType("chumpy.ch")
    module.Ch = Ch
    monkeypatch.setattr(Ch, "__module__", "chumpy.ch")
    monkeypatch.setitem(sys.modules, "chumpy", ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)


def content(model) -> dict[str, object]:
    """The arrays of a model as its file has them."""
    tree = np.array([[2**32 - 1, *model.parents[1:]], range(24)], np.uint32)
    basis = np.concatenate([model.shape_basis, np.ones((30, 3, 2))], -1)
    return {
        "v_template": model.template.astype(np.float64),
        "shapedirs": basis.astype(np.float64),
        "posedirs": model.pose_basis.T.reshape(30, 3, -1).astype(np.float64),
        "J_regressor": model.regressor.astype(np.float64),
        "weights": model.weights.astype(np.float64),
        "kintree_table": tree,
    }


def official(model) -> dict[str, object]:
    """The same as the official file has them: wrapped, sparse, and beside other things."""
    arrays = content(model)
    return {
        **arrays,
        "shapedirs": Ch(arrays["shapedirs"]),
        "posedirs": np.asfortranarray(arrays["posedirs"]),
        "J_regressor": csc_matrix(arrays["J_regressor"]),
        "f": np.zeros((5, 3), np.uint32),
        "bs_type": "lrotmin",
        "bs_style": b"lbs",
        "pose_training_info": {"steps": [1, 2.5, (None, True)]},
    }


@pytest.fixture
def folder(tmp_path, small_body) -> Path:
    """A folder with the model as .npz."""
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **content(small_body))
    rows = np.zeros((9, 30))
    rows[3] = small_body.headtop
    np.save(tmp_path / "J_regressor_extra.npy", rows)
    return tmp_path


def as_pickle(folder: Path, values: object, protocol: int) -> Path:
    """The folder with a pickle in place of the .npz."""
    (folder / "SMPL_NEUTRAL.npz").unlink(missing_ok=True)
    (folder / "SMPL_NEUTRAL.pkl").write_bytes(pickle.dumps(values, protocol))
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(BadInput) as error:
        smpl.read(folder)
    line = str(error.value)
    assert "\n" not in line
    return line


def same(model, other) -> bool:
    return model.parents == other.parents and all(
        np.array_equal(array, other.arrays()[name]) for name, array in model.arrays().items()
    )


def test_a_plain_model_is_read_with_ten_numbers_of_shape(folder, small_body):
    assert same(smpl.read(folder), small_body)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_an_official_model_is_read_without_its_packages(folder, small_body, protocol, monkeypatch):
    as_pickle(folder, official(small_body), protocol)
    monkeypatch.delitem(sys.modules, "chumpy.ch")
    assert same(smpl.read(folder), small_body)


class Evil:
    """Asks for a call of its own when it is unpickled."""

    def __init__(self, function, *given) -> None:
        self.call = function, given

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_would_run_code_is_refused(folder, small_body, protocol, tmp_path):
    mark = tmp_path / "mark"
    evil = Evil(os.system, f"touch {mark}")
    for values in (evil, {**official(small_body), "posedirs": evil}, {"x": [evil]}):
        line = refusal(as_pickle(folder, values, protocol))
        assert "SMPL_NEUTRAL.pkl: is refused" in line
        assert "system" in line
        assert "docs/data.md" in line
        assert not mark.exists()
    pickle.loads(pickle.dumps(evil, protocol))
    assert mark.exists()


def built(name: str, state: object) -> bytes:
    """A pickle that sets `state` on what a name stands for: GLOBAL, state, BUILD."""
    return b"c" + name.encode() + b"\n" + pickle.dumps(state, 0)[:-1] + b"b."


@pytest.mark.parametrize(
    "name",
    [
        "_codecs\nencode", "numpy\nndarray", "numpy\ndtype", "numpy.core.multiarray\nscalar",
        "numpy.core.multiarray\n_reconstruct", "copy_reg\n_reconstructor", "__builtin__\nset",
        "__builtin__\nobject", "chumpy.ch\nCh", "scipy.sparse.csc\ncsc_matrix",
    ],
)  # fmt: skip
def test_nothing_that_a_name_stands_for_can_be_changed(folder, name):
    (folder / "SMPL_NEUTRAL.npz").unlink()
    for state in ({"parts": 1}, (None, {"__defaults__": (1,)}), ({}, {"parts": 1})):
        (folder / "SMPL_NEUTRAL.pkl").write_bytes(built(name, state))
        line = refusal(folder)
        assert "SMPL_NEUTRAL.pkl" in line
    assert smpl._Parts.parts == {}
    assert smpl._Wrapped.parts == {}


def test_a_sparse_matrix_that_points_outside_itself_is_refused(folder, small_body):
    for change in ({"indices": 999}, {"indices": -1}, {"indptr": 10**6}):
        sparse = csc_matrix(small_body.regressor.astype(np.float64))
        for name, value in change.items():
            array = getattr(sparse, name)
            array[-1] = value
        values = {**official(small_body), "J_regressor": sparse}
        assert "cannot be read" in refusal(as_pickle(folder, values, 2))
    large = csc_matrix(([1.0], ([0], [0])), shape=(10**6, 10**6))
    line = refusal(as_pickle(folder, {**official(small_body), "J_regressor": large}, 2))
    assert "'J_regressor' is no sparse matrix" in line


def test_objects_that_hold_no_array_are_refused(folder, small_body):
    for value in (Ch("text"), Ch([{}]), "text", {"a": 1}, None):
        values = {**official(small_body), "posedirs": value}
        line = refusal(as_pickle(folder, values, 2))
        assert "SMPL_NEUTRAL.pkl" in line
    assert "no dictionary" in refusal(as_pickle(folder, [1, 2], 2))
    whole = pickle.dumps(official(small_body), 2)
    (folder / "SMPL_NEUTRAL.pkl").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in refusal(folder)


@pytest.mark.parametrize(
    ("key", "value", "parts"),
    [
        ("weights", None, ["no key 'weights'", "v_template"]),
        ("weights", np.array([["a"]]), ["'weights' holds no numbers"]),
        ("posedirs", np.zeros((207, 90)), ["posedirs (207, 90)", "(V, 3, 207)"]),
        ("shapedirs", np.zeros((30, 3, 5)), ["shape_basis", "(30, 3, 5)", "(30, 3, 10)"]),
        ("J_regressor", np.zeros((16, 30)), ["regressor", "(16, 30)", "(24, 30)"]),
        ("v_template", np.zeros((29, 3)), ["wrong shape"]),
        ("kintree_table", np.zeros((2, 24), int), None),
        ("kintree_table", np.arange(48).reshape(2, 24), ["another order"]),
    ],
)
def test_arrays_that_do_not_fit_are_refused(folder, small_body, key, value, parts):
    arrays = content(small_body)
    arrays[key] = value
    np.savez(folder / "SMPL_NEUTRAL.npz", **{k: v for k, v in arrays.items() if v is not None})
    if parts is None:  # all joints hang on the first: another body, but a possible one
        assert smpl.read(folder).parents == (-1, *[0] * 23)
        return
    line = refusal(folder)
    for part in ("SMPL_NEUTRAL.npz", *parts):
        assert part in line


@pytest.mark.parametrize("rows", [np.zeros(30), np.zeros((3, 30)), np.array([["a"]] * 9)])
def test_another_regressor_of_joints_is_refused(folder, rows):
    np.save(folder / "J_regressor_extra.npy", rows)
    assert "J_regressor_extra.npy: no regressor of joints from vertices" in refusal(folder)
    np.save(folder / "J_regressor_extra.npy", np.zeros((9, 29)))
    assert "headtop" in refusal(folder)
    (folder / "J_regressor_extra.npy").write_bytes(b"PK\x03\x04")
    assert "cannot be read" in refusal(folder)


def test_the_model_is_found_by_its_variable_and_in_a_root(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("BENCH_SMPL", raising=False)
    empty, root = tmp_path / "empty", tmp_path / "root"
    for place in (empty, root / "smpl"):
        place.mkdir(parents=True)
    assert smpl.find((empty,)) is None
    with pytest.raises(BadInput, match=r"no SMPL body model in this folder.*SMPL_NEUTRAL.npz or"):
        smpl.find((empty, root))
    for name in ("SMPL_NEUTRAL.npz", "J_regressor_extra.npy"):
        (root / "smpl" / name).write_bytes((folder / name).read_bytes())
    assert smpl.find((empty, root)) == root / "smpl"
    monkeypatch.setenv("BENCH_SMPL", str(folder))
    assert smpl.find((empty, root)) == folder
    (folder / "J_regressor_extra.npy").unlink()
    with pytest.raises(BadInput, match=r"J_regressor_extra.npy: no such file.*docs/data.md"):
        smpl.find(())
