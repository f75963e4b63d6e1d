"""The tables that ship: readable, of names that exist, with every number that the paper has.

The numbers below are typed from the tables of the MixSynthFormer paper.
"""

import pytest

from bench import registry
from bench.config import (
    TableConfig,
    dataset_config,
    dataset_names,
    method_config,
    table_config,
    table_names,
)
from bench.metrics import COSTS, metric_info
from bench.plan import check_task, chosen_table, preset_name
from bench.protocols import metrics_of, protocol
from bench.report.build import check_rows

PAPER = {
    # Head, shoulder, elbow, wrist, hip, knee, ankle, average, PCK@0.1, PCK@0.05, ratio, GFLOPs.
    "table1": """
        kfp 94.7 96.3 95.2 90.2 96.4 95.5 93.2 94.5 - - 40.8 7.19
        mapn 98.2 97.4 91.7 85.2 99.2 96.7 92.2 94.7 - - 35.2 2.70
        estimator 98.6 97.3 96.5 98.6 90.3 95.4 86.5 94.0 81.6 57.3 100 11.96
        deciwatch 99.8 99.5 99.7 99.7 98.7 99.4 96.5 98.8 94.1 79.4 10.0 1.196 0.5
        mixsynthformer 99.9 99.9 99.8 100.0 99.2 99.9 97.8 99.3 95.1 80.7 10.0 1.196 0.4
    """,
    # MPJPE, Accel, GFLOPs of the estimator, and MFLOPs of the method.
    "table2": """
        h36m-fcn/estimator 54.6 19.2 6.21
        h36m-fcn/deciwatch 52.8 1.5 0.621 0.7
        h36m-fcn/mixsynthformer 50.9 1.5 0.621 0.1
        pw3d-spin/estimator 96.6 34.7 4.13
        pw3d-spin/deciwatch 93.3 7.1 0.413 0.4
        pw3d-spin/mixsynthformer 91.2 6.8 0.413 0.03
        pw3d-eft/estimator 90.3 32.8 4.13
        pw3d-eft/deciwatch 89.0 6.8 0.413 0.4
        pw3d-eft/mixsynthformer 88.1 6.3 0.413 0.03
        pw3d-pare/estimator 78.9 25.7 15.51
        pw3d-pare/deciwatch 77.2 6.9 1.551 0.4
        pw3d-pare/mixsynthformer 76.5 6.7 1.551 0.03
        aist-spin/estimator 107.7 33.8 4.13
        aist-spin/deciwatch 71.3 7.1 0.413 0.7
        aist-spin/mixsynthformer 71.2 4.7 0.413 0.5
    """,
    # MPJPE, Accel.
    "table3": """
        h36m-fcn/nearest 57.0 10.2
        h36m-fcn/linear 54.8 1.9
        h36m-fcn/quadratic 54.6 1.6
        h36m-fcn/cubic 54.6 1.5
        h36m-fcn/mct 54.5 2.1
        h36m-fcn/mixsynthformer 50.9 1.5
        pw3d-spin/nearest 100.5 19.9
        pw3d-spin/linear 97.2 6.7
        pw3d-spin/quadratic 97.5 6.2
        pw3d-spin/cubic 97.7 6.3
        pw3d-spin/mct 91.9 8.0
        pw3d-spin/mixsynthformer 91.2 6.8
        aist-spin/nearest 114.7 28.5
        aist-spin/linear 105.9 5.7
        aist-spin/quadratic 107.1 4.6
        aist-spin/cubic 107.6 4.6
        aist-spin/mct 72.0 6.9
        aist-spin/mixsynthformer 71.2 4.7
    """,
    # 80, 160, 320, 400 ms.
    "table4": """
        stsgcn 10.1 17.1 33.1 38.3
        stgagcn 10.1 16.9 32.5 38.5
        mixsynthformer-prediction 8.4 15.8 30.5 37.4
    """,
    # MPJPE, Accel, parameters, FLOPs (millions).
    "table5": """
        vanilla 92.6 6.8 0.14 0.12
        random 92.6 6.9 0.12 0.09
        dense 92.5 6.8 0.13 0.11
        ours 92.1 6.8 0.10 0.09
    """,
    "table6": """
        1,1 52.2 1.7 0.26 0.13
        4,1 51.4 1.6 0.21 0.12
        1,4 51.8 1.7 0.23 0.12
        4,4 51.8 1.6 0.18 0.11
    """,
    # PCK@0.2, PCK@0.1.
    "table7": """
        ours 99.3 95.1
        without-se 99.0 94.2
        without-weighted-sum 98.9 94.7
        without-temporal 98.8 94.4
        without-spatial 98.6 92.9
    """,
}

