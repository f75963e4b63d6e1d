"""Ablations: flags to variants, one baseline, one line for every mistake."""

from pathlib import Path
from typing import Any

import pytest

from bench import registry
from bench.ablation import BASELINE, Asked, listed, parsed, table, usual_dataset
from bench.config import TableConfig, method_config
from bench.contracts import BadInput


def asked(
    changes: dict[str, tuple[str, ...]] | None = None,
    without: tuple[str, ...] = (),
    method: str = "mixsynthformer",
    **rest: Any,
) -> Asked:
    given: dict[str, Any] = {
        "grid": "full",
        "datasets": ("h36m-motion" if method == "simlpe" else "h36m-fcn",),
        "budget": "quick",
        **rest,
    }
    return Asked(method, changes or {}, without, **given)


def variants(config: TableConfig) -> dict[str, dict[str, Any]]:
    """Labels and changed options of the columns, the baseline's first."""
    return {column.label or "": column.options for column in config.columns}


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ([], {}),
        (["--rt", "1,4"], {"rt": ("1", "4")}),
        (["--rt=1,4"], {"rt": ("1", "4")}),
        (["--rt", "1", "--rs=2", "--rt", "4"], {"rt": ("1", "4"), "rs": ("2",)}),
        (["--rt", " 1 , 4 ,", "--rt", "1"], {"rt": ("1", "4")}),
        (["--lr", "-1"], {"lr": ("-1",)}),
        (["--a-b=c=d"], {"a-b": ("c=d",)}),
    ],
)
def test_flags_become_values(words: list[str], changes: dict[str, tuple[str, ...]]) -> None:
    assert parsed(words) == changes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rt"], "--rt needs a value; expected --rt VALUE"),
        (["--rt", "--rs", "1"], "--rt needs a value"),
        (["--rt="], "--rt needs a value"),
        (["--rt", " , "], "--rt needs a value"),
        (["rt", "4"], "not a flag; found rt; expected --OPTION"),
        (["-rt", "4"], "not a flag; found -rt"),
        (["--", "4"], "not a flag; found --;"),
        (["--=4"], "not a flag; found --;"),
        (["--rt", "1", "4"], "not a flag; found 4"),
    ],
)
def test_what_is_no_flag_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parsed(words)


def test_a_full_grid_has_all_combinations_and_the_default_once() -> None:
    # The quick preset has r_t = 4 and r_s = 1.
    config = table(asked({"rt": ("1", "4"), "rs": ("1", "8")}))
    assert variants(config) == {
        "default (rt=4, rs=1)": {},
        "rt=1, rs=1": {"reduction_t": 1, "reduction_s": 1},
        "rt=1, rs=8": {"reduction_t": 1, "reduction_s": 8},
        "rt=4, rs=8": {"reduction_t": 4, "reduction_s": 8},
    }
    assert config.reference == config.columns[0].key == BASELINE
    assert config.differences


def test_a_single_grid_has_one_change_at_a_time() -> None:
    config = table(asked({"rt": ("1", "4"), "rs": ("1", "8")}, ("se",), grid="single"))
    assert variants(config) == {
        "default (rt=4, rs=1)": {},
        "rt=1": {"reduction_t": 1},
        "rs=8": {"reduction_s": 8},
        "without se": {"gate": "none"},
    }


def test_removals_alone_have_a_row_each() -> None:
    assert variants(table(asked({}, ("se", "weighted-sum", "temporal", "spatial")))) == {
        "default": {},
        "without se": {"gate": "none"},
        "without weighted-sum": {"reweight": "none"},
        "without temporal": {"branches": "spatial", "reweight": "none"},
        "without spatial": {"branches": "temporal", "reweight": "none"},
    }


def test_removals_beside_flags_are_combined_with_them() -> None:
    assert list(variants(table(asked({"rt": ("1",)}, ("se",))))) == [
        "default", "rt=1", "rt=1, without se",
    ]  # fmt: skip


def test_attention_of_one_branch_implies_that_branch() -> None:
    temporal = {"branches": "temporal", "reweight": "none"}
    assert variants(table(asked({"attention": ("vanilla", "dense", "synthetic")}))) == {
        "default (attention=synthetic)": {},
        "attention=vanilla": {"attention": "vanilla", **temporal},
        "attention=dense": {"attention": "dense", **temporal},
    }


