"""Weights that were trained elsewhere: files found, read without running code, offered to methods.

A method class that can use foreign weights says so by `adopt` (bench.contracts.Adopted).
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bench import registry
from bench.contracts import FOREIGN_ERRORS, Adopted, BadInput
from bench.weights import digest

# Where a file that holds more than weights keeps them.
_INSIDE = ("state_dict", "model_state_dict", "model", "network", "net", "weights")

# How many times a number may be part of the weights.
_SHARING = 16

# What reading a file that is no checkpoint may raise.
_UNREADABLE = (
    *FOREIGN_ERRORS,
    EOFError,
    MemoryError,
    SafetensorError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
)

# How torch names what a pickle would have called or built.
_CODE = re.compile(r"GLOBAL (?P<name>[\w.]+) (?:was not an allowed global|whose module)")


@dataclass(frozen=True)
class Foreign:
    """One model found: the method that adopted it, its name for tables, a digest of its weights."""

    method: str
    adopted: Adopted
    label: str
    digest: str

    def check_skeleton(self, dataset: str, joints: int, dims: int) -> None:
        """Raise BadInput if the model is known to be for other poses than a dataset's."""
        theirs = self.adopted.joints, self.adopted.dims
        if self.adopted.joints and theirs != (joints, dims):
            raise BadInput(
                f"{self.label} are for another skeleton than {dataset}",
                file=", ".join(self.adopted.files),
                found=f"{theirs[0]} joints in {theirs[1]} dimensions",
                expected=f"{joints} in {dims}",
            )


def find(paths: Sequence[Path]) -> list[Foreign]:
    """Every model in these files, and in the files of these folders and of the folders in them.

    Files are torch pickles or safetensors, whatever their suffix; hidden ones are passed over.
    Those of one folder are offered together, since a model may be spread over several. The same
    weights in two places are one model.

    BadInput when there is nothing at a path, when a file is no checkpoint, is damaged or would
    run code, and when a file is of no use to any method.
    """
    # Resolved, so that a folder is one however it is spelt.
    folders: dict[Path, dict[str, Path]] = {}
    for path in paths:
        for file in _files(path):
            folders.setdefault(file.parent.resolve(), {}).setdefault(file.name, file)
    found: dict[tuple[str, str], tuple[Path, Adopted]] = {}
    for folder, files in folders.items():
        for method, adopted in _adopted(files):
            found.setdefault((method, digest(adopted.state)), (folder, adopted))
    titles = _titles([(key[0], *place) for key, place in found.items()])
    return [
        Foreign(method, adopted, title, digits)
        for ((method, digits), (_, adopted)), title in zip(found.items(), titles, strict=True)
    ]