JOINTS = ("head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
METRICS = {
    "table1": (
        *(f"pck@0.2:{joint}" for joint in JOINTS),
        "pck@0.2", "pck@0.1", "pck@0.05", "ratio", "estimator", "macs-published",
    ),
    "table2": ("mpjpe", "accel", "estimator", "macs-published"),
    "table3": ("mpjpe", "accel"),
    "table4": ("mpjpe@80", "mpjpe@160", "mpjpe@320", "mpjpe@400"),
    "table5": ("mpjpe", "accel", "parameters", "macs-published"),
    "table6": ("mpjpe", "accel", "parameters", "macs-published"),
    "table7": ("pck@0.2", "pck@0.1"),
}  # fmt: skip

# What else the tables quote, with a source of its own: values of other tables of the paper, of
# SmoothNet's and DeciWatch's releases, of the siMLPe paper.
BESIDES = {"table1": 0, "table2": 10 + 16 + 8, "table3": 12, "table4": 4}


def typed(name: str) -> dict[tuple[str, str, str], float]:
    """The paper's numbers by dataset, column and metric; the only dataset where none is said."""
    usual = table_config(name).rows[0].dataset
    found = {}
    for line in PAPER[name].split("\n"):
        if not line.strip():
            continue
        key, *values = line.split()
        dataset, _, column = key.rpartition("/")
        for metric, value in zip(METRICS[name], values, strict=False):
            if value != "-":
                found[dataset or usual, column, metric] = float(value)
    return found


def quoted(config: TableConfig) -> dict[tuple[str, str, str], float]:
    """The published numbers of a table by dataset, column and metric."""
    return {
        (row.dataset, key, metric): said.value
        for row in config.rows
        for key, values in row.published.items()
        for metric, said in values.items()
    }


def test_there_are_the_papers_tables() -> None:
    assert table_names() == sorted(PAPER)


@pytest.mark.parametrize(
    ("name", "count"),
    [("table1", 58), ("table2", 55), ("table3", 36), ("table4", 12), ("table5", 16),
     ("table6", 16), ("table7", 10)],
)  # fmt: skip
def test_every_number_of_the_paper_stands_in_its_table(name: str, count: int) -> None:
    paper, table = typed(name), quoted(table_config(name))
    assert len(paper) == count
    assert {place: table.get(place) for place in paper} == paper
    assert len(table) == count + BESIDES.get(name, 0)


def test_what_table_3_adds_is_what_table_2_has() -> None:
    two, three = quoted(table_config("table2")), quoted(table_config("table3"))
    both = {
        (dataset, column, metric)
        for dataset, column, metric in three
        if column in ("estimator", "deciwatch", "mixsynthformer")
    }
    assert len(both) == 18
    assert {place: three[place] for place in both} == {place: two[place] for place in both}


def test_what_is_not_the_papers_says_where_it_is_from() -> None:
    paper = typed("table2")
    for row in table_config("table2").rows:
        for key, values in row.published.items():
            for metric, said in values.items():
                assert bool(said.source) == ((row.dataset, key, metric) not in paper)


@pytest.mark.parametrize("name", sorted(PAPER))
def test_a_table_is_of_names_that_exist(name: str) -> None:
    config = table_config(name)
    check_task(config)
    check_rows(config)
    keys = [column.key for column in config.columns]
    assert config.reference in keys
    assert set(config.tolerances) <= {m for row in config.rows for m in config.metrics_of(row)}
    for row in config.rows:
        assert row.dataset in dataset_names()
        space = dataset_config(row.dataset).space
        known = metrics_of(config.protocol_of(row), space)
        for metric in config.metrics_of(row):
            assert metric_info(metric).label
            assert metric in COSTS or metric.partition(":")[0] in known, (row.dataset, metric)
        assert protocol(config.protocol_of(row)).task == dataset_config(row.dataset).task
        assert set(row.published) <= set(keys)
    for metric in config.details:
        assert metric_info(metric).label
        assert metric in COSTS or any(
            metric in metrics_of(config.protocol_of(row), dataset_config(row.dataset).space)
            for row in config.rows
        )


@pytest.mark.parametrize("budget", ["smoke", "quick", "paper"])
@pytest.mark.parametrize("name", sorted(PAPER))
def test_the_options_of_a_table_resolve_under_every_budget(name: str, budget: str) -> None:
    config = chosen_table(table_config(name), None, None, budget)
    for column in config.columns:
        if column.quoted:
            assert not column.method
            continue
        preset = method_config(column.method).presets[preset_name(column, budget)]
        for dataset in {row.dataset for row in config.rows}:
            change = preset.datasets.get(dataset)
            options = {**preset.options, **(change.options if change else {}), **column.options}
            resolved = registry.resolve_options(column.method, options)
            assert {name: resolved[name] for name in column.options} == column.options


@pytest.mark.parametrize("name", ["table5", "table6", "table7"])
def test_the_variants_of_an_ablation_differ(name: str) -> None:
    resolved = [
        registry.resolve_options(column.method, column.options)
        for column in table_config(name).columns
        if column.method == "mixsynthformer"
    ]
    assert all(one not in resolved[:place] for place, one in enumerate(resolved))


def test_the_variants_are_what_the_paper_calls_them() -> None:
    def options(name: str, *shown: str) -> dict[str, tuple[object, ...]]:
        return {
            column.key: tuple(
                registry.resolve_options(column.method, column.options)[option] for option in shown
            )
            for column in table_config(name).columns
            if column.method == "mixsynthformer"
        }

    attention = options("table5", "attention", "branches")
    assert attention == {
        "vanilla": ("vanilla", "temporal"),
        "random": ("random", "temporal"),
        "random-softmax": ("random", "temporal"),
        "dense": ("dense", "temporal"),
        "ours": ("synthetic", "temporal"),
    }
    assert options("table6", "reduction_t", "reduction_s") == {
        "1,1": (1, 1), "4,1": (4, 1), "1,4": (1, 4), "4,4": (4, 4),
    }  # fmt: skip
    assert options("table7", "gate", "reweight", "branches") == {
        "ours": ("relu-sigmoid", "frame", "both"),
        "without-se": ("none", "frame", "both"),
        "without-weighted-sum": ("relu-sigmoid", "none", "both"),
        "without-temporal": ("relu-sigmoid", "none", "spatial"),
        "without-spatial": ("relu-sigmoid", "none", "temporal"),
    }
