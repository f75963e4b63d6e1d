"""Search spaces: every method's is sound wherever it is drawn, and conditions hold."""

from dataclasses import dataclass, replace

import optuna
import pytest
import torch

from bench import config, registry, spaces
from bench.config import Training
from bench.contracts import BadInput, Choice, Real, Search, Span, Whole, Window
from bench.results import Cell
from bench.spaces import Space, applied, described, drawn, flat, nothing_to_tune, space_of, start

TUNABLE = [name for name in registry.method_names() if not nothing_to_tune(name)]


def base(method: str) -> Cell:
    """The cell of a method's quick preset, of no dataset in particular."""
    chosen = config.method_config(method)
    preset = chosen.presets[chosen.budgets.get("quick") or next(iter(chosen.presets))]
    trained = registry.kind(method) == "trainable"
    settings = Training(**{**preset.training, "windows": 100}).model_dump(mode="json")
    return Cell(
        "d", "f", method, "quick", 1, registry.resolve_options(method, preset.options),
        settings if trained else None, {}, "p", "quick", {}, "validation", 0,
    )  # fmt: skip


def geometry(method: str):
    return Span(10, 10, 17, 3) if registry.task(method) == "prediction" else Window(10, 10, 17, 3)


def trials(method: str, count: int) -> list[optuna.Trial]:
    sampler = optuna.samplers.RandomSampler(seed=7)
    study = optuna.create_study(sampler=sampler)
    return [study.ask() for _ in range(count)]


def test_every_method_has_a_space_or_says_why_not():
    assert {"mixsynthformer", "deciwatch", "mct", "smoothnet-linear", "ridge"} <= set(TUNABLE)
    assert {"simlpe", "stsgcn", "stgagcn", "mixsynthformer-prediction"} <= set(TUNABLE)
    assert nothing_to_tune("linear") == "it learns nothing"
    for method in registry.method_names():
        if registry.kind(method) != "fixed":
            assert hasattr(registry.method_class(method), "search"), method


@pytest.mark.parametrize("method", TUNABLE)
def test_a_method_can_be_built_wherever_its_space_is_drawn(method):
    cell, space = base(method), space_of(method)
    for trial in trials(method, 12):
        values = drawn(space, flat(cell), trial)
        changed = applied(cell, values)
        for name, value in values.items():
            assert flat(changed)[name] == (list(value) if isinstance(value, tuple) else value)
        registry.build(method, changed.options, geometry(method))


@pytest.mark.parametrize("method", TUNABLE)
def test_the_preset_lies_in_the_space_and_is_found_again(method):
    cell, space = base(method), space_of(method)
    first = start(space, flat(cell))
    assert first is not None
    again = applied(cell, drawn(space, flat(cell), optuna.trial.FixedTrial(first)))
    assert again.key == cell.key


def test_what_a_condition_excludes_is_not_drawn():
    cell, space = base("mixsynthformer"), space_of("mixsynthformer")
    seen = set()
    for trial in trials("mixsynthformer", 40):
        values = drawn(space, flat(cell), trial)
        exponential = values["training.schedule"] == "exponential"
        assert ("training.decay" in values) == exponential
        assert ("interpolation_start" in values) == (values["interpolation"] == "learned")
        assert ("reweight_ratio" in values) == (values["reweight"] != "none")
        seen.add(exponential)
    assert seen == {True, False}


def test_a_condition_on_what_is_not_tuned_looks_at_the_base():
    space = Space("ridge", {"width": Whole(1, 3, when={"kind": ("a",)})})
    study = optuna.create_study()
    assert drawn(space, {"kind": "b"}, study.ask()) == {}
    assert set(drawn(space, {"kind": "a"}, study.ask())) == {"width"}


def test_choices_of_several_values_survive_a_storage():
    space = Space("stsgcn", {"channels": Choice(((1, 2), (3,)))})
    trial = optuna.trial.FixedTrial({"channels": "[3]"})
    assert drawn(space, {}, trial) == {"channels": (3,)}
    assert start(space, {"channels": [1, 2]}) == {"channels": "[1, 2]"}
    assert start(space, {"channels": [9]}) is None


