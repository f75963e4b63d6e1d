"""Names -> methods, lazily: entry points of installed packages, and files given by `--plugin`.

Nothing is imported before a method is asked for; a class is checked when it is first taken.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast

from pydantic import TypeAdapter, ValidationError

from bench.config import Task, nearest_names
from bench.contracts import FOREIGN_ERRORS, BadInput, Geometry, Method, Span

GROUP = "bench.methods"

Kind = Literal["fixed", "fitted", "trainable"]
Sight = Literal["keyframes", "frames", "history"]

# A method's name becomes part of file names and of `method:preset`.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")

# What the code of a plugin file may raise while it is imported.
_IMPORT_ERRORS = (*FOREIGN_ERRORS, SyntaxError)

_plugins: dict[str, type[Method]] = {}
_files: dict[Path, list[str]] = {}


def method_names() -> list[str]:
    """Every registered method, sorted; imports none of them."""
    return sorted({*_declared(), *_plugins})


def method_class(method: str | type[Method]) -> type[Method]:
    """The class behind a name, or the given class, once it is known to keep the contract.

    BadInput when the name is unknown (with the nearest ones), when its module cannot be imported,
    or when the class lacks something of `bench.contracts.Method`.
    """
    if not isinstance(method, str):
        return _checked(method)
    if method in _plugins:
        return _plugins[method]
    if method not in _declared():
        raise BadInput(f"unknown method '{method}'", hint=nearest_names(method, method_names()))
    return _load(method)


def load_plugin(path: Path) -> list[str]:
    """Register the methods that a Python file defines; return their names.

    A method is a public class defined in the file with `recover`, `refine` or `predict`. Its name
    is its attribute `name`, or else its class name in lower case. Loading a file twice changes
    nothing. BadInput when the file is missing, cannot be imported, defines no method, one that
    breaks the contract, or one whose name is in use; then nothing of it is registered.
    """
    path = path.resolve()
    if path in _files:
        return list(_files[path])
    if not path.is_file():
        raise BadInput("no such plugin file", file=path, hint="--plugin takes a Python file")
    found: dict[str, type[Method]] = {}
    for cls in _public_classes(_import(path)):
        if not any(hasattr(cls, ability) for ability in _MAIN_ABILITIES):
            continue
        name = getattr(cls, "name", cls.__name__.lower())
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise BadInput(
                f"the class {cls.__name__} has a name that no method can have",
                file=path,
                found=repr(name),
                expected="lower-case letters, digits, - and _",
            )
        if name in found or name in method_names():
            raise BadInput(
                f"the method name '{name}' is already in use",
                file=path,
                hint=f"give the class {cls.__name__} an attribute `name` of its own",
            )
        found[name] = _checked(cls, path)
    if not found:
        raise BadInput(
            "the plugin file defines no method",
            file=path,
            expected="a public class with `recover`, `refine` or `predict`",
        )
    _plugins.update(found)
    _files[path] = list(found)
    return list(found)


def forget_plugins() -> None:
    """Know no plugin file any more: the next run may bring others under the same names."""
    _plugins.clear()
    _files.clear()


def resolve_options(method: str | type[Method], options: Mapping[str, Any]) -> dict[str, Any]:
    """Every hyper-parameter of a method as plain JSON values: the given ones, else defaults.

    BadInput names an unknown option and its neighbours, or what was found and expected.
    """
    cls = method_class(method)
    resolved = TypeAdapter(cls.Options).dump_python(_validated(method, options), mode="json")
    return cast(dict[str, Any], resolved)


def build(method: str | type[Method], options: Mapping[str, Any], geometry: Geometry) -> Method:
    """A new method; its random weights, if any, come from torch's global generator.

    BadInput as in `resolve_options`, when the geometry is of another task than the method, and
    when the method cannot be had for such a geometry.
    """
    cls = method_class(method)
    predicts = task(method) == "prediction"
    if isinstance(geometry, Span) != predicts:
        raise BadInput(
            f"{cls.title} does not do this task",
            found="a window to recover" if predicts else "a history to continue",
            expected=task(method),
        )
    return cls(_validated(method, options), geometry)


def kind(method: str | type[Method]) -> Kind:
    """How a method learns, from what its class can do: not at all, by `fit`, or by its `loss`."""
    cls = method_class(method)
    if hasattr(cls, "loss"):
        return "trainable"
    return "fitted" if hasattr(cls, "fit") else "fixed"


def sees(method: str | type[Method]) -> Sight:
    """What a method is given: keyframes, every frame of a window (a refiner), or a history."""
    cls = method_class(method)
    if hasattr(cls, "predict"):
        return "history"
    return "frames" if hasattr(cls, "refine") else "keyframes"


def task(method: str | type[Method]) -> Task:
    """What a method does: it predicts, or it recovers (a refiner is a reference for recovery)."""
    return "prediction" if hasattr(method_class(method), "predict") else "recovery"


@cache
def _declared() -> dict[str, EntryPoint]:
    declared: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = declared.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise BadInput(
                f"two packages declare the method '{entry.name}'",
                found=f"{other.value} and {entry.value}",
                hint="uninstall one of them",
            )
    return declared


@cache
def _load(name: str) -> type[Method]:
    entry = _declared()[name]
    try:
        cls = entry.load()
    except (ImportError, AttributeError) as error:
        raise BadInput(
            f"the method '{name}' cannot be imported", file=entry.value, found=repr(error)
        ) from error
    return _checked(cls, entry.value)


def _import(path: Path) -> ModuleType:
    name = f"bench_plugin_{path.stem}_{len(_files)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadInput("not a Python file", file=path, hint="--plugin takes a file ending in .py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their annotations up here.
    sys.modules[name] = module
    # A file that was edited within a second must not meet the bytecode of what it was.
    cached, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except _IMPORT_ERRORS as error:
        del sys.modules[name]
        raise BadInput(
            "the plugin file cannot be imported", file=path, found=repr(error)
        ) from error
    finally:
        sys.dont_write_bytecode = cached
    return module


def _public_classes(module: ModuleType) -> list[type[Any]]:
    return [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]


def _checked(cls: Any, file: object = None) -> type[Method]:
    """The class, if it has what `bench.contracts.Method` and its kind ask for."""
    problems = list(_problems(cls)) if isinstance(cls, type) else ["it is not a class"]
    if problems:
        label = getattr(cls, "__name__", repr(cls))
        raise BadInput(
            f"{label} does not keep the contract of a method: {'; '.join(problems)}",
            file=file,
            hint="see docs/plugins.md",
        )
    return cast(type[Method], cls)


def _problems(cls: type[Any]) -> list[str]:
    problems = []
    for name in ("title", "source"):
        text = getattr(cls, name, None)
        if not isinstance(text, str) or not text.strip():
            problems.append(f"`{name}` must be a text, found {text!r}")
    revision = getattr(cls, "revision", None)
    if type(revision) is not int or revision < 1:
        problems.append(f"`revision` must be an integer from 1 on, found {revision!r}")
    problems += _option_problems(getattr(cls, "Options", None))
    abilities = {name for name in _ABILITIES if callable(getattr(cls, name, None))}
    if len(abilities & _MAIN_ABILITIES) != 1:
        problems.append("it must have one of the methods `recover`, `refine` and `predict`")
    if {"loss", "fit"} <= abilities:
        problems.append("it must have only one of the methods `loss` and `fit`")
    if "loss" in abilities and "parameters" not in abilities:
        problems.append("with a `loss` it must be a torch.nn.Module")
    if "fit" in abilities and not {"state_dict", "load_state_dict"} <= abilities:
        problems.append("with `fit` it must have `state_dict` and `load_state_dict`")
    return problems


# What a method does with poses: each class has exactly one of them.
_MAIN_ABILITIES = frozenset({"recover", "refine", "predict"})
_ABILITIES = _MAIN_ABILITIES | {"loss", "parameters", "fit", "state_dict", "load_state_dict"}


def _option_problems(options: Any) -> list[str]:
    if not isinstance(options, type) or not dataclasses.is_dataclass(options):
        return [f"`Options` must be a frozen dataclass, found {options!r}"]
    problems = []
    if not options.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        problems.append("`Options` must be frozen")
    missing = dataclasses.MISSING
    for field in dataclasses.fields(options):
        if field.default is missing and field.default_factory is missing:
            problems.append(f"the option `{field.name}` needs a default")
    return problems


def _validated(method: str | type[Method], options: Mapping[str, Any]) -> Any:
    """The method's Options, every value of the declared type."""
    cls = method_class(method)
    label = method if isinstance(method, str) else cls.__name__
    known = [field.name for field in dataclasses.fields(cls.Options)]
    for name in options:
        if name not in known:
            hint = nearest_names(name, known) if known else "it has no options"
            raise BadInput(f"the method '{label}' has no option '{name}'", hint=hint)
    try:
        return TypeAdapter(cls.Options).validate_python(dict(options))
    except ValidationError as error:
        found, expected = [], []
        for item in error.errors():
            where = ".".join(str(part) for part in item["loc"])
            text = item["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
            # The checks of `__post_init__` concern no single option.
            found.append(f"{where} = {item['input']!r}" if where else str(item["input"]))
            expected.append(f"{where}: {text}" if where else text)
        raise BadInput(
            f"wrong option of the method '{label}'",
            found=", ".join(found),
            expected=", ".join(expected),
        ) from error
