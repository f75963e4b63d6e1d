"""Weights from elsewhere: which files are read, who adopts them, what is refused and how."""

import argparse
import os
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bench import registry
from bench.checkpoints import find, read
from bench.contracts import BadInput

PLUGIN = """
from dataclasses import dataclass
from bench.contracts import Adopted

@dataclass(frozen=True)
class _Options:
    width: int = 1

class One:
    title, source, revision, Options, name = "ONE", "here", 1, _Options, "one-file"
    def __init__(self, options, window): pass
    def recover(self, keyframes): return keyframes

    @classmethod
    def adopt(cls, files):
        return [
            Adopted({"width": len(state["one.w"])}, {"history": 3, "future": 2}, state, (name,))
            for name, state in files.items() if "one.w" in state
        ]

class Several(One):
    title, name = "SEVERAL", "several-files"

    @classmethod
    def adopt(cls, files):
        own = {name: state["part"] for name, state in files.items() if "part" in state}
        if not own:
            return []
        if "broken" in files:
            raise KeyError("part 2")
        return [Adopted({}, {"history": 3, "future": len(own)}, own, tuple(own))]

class Pairs(One):
    title, name = "PAIRS", "pairs"

    @classmethod
    def adopt(cls, files):
        names = {key: [n for n in files if key in files[n]] for key in ("pair.x", "pair.y")}
        return [
            Adopted({}, {"history": 3, "future": 2}, files[own[0]], tuple(own))
            for own in names.values() if own
        ]

class Plain(One):
    name = "plain"
    adopt = None
"""