@pytest.mark.parametrize(
    ("entry", "value", "inside"),
    [
        (Real(0.1, 0.5), 0.5, True),
        (Real(0.1, 0.5), 0.6, False),
        (Whole(4, 12, step=4), 8, True),
        (Whole(4, 12, step=4), 9, False),
        (Choice((True, False)), False, True),
        (Choice((True, False)), 0, False),
    ],
)
def test_whether_a_preset_lies_in_a_space(entry, value, inside):
    assert (start(Space("x", {"a": entry}), {"a": value}) is not None) == inside


def test_how_many_points_a_space_has():
    assert space_of("kalman").points == 2
    assert space_of("ridge").points is None
    assert Space("x", {"a": Whole(4, 12, step=4), "b": Choice((1, 2))}).points == 6


def test_a_space_in_words():
    space = Space(
        "x",
        {
            "a": Real(0.001, 1.0, log=True),
            "bb": Whole(2, 6, step=2),
            "c": Choice(("p", (1, 2)), when={"bb": (2, 4)}),
        },
    )
    assert described(space) == [
        "a   0.001 to 1, logarithmic",
        "bb  2 to 6 in steps of 2",
        "c   p, [1, 2] when bb is 2 or 4",
    ]


@dataclass(frozen=True)
class _Options:
    width: int = 4


class _Net(torch.nn.Module):
    title, source, revision, Options = "net", "here", 1, _Options

    def __init__(self, options, window): ...

    def recover(self, keyframes): ...

    def loss(self, keyframes, truth): ...


@pytest.mark.parametrize(
    ("search", "said"),
    [
        (Search(options={"widht": Whole(1, 2)}), "names 'widht'; did you mean width"),
        (Search(training={"rate": Real(0, 1)}), "names 'training.rate'"),
        (Search(training={"windows": Whole(1, 2)}), "names 'training.windows'"),
        (
            Search(options={"width": Whole(1, 2, when={"training.lr": (1.0,)})},
                   training={"lr": Real(0.1, 1)}),
            "'width' depends on 'training.lr'; declare what a condition names first",
        ),
        (Search(), "is empty"),
        (Search(nothing="no reason"), "nothing can be tuned of mine; found no reason"),
    ],
)  # fmt: skip
def test_a_space_that_is_wrong_is_refused(monkeypatch, search, said):
    mine = type("Mine", (_Net,), {"search": search})
    monkeypatch.setattr(registry, "_plugins", {"mine": mine})
    with pytest.raises(BadInput, match=said.replace("(", r"\(")):
        space_of("mine")


def test_a_method_that_says_nothing_of_tuning_is_told_how(monkeypatch):
    monkeypatch.setattr(registry, "_plugins", {"mine": _Net})
    with pytest.raises(BadInput, match=r"docs/plugins\.md"):
        space_of("mine")


def test_only_what_is_trained_has_training_to_tune(monkeypatch):
    cls = type("R", (registry.method_class("ridge"),), {
        "search": Search(training={"lr": Real(0.1, 1)})
    })  # fmt: skip
    monkeypatch.setattr(registry, "_plugins", {"mine": cls})
    with pytest.raises(BadInput, match="is not trained"):
        space_of("mine")


def test_what_is_not_changed_stays():
    cell = base("deciwatch")
    changed = applied(cell, {"training.lr": 0.5, "width": 16})
    assert changed.training == {**cell.training, "lr": 0.5}
    assert changed.options == {**cell.options, "width": 16}
    assert replace(changed, training=cell.training, options=cell.options) == cell
    with pytest.raises(BadInput):
        applied(cell, {"training.lr": -1.0})


def test_a_record_of_a_space_is_plain():
    assert spaces.space_of("kalman").plain == {
        "model": {"kind": "choice", "values": ("velocity", "acceleration"), "when": {}}
    }