def test_what_implies_a_removal_is_not_shown_twice() -> None:
    found = variants(table(asked({"attention": ("dense",)}, ("spatial", "se"))))
    assert list(found) == ["default", "attention=dense", "attention=dense, without se"]


@pytest.mark.parametrize("order", [("attention", "branches"), ("branches", "attention")])
def test_what_is_asked_for_wins_over_what_is_implied(order: tuple[str, str]) -> None:
    values = {"attention": ("synthetic",), "branches": ("temporal",), "reweight": ("channel",)}
    config = table(asked({name: values[name] for name in (*order, "reweight")}))
    (options,) = (column.options for column in config.columns[1:])
    assert (options["branches"], options["reweight"]) == ("temporal", "channel")


def test_flags_are_the_options_names_too() -> None:
    by_flag, by_name, by_dash = (
        table(asked({flag: ("1",)})).columns[1].options
        for flag in ("rt", "reduction_t", "reduction-t")
    )
    assert by_flag == by_name == by_dash == {"reduction_t": 1}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (asked(), "nothing to vary; bench ablate --method mixsynthformer --list names the flags"),
        (asked({"tr": ("1",)}), "mixsynthformer' has no option for --tr; did you mean rt or rs"),
        (asked({"x": ("1",)}, method="linear"), "no option for --x; it has no options"),
        (asked({}, ("sex",)), "'sex' is no part of mixsynthformer that can be removed; did you"),
        (asked({}, ("se",), "deciwatch"), "'se' is no part of deciwatch .*; it has none"),
        (asked({"rt": ("a",)}), "wrong option .*found reduction_t = 'a'; expected .*integer"),
        (asked({"rt": ("[",)}), r"--rt has no such value; found \["),
        (asked({"attention": ("dens",)}), "wrong option .*found attention = 'dens'"),
        (asked({"rt": ("4",)}), "every variant is the baseline; found rt=4; vary something"),
        (asked({"rt": ("1",)}, method="lineer"), "unknown method 'lineer'; did you mean linear"),
        (asked({"rt": ("1",)}, preset="relesed"), "unknown preset 'relesed' of .*released"),
        (asked({"rt": ("1",)}, datasets=("h36",)), "unknown dataset 'h36'"),
        (asked({"blocks": ("2",)}, method="simlpe", interval=5), "simlpe predicts"),
        (asked({"blocks": ("2",)}, method="simlpe", intervals=5), "simlpe predicts"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_mistake_is_one_line(wanted: Asked, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        table(wanted)
    assert "\n" not in str(caught.value)


def test_the_baseline_is_that_of_each_dataset() -> None:
    # The paper's preset has width 64 on Human3.6M, 128 on AIST++.
    both = asked({"width": ("64", "128")}, budget="paper", datasets=("h36m-fcn", "aist-spin"))
    assert list(variants(table(both))) == ["default", "width=64", "width=128"]
    one = asked({"width": ("64", "128")}, budget="paper", datasets=("aist-spin",))
    assert list(variants(table(one))) == ["default (width=128)", "width=64"]


def test_datasets_of_different_spaces_are_measured_differently() -> None:
    names = ("h36m-fcn", "h36m-sh", "pw3d-spin-smpl", "h36m-fcn")
    config = table(asked({"rt": ("1",)}, datasets=names))
    assert [(row.dataset, row.metrics) for row in config.rows] == [
        ("h36m-fcn", ("mpjpe", "accel", "live", "macs")),
        ("h36m-sh", ("pixels", "pck@0.05", "live", "macs")),
        ("pw3d-spin-smpl", ("angle", "live", "macs")),
    ]
    given = table(asked({"rt": ("1",)}, datasets=("h36m-sh",), metrics=("pck@0.2",)))
    assert given.rows[0].metrics == given.metrics == ("pck@0.2",)


def test_a_window_can_be_chosen() -> None:
    usual, other = (
        table(asked({"rt": ("1",)}, **rest)) for rest in ({}, {"interval": 5, "intervals": 3})
    )
    assert (usual.interval, usual.rows[0].intervals) == (10, None)
    assert (other.interval, other.rows[0].intervals) == (5, 3)
    assert (usual.protocol, usual.title) == ("deciwatch", "Ablation of MixSynthFormer")
    full = table(asked({"rt": ("1",)}, protocol="full"))
    assert full.protocol == "full"


def test_the_usual_dataset_is_of_the_methods_task() -> None:
    assert usual_dataset("mixsynthformer") == "h36m-fcn"
    assert usual_dataset("simlpe") == "h36m-motion"


def test_methods_that_predict_have_their_own_dataset_protocol_and_metrics() -> None:
    config = table(asked({"blocks": ("2", "4")}, method="simlpe"))
    assert list(variants(config)) == ["default", "blocks=2", "blocks=4"]
    assert config.protocol == "h36m-average"
    assert [row.dataset for row in config.rows] == ["h36m-motion"]
    assert config.metrics == (
        "mpjpe@80", "mpjpe@160", "mpjpe@320", "mpjpe@400", "live", "macs",
    )  # fmt: skip


def test_any_method_with_options_can_be_varied() -> None:
    # The quick preset has one layer.
    config = table(asked({"layers": ("1", "3")}, method="deciwatch"))
    assert variants(config) == {"default (layers=1)": {}, "layers=3": {"depth": 3}}


def test_a_preset_can_be_the_baseline() -> None:
    config = table(asked({"rt": ("1",)}, preset="released"))
    assert {column.preset for column in config.columns} == {"released"}


PLUGIN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class _Options:
    shift_by: float = 0.5
    how: str = "plain"
    twice: bool = False

class Shifted:
    title, source, revision, Options = "shifted", "here", 1, _Options
    def __init__(self, options, window):
        pass
    def recover(self, keyframes):
        return keyframes
"""


def test_a_method_of_ones_own_can_be_varied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_plugins", {})
    monkeypatch.setattr(registry, "_files", {})
    file = tmp_path / "plugin.py"
    file.write_text(PLUGIN)
    registry.load_plugin(file)
    changes = {"shift-by": ("1e-3", "2"), "twice": ("true",), "how": ("other",)}
    config = table(asked(changes, method="shifted", grid="single"))
    assert [column.options for column in config.columns] == [
        {}, {"shift_by": "1e-3"}, {"shift_by": 2}, {"twice": True}, {"how": "other"},
    ]  # fmt: skip
    assert registry.resolve_options("shifted", {"shift_by": "1e-3"})["shift_by"] == 0.001
    assert listed("shifted", "quick") == [
        "--shift-by  (default 0.5)", "--how  (default plain)", "--twice  (default false)",
    ]  # fmt: skip


def test_flags_are_listed_with_the_baselines_values() -> None:
    quick, paper = (listed("mixsynthformer", budget) for budget in ("quick", "paper"))
    assert "--rt, --reduction-t  (default 4)" in quick
    assert "--layers, --depth  (default 2)" in quick
    assert "--layers, --depth  (default 4, others by dataset)" in paper
    assert "--layers, --depth  (default 5)" not in paper
    assert quick[-1] == "--without  se, weighted-sum, temporal, spatial"
    assert len(quick) == len(registry.resolve_options("mixsynthformer", {})) + 1
    assert listed("linear", "quick") == ["linear has no options"]
    assert "--width  (default 128, others by dataset)" in listed("deciwatch", "quick", "released")
    with pytest.raises(BadInput, match="unknown method 'lineer'"):
        listed("lineer", "quick")


@pytest.mark.parametrize(
    "method", [name for name in registry.method_names() if method_config(name).ablation.flags]
)
def test_flags_parts_and_implied_options_that_ship_are_real(method: str) -> None:
    options = registry.resolve_options(method, {})
    said = method_config(method).ablation
    assert set(said.flags.values()) <= set(options)
    # A flag's short name is not the name of another option.
    assert not {flag.replace("-", "_") for flag in said.flags} & set(options)
    for removed in said.without.values():
        assert registry.resolve_options(method, removed) != options
    for option, values in said.implied.items():
        for value, implied in values.items():
            registry.resolve_options(method, {option: value, **implied})
