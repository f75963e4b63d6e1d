"""Published weights put into a model of this project: keys renamed, every tensor checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from bench.contracts import BadInput

_LEFT_BY_THOP = re.compile(r"(^|\.)total_(ops|params)$")


def renamed(key: str, renames: Sequence[tuple[str, str]]) -> str:
    """The key after each (regular expression, replacement), applied in order."""
    for pattern, replacement in renames:
        key = re.sub(pattern, replacement, key)
    return key


def load(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    renames: Sequence[tuple[str, str]] | None = None,
    *,
    file: object = None,
) -> None:
    """Copy a state dict into the model, cast to the model's types; all of it or nothing.

    weights: foreign keys, which `renames` turns into the model's; counters that thop leaves in a
    checkpoint are dropped (spec 1.2). renames: None takes those that the model's class declares
    as `renames`. file: named in errors. BadInput for a key that is missing, not expected or there
    twice, and for a tensor of another shape.
    """
    rules = getattr(model, "renames", ()) if renames is None else renames
    own = model.state_dict()
    found: dict[str, str] = {}
    for key in weights:
        if _LEFT_BY_THOP.search(key):
            continue
        name = renamed(key, rules)
        if name in found:
            raise BadInput(
                "two weights for one parameter",
                file=file,
                found=f"{found[name]} and {key}",
                expected=f"one that becomes {name}",
            )
        found[name] = key
    _check_keys(found, own, file)
    for name, key in found.items():
        if weights[key].shape != own[name].shape:
            raise BadInput(
                f"weight {key} has another shape",
                file=file,
                found=tuple(weights[key].shape),
                expected=tuple(own[name].shape),
                hint="the weights were trained with other options or another window",
            )
    with torch.no_grad():
        for name, key in found.items():
            own[name].copy_(weights[key])


def _check_keys(found: Mapping[str, str], own: Mapping[str, Tensor], file: object) -> None:
    """BadInput unless the renamed keys are exactly the model's."""
    missing = [name for name in own if name not in found]
    if missing:
        shape = tuple(own[missing[0]].shape)
        raise BadInput(
            f"weight {missing[0]} is missing",
            file=file,
            found=f"{len(own) - len(missing)} of {len(own)} weights",
            expected=f"{missing[0]} of shape {shape}",
        )
    surplus = [key for name, key in found.items() if name not in own]
    if surplus:
        raise BadInput(
            f"weight {surplus[0]} is unknown to the model",
            file=file,
            found=f"{len(surplus)} such weights",
            expected="none",
            hint="the weights were trained with other options",
        )
