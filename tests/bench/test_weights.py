"""Trained weights in files: what comes back, what is refused, what survives a kill."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from bench.contracts import BadInput
from bench.results import Cell
from bench.weights import Weights, digest

CELL = Cell(
    dataset="h36m-motion",
    fingerprint="f00d",
    method="stsgcn",
    preset="default",
    revision=1,
    options={"horizons": [2, 4]},
    training={"lr": 0.01},
    geometry={"history": 10, "future": 25},
    protocol="h36m-average",
    budget="quick",
    limits={"test_clips": None, "validations": 5},
    selection="validation",
    seed=0,
)
ABOUT = {"curve": [{"windows": 256.0, "loss": 0.1 + 0.2}], "parameters": 3, "chosen": {}}
STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(7)}


def same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(
        found[name].dtype == wanted[name].dtype and torch.equal(found[name], wanted[name])
        for name in wanted
    )


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    weights = Weights(tmp_path / "out")
    path = weights.save(CELL, STATE, ABOUT)
    assert path == tmp_path / "out" / "weights" / f"{CELL.training_key}.safetensors"
    state, about = weights.load(CELL) or pytest.fail("nothing there")
    assert same(state, STATE)
    assert about == ABOUT
    # Any other program reads the file too.
    assert same(load_file(path), STATE)


def test_nothing_is_made_or_found_before_something_is_saved(tmp_path: Path) -> None:
    assert Weights(tmp_path / "out").load(CELL) is None
    assert not list(tmp_path.iterdir())


def test_cells_that_differ_in_scoring_alone_share_weights(tmp_path: Path) -> None:
    weights = Weights(tmp_path)
    weights.save(CELL, STATE, ABOUT)
    assert weights.load(replace(CELL, protocol="h36m-horizon")) is not None
    assert weights.load(replace(CELL, seed=1)) is None
    assert weights.load(replace(CELL, training={"lr": 0.02})) is None


def test_tensors_need_not_have_memory_of_their_own(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    parameter = torch.nn.Parameter(torch.ones(2, 2))
    state = {
        "turned": whole.T,
        "part": whole[:, 1:3],
        "whole": whole,
        "tied": whole,
        "wide": torch.ones(1).expand(3, 2),
        "learned": parameter,
        "again": parameter,
    }
    weights = Weights(tmp_path)
    weights.save(CELL, state, {})
    found, _ = weights.load(CELL) or pytest.fail("nothing there")
    assert same(found, {name: tensor.detach() for name, tensor in state.items()})


def test_no_tensors_are_weights_too(tmp_path: Path) -> None:
    weights = Weights(tmp_path)
    weights.save(CELL, {}, {"seconds": 1.5})
    assert weights.load(CELL) == ({}, {"seconds": 1.5})


def test_a_new_training_replaces_the_old_one(tmp_path: Path) -> None:
    weights = Weights(tmp_path)
    weights.save(CELL, STATE, {})
    old, _ = weights.load(CELL) or pytest.fail("nothing there")
    weights.save(CELL, {"b": torch.zeros(1)}, {})
    found, _ = weights.load(CELL) or pytest.fail("nothing there")
    assert same(found, {"b": torch.zeros(1)})
    # What was loaded before is still what it was.
    assert same(old, STATE)


def test_a_kill_while_writing_leaves_the_old_weights(tmp_path: Path) -> None:
    weights = Weights(tmp_path)
    path = weights.save(CELL, STATE, ABOUT)
    half = path.read_bytes()[:40]
    path.with_suffix(".12345.tmp").write_bytes(half)
    state, _ = weights.load(CELL) or pytest.fail("nothing there")
    assert same(state, STATE)


def test_a_kill_before_the_first_weights_leaves_none(tmp_path: Path) -> None:
    weights = Weights(tmp_path)
    weights.folder.mkdir()
    weights.path(CELL).with_suffix(".12345.tmp").write_bytes(b"half")
    assert weights.load(CELL) is None


def test_an_interruption_while_writing_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = Weights(tmp_path)
    weights.save(CELL, STATE, ABOUT)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        weights.save(CELL, {"b": torch.zeros(1)}, {})
    state, _ = weights.load(CELL) or pytest.fail("nothing there")
    assert same(state, STATE)
    assert [p.suffix for p in weights.folder.iterdir()] == [".safetensors"]


@settings(max_examples=40)
@given(st.data())
def test_a_damaged_file_is_no_weights(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    weights = Weights(tmp_path_factory.mktemp("out"))
    path = weights.save(CELL, STATE, {})
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(content[:place])
        assert weights.load(CELL) is None
    else:
        content[place] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(content)
        found = weights.load(CELL)
        # A flipped bit may hit a name's spelling or blanks in the header, never a number.
        assert found is None or same(found[0], STATE)


def test_a_safetensors_file_of_somebody_else_is_no_weights(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    weights = Weights(tmp_path)
    weights.folder.mkdir()
    save_file(STATE, weights.path(CELL))
    assert weights.load(CELL) is None


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    weights = Weights(tmp_path)
    with pytest.raises(BadInput, match=r"cannot be written; found No space left on device; make"):
        weights.save(CELL, STATE, {})
    assert not list(weights.folder.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(BadInput, match="cannot be written; found Permission denied"):
        Weights(tmp_path).save(CELL, STATE, {})


def test_a_file_where_the_folder_should_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("in the way")
    with pytest.raises(BadInput, match="cannot be written; found File exists"):
        Weights(tmp_path).save(CELL, STATE, {})


def test_a_digest_sees_names_types_shapes_and_numbers_alone() -> None:
    first = digest(STATE)
    assert len(first) == 16
    assert int(first, 16) >= 0
    turned = {"steps": torch.tensor(7), "a.weight": STATE["a.weight"].T.contiguous().T}
    assert digest(turned) == first
    for other in (
        {**STATE, "steps": torch.tensor(8)},
        {**STATE, "steps": torch.tensor(7, dtype=torch.int32)},
        {**STATE, "steps": torch.tensor([7])},
        {**STATE, "a.weight": STATE["a.weight"].reshape(3, 2)},
        {"a": STATE["a.weight"], "steps": STATE["steps"]},
        {"steps": STATE["steps"]},
    ):
        assert digest(other) != first


def test_a_digest_knows_every_type() -> None:
    types = (torch.float16, torch.bfloat16, torch.float64, torch.bool, torch.uint8)
    assert len({digest({"a": torch.ones(2, dtype=kind)}) for kind in types}) == len(types)