def read(file: Path) -> dict[str, Tensor]:
    """The state dict in a file: by itself, or under a name such as `state_dict` or `model`.

    A prefix `module.` on every name, which data-parallel training leaves, is dropped. BadInput
    when the file is no checkpoint, is damaged, holds no state dict, or would run code.
    """
    content: Any
    try:
        with file.open("rb") as opened:
            start = opened.read(9)
        # A safetensors file is the length of its header, then the header: a JSON object.
        if start[8:] == b"{":
            content = load_file(file)
        else:
            _check_archive(file)
            with warnings.catch_warnings():
                # About pickles that torch did not write.
                warnings.simplefilter("ignore")
                content = torch.load(file, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise _refused(file, error) from error
    inside = content if isinstance(content, Mapping) else {}
    for state in (content, *(inside.get(name) for name in _INSIDE)):
        if _is_state(state):
            _check_size(state, file)
            prefix = "module." if all(name.startswith("module.") for name in state) else ""
            return {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    kind = type(content).__name__
    raise BadInput(
        "no weights in this file",
        file=file,
        found=f"a {kind} with {_first(inside)}" if inside else f"a {kind}",
        expected=f"a state dict, by itself or under {', '.join(_INSIDE)}",
    )


def _check_archive(file: Path) -> None:
    """Raise BadInput for an archive that would expand; torch stores everything as it is."""
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        claimed = sum(member.file_size for member in archive.infolist())
    if claimed > file.stat().st_size:
        raise BadInput(
            "claims more bytes than it has", file=file, found=claimed, hint="do not trust this file"
        )


def _check_size(state: Mapping[str, Tensor], file: Path) -> None:
    """Raise BadInput where few numbers in the file pose as many; weights may share some."""
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    if claimed > _SHARING * file.stat().st_size:
        raise BadInput(
            "holds tensors that are larger than the file",
            file=file,
            found=f"{claimed} bytes of weights",
            hint="do not trust this file",
        )


def _files(path: Path) -> list[Path]:
    """The file at a path, or the visible ones of the folder there; BadInput where none is."""
    hint = "--checkpoints takes published weights"
    if not path.exists():
        raise BadInput("no such file or folder", file=path, hint=hint)
    if path.is_file():
        return [path]
    files = [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    if not files:
        raise BadInput("no file in this folder", file=path, hint=hint)
    return files


def _refused(file: Path, error: BaseException) -> BadInput:
    """What to say about a file that could not be read."""
    if isinstance(error, OSError) and error.strerror:
        return BadInput("cannot be read", file=file, found=error.strerror)
    code = _CODE.search(str(error))
    if code:
        return BadInput(
            "holds more than weights, and reading it could run code: refused",
            file=file,
            found=code["name"],
            hint="save the state dict alone: torch.save(model.state_dict(), file)",
        )
    return BadInput(
        "not a checkpoint, or a damaged one",
        file=file,
        expected="a torch pickle or safetensors",
        hint="fetch the file again, or move it out of the way",
    )


def _is_state(content: object) -> bool:
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(k, str) and _is_plain(v) for k, v in content.items())
    )


def _is_plain(value: object) -> bool:
    """Whether a value is a tensor that holds every one of its numbers."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )


def _adopted(files: Mapping[str, Path]) -> list[tuple[str, Adopted]]:
    """What each method makes of one folder's files, by name; BadInput when one is left over."""
    states = {name: read(file) for name, file in files.items()}
    offered, found = [], []
    for method in registry.method_names():
        adopt = getattr(registry.method_class(method), "adopt", None)
        if adopt is None:
            continue
        offered.append(method)
        try:
            found += [(method, adopted) for adopted in adopt(states)]
        except FOREIGN_ERRORS as error:
            raise BadInput(
                f"the method {method} cannot read these weights",
                file=next(iter(files.values())).parent,
                found=repr(error),
            ) from error
    used = {name for _, adopted in found for name in adopted.files}
    for name, state in states.items():
        if name not in used:
            raise BadInput(
                "no method can use these weights",
                file=files[name],
                found=_first(state),
                expected=f"weights of {', '.join(offered)}" if offered else None,
                hint=None if offered else "no registered method takes foreign weights",
            )
    return found


def _first(names: Mapping[str, object], most: int = 3) -> str:
    """The first few names of a mapping."""
    shown = ", ".join(str(name) for name in list(names)[:most])
    return f"{shown}, ... ({len(names)} names)" if len(names) > most else shown


def _titles(found: Sequence[tuple[str, Path, Adopted]]) -> list[str]:
    """What to call each model, so that those of one method have different titles.

    found: method, folder and model. They are told apart by the file's name, or the folder's where
    a model has several files; with as many of the folders above it as that takes.
    """
    folders = Counter((method, folder) for method, folder, adopted in found if adopted.files[1:])
    places = [
        # A folder with several models of several files says nothing; the first file does.
        folder if adopted.files[1:] and folders[method, folder] == 1 else folder / adopted.files[0]
        for method, folder, adopted in found
    ]
    titles = []
    for (method, *_), place in zip(found, places, strict=True):
        rivals = {
            other
            for (its, *_), other in zip(found, places, strict=True)
            if its == method and other != place
        }
        title = f"{registry.method_class(method).title}, published weights"
        if rivals:
            title += f" ({_ending(place, rivals)})"
        titles.append(title)
    return titles


def _ending(place: Path, rivals: Set[Path]) -> str:
    """As few of a path's last parts as none of the others ends in."""
    parts = place.parts
    for count in range(1, len(parts)):
        if all(other.parts[-count:] != parts[-count:] for other in rivals):
            return "/".join(parts[-count:])
    return place.as_posix()
