"""Names, plugins and options: what is found, and what is said when it is not."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bench import registry
from bench.contracts import BadInput, Geometry, Span, Window

WINDOW = Window(interval=2, intervals=3, joints=2, dims=3)

PLUGIN = """
from dataclasses import dataclass, field
from typing import Literal

@dataclass(frozen=True)
class Options:
    width: int = 64
    rate: float = 0.1
    mode: Literal["a", "b"] = "a"
    sizes: tuple[int, ...] = (1, 2)

    def __post_init__(self):
        if self.width % 2:
            raise ValueError("an even number")

class Mine:
    title, source, revision, Options = "mine", "ours", 1, Options

    def __init__(self, options, window):
        self.options, self.window = options, window

    def recover(self, keyframes):
        return keyframes
"""


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", {})
    monkeypatch.setattr(registry, "_files", {})


def plugin(folder: Path, text: str = PLUGIN, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_names_are_those_of_the_package() -> None:
    names = registry.method_names()
    assert names == sorted(names)
    assert {"estimator", "nearest", "linear", "quadratic", "cubic"} <= set(names)
    assert {"linear-offset", "shared-filter", "ridge"} <= set(names)
    assert {"mct", "deciwatch", "mixsynthformer"} <= set(names)


def test_names_import_no_method() -> None:
    code = (
        "import sys; from bench import registry; assert registry.method_names();"
        "loaded = [m for m in sys.modules if m.split('.')[0] in ('methods', 'torch', 'scipy')];"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("estimator", "fixed"),
        ("cubic", "fixed"),
        ("pchip", "fixed"),
        ("kalman", "fitted"),
        ("smoothnet", "trainable"),
        ("ridge", "fitted"),
        ("mixsynthformer", "trainable"),
        ("zero-velocity", "fixed"),
        ("stsgcn", "trainable"),
    ],
)
def test_kind(name: str, kind: str) -> None:
    assert registry.kind(name) == kind
    assert registry.kind(registry.method_class(name)) == kind


@pytest.mark.parametrize(
    ("name", "sees"),
    [
        ("estimator", "frames"),
        ("smoothnet", "frames"),
        ("smoothnet-linear", "keyframes"),
        ("ridge", "keyframes"),
        ("dct-ridge", "history"),
    ],
)
def test_sees(name: str, sees: str) -> None:
    assert registry.sees(name) == sees
    assert registry.sees(registry.method_class(name)) == sees


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("estimator", "recovery"),
        ("smoothnet", "recovery"),
        ("linear", "recovery"),
        ("zero-velocity", "prediction"),
    ],
)
def test_task(name: str, task: str) -> None:
    assert registry.task(name) == task
    assert registry.task(registry.method_class(name)) == task


@pytest.mark.parametrize(
    ("name", "geometry", "line"),
    [
        ("linear", Span(2, 1, 2, 3), "found a history to continue; expected recovery"),
        ("estimator", Span(2, 1, 2, 3), "found a history to continue; expected recovery"),
        ("zero-velocity", WINDOW, "found a window to recover; expected prediction"),
    ],
)
def test_a_geometry_of_the_other_task_is_refused(name: str, geometry: Geometry, line: str) -> None:
    with pytest.raises(BadInput, match=f"does not do this task; {line}"):
        registry.build(name, {}, geometry)


def test_a_plugin_may_predict(tmp_path: Path) -> None:
    text = PLUGIN.replace("recover(self, keyframes)", "predict(self, history, frames)")
    assert registry.load_plugin(plugin(tmp_path, text)) == ["mine"]
    assert registry.task("mine") == "prediction"


def test_unknown_method_names_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"unknown method 'rigde'; did you mean ridge or "):
        registry.method_class("rigde")


def test_a_method_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("methods.absent:Absent", "methods.interpolation:Absent"):
        entry = EntryPoint("absent", value, registry.GROUP)
        monkeypatch.setattr(registry, "_declared", lambda entry=entry: {"absent": entry})
        with pytest.raises(BadInput, match=r"'absent' cannot be imported.*[aA]bsent"):
            registry.method_class("absent")


def test_two_packages_with_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [EntryPoint("same", value, registry.GROUP) for value in ("a:A", "b:B")]
    monkeypatch.setattr(registry, "entry_points", lambda group: entries)
    with pytest.raises(BadInput, match="two packages declare the method 'same'; found a:A and b:B"):
        registry._declared.__wrapped__()
    monkeypatch.setattr(registry, "entry_points", lambda group: entries[:1] * 2)
    assert list(registry._declared.__wrapped__()) == ["same"]


def test_plugin_is_registered_and_built(tmp_path: Path) -> None:
    path = plugin(tmp_path)
    assert registry.load_plugin(path) == ["mine"]
    assert registry.load_plugin(path) == ["mine"]  # as every worker does
    assert "mine" in registry.method_names()
    assert registry.kind("mine") == "fixed"
    method = registry.build("mine", {"width": 32}, WINDOW)
    assert type(method) is registry.method_class("mine")
    assert (method.options.width, method.options.rate, method.window) == (32, 0.1, WINDOW)


def test_plugin_may_say_its_name_and_hold_helpers(tmp_path: Path) -> None:
    text = PLUGIN.replace("    title,", "    name = 'my-method'\n    title,")
    text += "\nclass Helper:\n    pass\n\nclass _Hidden(Mine):\n    pass\n"
    assert registry.load_plugin(plugin(tmp_path, text)) == ["my-method"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("import nothing_like_this", r"mine\.py: .*cannot be imported; found ModuleNotFoundError"),
        ("def f(:\n", r"mine\.py: .*cannot be imported; found SyntaxError"),
        ("1 / 0", r"mine\.py: .*cannot be imported; found ZeroDivisionError"),
        ("x = 1", r"mine\.py: the plugin file defines no method; expected a public class"),
        ("from methods.interpolation import Linear", "defines no method"),
        (PLUGIN.replace("class Mine", "class Ridge"), "name 'ridge' is already in use"),
        (PLUGIN + "\nclass MINE(Mine):\n    pass\n", "name 'mine' is already in use"),
        (PLUGIN.replace("    title,", "    name = 'a b'\n    title,"), "found 'a b'"),
        (PLUGIN.replace('"mine"', '""'), "Mine does not keep.*`title` must be a text, found ''"),
        (PLUGIN.replace('"ours"', "None"), "`source` must be a text, found None"),
        (PLUGIN.replace(" 1, Options", " 0, Options"), "`revision` must be .* from 1 on, found 0"),
        (PLUGIN.replace(" 1, Options", " True, Options"), "`revision` must be an integer"),
        (PLUGIN.replace("(frozen=True)", ""), "`Options` must be frozen"),
        (PLUGIN.replace("@dataclass(frozen=True)", ""), "must be a frozen dataclass, found"),
        (PLUGIN.replace("int = 64", "int"), "the option `width` needs a default"),
        (PLUGIN + "    def refine(self, frames): ...\n", "one of the methods `recover`"),
        (PLUGIN + "    def loss(self, keyframes, truth): ...\n", "must be a torch.nn.Module"),
        (PLUGIN + "    def fit(self, train, validation): ...\n", "it must have `state_dict`"),
    ],
)
def test_bad_plugin(tmp_path: Path, text: str, line: str) -> None:
    before = registry.method_names()
    with pytest.raises(BadInput, match=line):
        registry.load_plugin(plugin(tmp_path, text))
    assert registry.method_names() == before
    registry.load_plugin(plugin(tmp_path))  # can be corrected and loaded again
    assert "mine" in registry.method_names()


@pytest.mark.parametrize("name", ["absent.py", "."])
def test_missing_plugin(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="no such plugin file; --plugin takes a Python file"):
        registry.load_plugin(tmp_path / name)


def test_plugin_that_is_not_python(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"mine\.txt: not a Python file"):
        registry.load_plugin(plugin(tmp_path, name="mine.txt"))


def test_options_get_their_defaults_as_plain_values(tmp_path: Path) -> None:
    registry.load_plugin(plugin(tmp_path))
    resolved = registry.resolve_options("mine", {"rate": 1, "sizes": [3]})
    assert resolved == {"width": 64, "rate": 1.0, "mode": "a", "sizes": [3]}
    assert json.loads(json.dumps(resolved)) == resolved
    assert registry.resolve_options("mine", resolved) == resolved
    assert registry.resolve_options("linear", {}) == {}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"widht": 1}, r"^the method 'mine' has no option 'widht'; did you mean width\?$"),
        ({"zz": 1}, "no option 'zz'; known: mode, rate, sizes, width$"),
        ({"width": "x"}, "option of the method 'mine'; found width = 'x'; expected width: a valid"),
        ({"width": 2.5}, r"found width = 2\.5; expected width: a valid integer"),
        ({"width": 3}, r"mine'; found \{'width': 3\}; expected an even number$"),
        ({"mode": "c"}, "found mode = 'c'; expected mode: 'a' or 'b'"),
        ({"sizes": [1, "x"]}, r"found sizes\.1 = 'x'; expected sizes\.1: a valid integer"),
        ({"rate": "x", "mode": 1}, "found rate = 'x', mode = 1; expected rate: .*, mode: "),
    ],
)
def test_bad_options(tmp_path: Path, options: dict, line: str) -> None:
    registry.load_plugin(plugin(tmp_path))
    for act in (
        lambda: registry.resolve_options("mine", options),
        lambda: registry.build("mine", options, WINDOW),
    ):
        with pytest.raises(BadInput, match=line) as caught:
            act()
        assert "\n" not in str(caught.value)


def test_method_without_options() -> None:
    with pytest.raises(BadInput, match="'cubic' has no option 'width'; it has no options"):
        registry.resolve_options("cubic", {"width": 1})


def test_plugins_are_forgotten(tmp_path: Path) -> None:
    registry.load_plugin(plugin(tmp_path))
    registry.forget_plugins()
    assert "mine" not in registry.method_names()
    (tmp_path / "other").mkdir()
    assert registry.load_plugin(plugin(tmp_path / "other")) == ["mine"]
