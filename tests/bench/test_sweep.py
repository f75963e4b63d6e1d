"""Sweeps over the sampling interval: values of K, lengths of windows, published curves."""

import pytest

from bench.config import Sweeps, assets, dataset_names, read
from bench.contracts import BadInput
from bench.metrics import metric_info
from bench.sweep import parsed, table


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("2:5", (2, 3, 4, 5)),
        ("2:10:4", (2, 6, 10)),
        ("2:11:4", (2, 6, 10)),
        ("7", (7,)),
        ("5, 2,5,10", (2, 5, 10)),
        ("1:1", (1,)),
    ],
)
def test_values_of_k(text: str, values: tuple[int, ...]) -> None:
    assert parsed(text) == values


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "2:",
        "2:x",
        "x",
        "2.5",
        "0",
        "0:5",
        "-3,2",
        "5:2",
        "2:5:0",
        "5:2:-1",
        "1:2:3:4",
        ",",
    ],
)
def test_what_is_no_value_of_k(text: str) -> None:
    with pytest.raises(BadInput, match=r"not values of K; found .*; expected FIRST:LAST, "):
        parsed(text)


def test_windows_are_as_long_as_fits() -> None:
    config = table("h36m-fcn", (2, 3, 10, 100), ["linear"])
    rows = [(row.dataset, row.interval, row.intervals) for row in config.rows]
    assert rows == [
        ("h36m-fcn", 2, 50),
        ("h36m-fcn", 3, 33),
        ("h36m-fcn", 10, 10),
        ("h36m-fcn", 100, 1),
    ]
    shorter = table("h36m-fcn", (2, 20), ["linear"], frames=21)
    assert [row.intervals for row in shorter.rows] == [10, 1]


@pytest.mark.parametrize(("frames", "interval"), [(101, 101), (10, 10)])
def test_windows_without_a_whole_interval_are_refused(frames: int, interval: int) -> None:
    with pytest.raises(BadInput, match=f"found {frames} frames, K = {interval}; raise --frames"):
        table("h36m-fcn", (2, interval), ["linear"], frames=frames)


def test_published_values_are_those_of_k() -> None:
    methods = ["estimator", "linear", "deciwatch"]
    config = table("h36m-fcn", (2, 10, 15, 16, 20, 25), methods)
    found = [
        [(key, *(said.value for said in values.values())) for key, values in row.published.items()]
        for row in config.rows
    ]
    # DeciWatch's released results have nothing of K from 16 to 19 on Human3.6M, or beyond 20.
    assert found == [
        [("estimator", 54.55, 19.18), ("deciwatch", 52.89, 5.12)],
        [("estimator", 54.56, 19.18), ("deciwatch", 53.02, 1.47)],
        [("estimator", 54.57, 19.18), ("deciwatch", 53.49, 1.36)],
        [],
        [("estimator", 54.57, 19.18), ("deciwatch", 54.42, 1.39)],
        [],
    ]
    assert list(config.rows[0].published["deciwatch"]) == ["mpjpe", "accel"]


def test_published_values_are_for_their_windows_metrics_and_protocol_alone() -> None:
    assert not table("h36m-fcn", (10,), None, protocol="full").rows[0].published
    assert not any(row.published for row in table("h36m-fcn", (10,), None, frames=51).rows)
    (row,) = table("h36m-fcn", (10,), None, metrics=("accel",)).rows
    assert {key: list(values) for key, values in row.published.items()} == {
        "estimator": ["accel"], "deciwatch": ["accel"],
    }  # fmt: skip
    # Another preset is another method, of which nothing is published.
    assert not table("h36m-fcn", (10,), ["deciwatch:released"]).rows[0].published
    assert not table("jhmdb-simplepose", (10,), None).rows[0].published


def test_metrics_follow_the_space_of_the_poses() -> None:
    assert table("h36m-fcn", (5,), ["linear"]).metrics == ("mpjpe", "accel", "total")
    assert table("h36m-sh", (5,), ["linear"]).metrics == ("pixels", "pck@0.05", "macs")
    assert table("pw3d-spin-smpl", (5,), ["linear"]).metrics == ("angle", "total")
    assert table("h36m-fcn", (5,), ["linear"], metrics=("pampjpe",)).metrics == ("pampjpe",)


def test_short_clips_get_short_windows_of_two_keyframes_at_least() -> None:
    rows = table("jhmdb-simplepose", (2, 10, 20), ["linear"]).rows
    assert [row.intervals for row in rows] == [5, 1, 1]


def test_columns_are_methods_or_methods_under_a_preset() -> None:
    config = table("h36m-fcn", (5,), ["estimator", "deciwatch:released", "ridge", "ridge"])
    assert [column.key for column in config.columns] == ["estimator", "deciwatch:released", "ridge"]
    assert [column.label for column in config.columns][:2] == [
        "every frame", "DeciWatch (released)",
    ]  # fmt: skip
    assert config.reference == "estimator"
    assert table("h36m-fcn", (5,), ["ridge", "linear"]).reference == "linear"
    keys = [column.key for column in table("h36m-fcn", (5,), None).columns]
    assert keys[0] == "estimator"
    assert {"linear", "quadratic", "cubic", "deciwatch", "mixsynthformer"} <= set(keys)


def test_a_dataset_without_keyframes_is_refused() -> None:
    with pytest.raises(BadInput, match="h36m-motion has no sampling interval"):
        table("h36m-motion", (5,), None)


def test_unknown_names_are_one_line() -> None:
    with pytest.raises(BadInput, match="unknown dataset 'h36m-fnc'; did you mean h36m-fcn"):
        table("h36m-fnc", (5,), None)
    with pytest.raises(BadInput, match="unknown method 'lineer'; did you mean linear"):
        table("h36m-fcn", (5,), ["lineer"])


def test_the_published_curves_that_ship_belong_to_known_datasets_and_metrics() -> None:
    curves = read(assets() / "configs/sweeps.yaml", Sweeps)
    assert curves.source
    for dataset, methods in curves.datasets.items():
        assert dataset in dataset_names()
        assert set(methods) == {"estimator", "deciwatch"}
        for metrics in methods.values():
            for metric, values in metrics.items():
                assert metric_info(metric).better == "lower"
                assert len(values) == 20