ONE = {"one.w": torch.arange(3.0), "one.b": torch.tensor(1)}


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two methods that adopt, one that does not, none of the package."""
    monkeypatch.setattr(registry, "_plugins", {})
    monkeypatch.setattr(registry, "_files", {})
    monkeypatch.setattr(registry, "_declared", dict)
    file = tmp_path_factory.mktemp("plugin") / "toys.py"
    file.write_text(PLUGIN)
    registry.load_plugin(file)


def equal(found, wanted) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[k], wanted[k]) for k in wanted)


@pytest.mark.parametrize(
    "content",
    [
        ONE,
        OrderedDict(ONE),
        {"state_dict": ONE, "epoch": 3, "optimizer": {"lr": 0.1}},
        {"model": OrderedDict(ONE), "args": None},
        {"state_dict": {f"module.{name}": tensor for name, tensor in ONE.items()}},
    ],
    ids=["bare", "ordered", "state_dict", "model", "parallel"],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
def test_a_state_dict_is_found_where_it_is_kept(tmp_path: Path, content, zipped) -> None:
    file = tmp_path / "any.name"
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    assert equal(read(file), ONE)


def test_safetensors_are_known_by_their_content(tmp_path: Path) -> None:
    save_file(ONE, tmp_path / "weights")
    assert equal(read(tmp_path / "weights"), ONE)


def test_a_file_becomes_a_model_of_the_method_that_adopts_it(tmp_path: Path) -> None:
    torch.save({"model": ONE}, tmp_path / "best.pth")
    (found,) = find([tmp_path / "best.pth"])
    assert found.method == "one-file"
    assert found.label == "ONE, published weights"
    assert found.adopted.options == {"width": 3}
    assert found.adopted.geometry == {"history": 3, "future": 2}
    assert found.adopted.files == ("best.pth",)
    assert equal(found.adopted.state, ONE)
    assert len(found.digest) == 16


def test_files_of_one_folder_are_offered_together(tmp_path: Path) -> None:
    for number in range(3):
        torch.save({"part": torch.tensor([number])}, tmp_path / f"{number}_ckpt")
    (found,) = find([tmp_path])
    assert (found.method, found.label) == ("several-files", "SEVERAL, published weights")
    assert found.adopted.files == ("0_ckpt", "1_ckpt", "2_ckpt")
    assert found.adopted.geometry["future"] == 3


def test_folders_are_searched_and_kept_apart(tmp_path: Path) -> None:
    for folder, start in (("a/deep", 0), ("b/other", 5)):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(2):
            part = {"part": torch.tensor([start + number])}
            torch.save(part, tmp_path / folder / f"{number}_ckpt")
    torch.save(ONE, tmp_path / "one.pth")
    assert [(each.label, each.adopted.geometry["future"]) for each in find([tmp_path])] == [
        ("SEVERAL, published weights (deep)", 2),
        ("SEVERAL, published weights (other)", 2),
        ("ONE, published weights", 2),
    ]


def test_models_of_one_method_are_told_apart_by_their_files(tmp_path: Path) -> None:
    for name, value in (("x.pth", 1), ("y.pth", 2)):
        torch.save({"one.w": torch.tensor([value])}, tmp_path / name)
    assert [each.label for each in find([tmp_path])] == [
        "ONE, published weights (x.pth)",
        "ONE, published weights (y.pth)",
    ]


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for name in ("run1/best.pth", "run2/best.pth", "run2/last.pth"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        torch.save({"one.w": torch.tensor([len(list(tmp_path.rglob("*")))])}, tmp_path / name)
    assert [each.label for each in find([tmp_path])] == [
        "ONE, published weights (run1/best.pth)",
        "ONE, published weights (run2/best.pth)",
        "ONE, published weights (last.pth)",
    ]


def test_a_digest_depends_on_weights_and_not_on_files(tmp_path: Path) -> None:
    torch.save({"model": ONE}, tmp_path / "a.pth")
    (first,) = find([tmp_path / "a.pth"])
    (tmp_path / "elsewhere").mkdir()
    save_file(ONE, tmp_path / "elsewhere" / "b")
    (second,) = find([tmp_path / "elsewhere"])
    assert first.digest == second.digest
    torch.save({**ONE, "one.b": torch.tensor(2)}, tmp_path / "c.pth")
    (third,) = find([tmp_path / "c.pth"])
    assert third.digest != first.digest


def test_nothing_given_is_nothing_found() -> None:
    assert find([]) == []


def test_models_of_several_paths_are_told_apart(tmp_path: Path) -> None:
    places = ("a/run/best.pth", "b/run/best.pth", "b/run/last.pth")
    for value, place in enumerate(places):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        torch.save({"one.w": torch.tensor([value])}, tmp_path / place)
    paths = [tmp_path / "a" / "run" / "best.pth", tmp_path / "b"]
    assert [each.label for each in find(paths)] == [
        "ONE, published weights (a/run/best.pth)",
        "ONE, published weights (b/run/best.pth)",
        "ONE, published weights (last.pth)",
    ]


def test_what_is_given_twice_is_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        torch.save(ONE, tmp_path / folder / "one.pth")
    monkeypatch.chdir(tmp_path)
    paths = [Path("a/one.pth"), tmp_path / "a", tmp_path / "b", Path("a/../b")]
    assert [each.label for each in find(paths)] == ["ONE, published weights"]


def test_files_of_one_folder_given_one_by_one_are_offered_together(tmp_path: Path) -> None:
    for number in range(2):
        torch.save({"part": torch.tensor([number])}, tmp_path / f"{number}_ckpt")
    (found,) = find([tmp_path / "0_ckpt", tmp_path / "1_ckpt"])
    assert found.adopted.files == ("0_ckpt", "1_ckpt")


def test_models_of_several_files_in_one_folder_have_labels_of_their_own(tmp_path: Path) -> None:
    for pair in "xy":
        for number in range(2):
            torch.save({f"pair.{pair}": torch.tensor([number])}, tmp_path / f"{pair}{number}")
    assert [each.label for each in find([tmp_path])] == [
        "PAIRS, published weights (x0)",
        "PAIRS, published weights (y0)",
    ]


def test_a_skeleton_is_compared_where_it_is_known(tmp_path: Path) -> None:
    torch.save(ONE, tmp_path / "a.pth")
    (unknown,) = find([tmp_path])
    assert (unknown.adopted.joints, unknown.adopted.dims) == (0, 3)
    unknown.check_skeleton("ours", 22, 3)
    known = replace(unknown, adopted=replace(unknown.adopted, joints=18))
    known.check_skeleton("ours", 18, 3)
    for joints, dims in ((22, 3), (18, 2)):
        with pytest.raises(BadInput) as caught:
            known.check_skeleton("ours", joints, dims)
        line = str(caught.value)
        assert "a.pth: ONE, published weights are for another skeleton than ours" in line
        assert f"found 18 joints in 3 dimensions; expected {joints} in {dims}" in line


def test_a_copy_is_no_second_model(tmp_path: Path) -> None:
    torch.save(ONE, tmp_path / "a.pth")
    torch.save({"state_dict": ONE}, tmp_path / "copy.pth")
    assert [each.label for each in find([tmp_path])] == ["ONE, published weights"]


def test_hidden_files_are_passed_over(tmp_path: Path) -> None:
    torch.save(ONE, tmp_path / "a.pth")
    (tmp_path / ".DS_Store").write_text("no weights")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("no weights")
    assert len(find([tmp_path])) == 1


def refusal(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        find([path])
    line = str(caught.value)
    assert str(path) in line
    assert "\n" not in line
    return line


def test_nothing_there_is_said(tmp_path: Path) -> None:
    assert "no such file or folder" in refusal(tmp_path / "nowhere")
    (tmp_path / ".hidden").write_text("x")
    assert "no file in this folder" in refusal(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello\nworld", b"PK\x03\x04 not a zip", b"\x80\x02}q\x00", b"\x10" * 8 + b"{}"],
)
def test_what_is_no_checkpoint_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.pth").write_bytes(content)
    line = refusal(tmp_path / "file.pth")
    assert "not a checkpoint, or a damaged one" in line
    assert "fetch the file again" in line


@pytest.mark.parametrize("kind", ["zip", "safetensors"])
def test_a_truncated_file_is_said(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "file"
    if kind == "zip":
        torch.save(ONE, file)
    else:
        save_file(ONE, file)
    content = file.read_bytes()
    for share in (0.3, 0.7, 0.98):
        file.write_bytes(content[: int(len(content) * share)])
        assert "not a checkpoint, or a damaged one" in refusal(file)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, zipped: bool) -> None:
    mark, file = tmp_path / "mark", tmp_path / "file.pth"
    extra = Malicious(mark)
    torch.save({"state_dict": ONE, "extra": extra}, file, _use_new_zipfile_serialization=zipped)
    line = refusal(file)
    assert "could run code: refused" in line
    assert "system" in line
    assert not mark.exists()
    # It runs where it is read as any pickle is.
    pickle.loads(pickle.dumps(extra))
    assert mark.exists()


def test_a_pickle_that_torch_did_not_write_is_refused(tmp_path: Path) -> None:
    mark, file = tmp_path / "mark", tmp_path / "file.pkl"
    for protocol in (0, 2, 4):
        file.write_bytes(pickle.dumps(Malicious(mark), protocol))
        refusal(file)
        assert not mark.exists()


def test_a_checkpoint_with_objects_in_it_says_which(tmp_path: Path) -> None:
    file = tmp_path / "file.pth"
    torch.save({"model": ONE, "args": argparse.Namespace(lr=1)}, file)
    line = refusal(file)
    assert "found argparse.Namespace" in line
    assert "torch.save(model.state_dict(), file)" in line


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ([1, 2], "a list"),
        ({}, "a dict"),
        ({"epoch": 3, "optimizer": {"lr": 1.0}}, "a dict with epoch, optimizer"),
        (torch.ones(2), "a Tensor"),
    ],
)
def test_a_file_without_weights_says_what_it_holds(tmp_path: Path, content, found) -> None:
    torch.save(content, tmp_path / "file.pth")
    assert f"no weights in this file; found {found}; expected" in refusal(tmp_path / "file.pth")


def test_weights_of_no_method_say_their_names_and_who_was_asked(tmp_path: Path) -> None:
    torch.save(ONE, tmp_path / "good.pth")
    torch.save({f"layer.{n}": torch.ones(1) for n in range(5)}, tmp_path / "odd.pth")
    line = refusal(tmp_path)
    assert str(tmp_path / "odd.pth") in line
    assert "no method can use these weights" in line
    assert "found layer.0, layer.1, layer.2, ... (5 names)" in line
    assert "expected weights of one-file, pairs, several-files" in line


def test_where_no_method_adopts_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", {})
    torch.save(ONE, tmp_path / "good.pth")
    assert "no registered method takes foreign weights" in refusal(tmp_path)


def test_a_method_that_breaks_on_them_is_named(tmp_path: Path) -> None:
    torch.save({"part": torch.ones(1)}, tmp_path / "broken")
    assert "several-files cannot read these weights; found KeyError('part 2')" in refusal(tmp_path)


@pytest.mark.shared
def test_the_published_weights_are_three_models(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    found = find([shared / "checkpoints"])
    assert [each.label for each in found] == [
        "siMLPe, published weights (h36m_model_35000.pth)",
        "siMLPe, published weights (h36m_model_40000.pth)",
        "STSGCN, published weights",
    ]
    assert [len(each.adopted.files) for each in found] == [1, 1, 8]
    assert len({each.digest for each in found}) == 3
    assert [each.adopted.geometry for each in found] == [
        {"history": 50, "future": 25},
        {"history": 50, "future": 25},
        {"history": 10, "future": 25},
    ]
    assert [(each.adopted.joints, each.adopted.dims) for each in found] == [(22, 3)] * 3


def test_a_tensor_that_poses_as_a_larger_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    torch.save({"one.w": torch.zeros(1).expand(1 << 20, 1 << 20)}, file)
    assert "tensors that are larger than the file" in refusal(file)


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(3).to_sparse(), torch.empty(10**9, device="meta")],
    ids=["sparse", "meta"],
)
def test_a_tensor_without_all_of_its_numbers_is_no_weight(tmp_path: Path, tensor) -> None:
    file = tmp_path / "a.pth"
    torch.save({"one.w": tensor}, file)
    assert "no weights in this file" in refusal(file)


def test_an_archive_that_expands_is_refused(tmp_path: Path) -> None:
    file, bomb = tmp_path / "a.pth", tmp_path / "b.pth"
    torch.save({"one.w": torch.zeros(500_000)}, file)
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as out:
        for member in archive.infolist():
            out.writestr(member.filename, archive.read(member))
    assert "claims more bytes than it has" in refusal(bomb)


def test_a_header_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes((2 << 30).to_bytes(8, "little") + b"{}")
    assert "not a checkpoint" in refusal(file)
