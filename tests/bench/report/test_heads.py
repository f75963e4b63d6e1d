"""Heads of metrics: what neighbours share, units, arrows."""

from __future__ import annotations

import pytest

from bench.contracts import BadInput
from bench.report.heads import arrow, base_of, families, heads, label
from bench.report.style import PLAIN, Style


def test_neighbours_that_are_joint_groups_of_one_metric_share_its_label() -> None:
    metrics = ("pck@0.2:head", "pck@0.2:wrist", "pck@0.2", "pck@0.1", "macs")
    assert heads(metrics, PLAIN) == [
        ("PCK@0.2", "head"),
        ("PCK@0.2", "wrist"),
        ("PCK@0.2", "avg"),
        ("", "PCK@0.1"),
        ("", "MACs"),
    ]
    assert [len(run) for run in families(metrics)] == [3, 1, 1]
    assert [base_of(metric) for metric in metrics[:2]] == ["pck@0.2", "pck@0.2"]


def test_a_group_by_itself_bears_its_whole_label() -> None:
    assert heads(("pck@0.2:wrist", "mpjpe", "pck@0.2"), PLAIN) == [
        ("PCK@0.2 wrist",),
        ("MPJPE",),
        ("PCK@0.2",),
    ]


def test_units_and_arrows_stand_on_what_is_shared() -> None:
    style = Style(units=True, arrows=True)
    assert heads(("pck@0.2:head", "pck@0.2", "accel", "macs"), style) == [
        ("PCK@0.2 (%) \u2191", "head"),
        ("PCK@0.2 (%) \u2191", "avg"),
        ("", "Accel (mm/frame^2) \u2193"),
        ("", "MACs (M/frame)"),  # costs are not ranked
    ]


@pytest.mark.parametrize(
    ("style", "wanted", "expected"),
    [(None, True, " \u2193"), (None, False, ""), (True, False, " \u2193"), (False, True, "")],
)
def test_a_style_overrules_who_draws(style: bool | None, wanted: bool, expected: str) -> None:
    assert arrow("mpjpe", Style(arrows=style), wanted=wanted) == expected
    assert label("mpjpe", Style(arrows=style), arrows=wanted) == f"MPJPE{expected}"


def test_unknown_metrics_are_refused() -> None:
    with pytest.raises(BadInput, match="unknown metric 'mpje'"):
        heads(("mpje",), PLAIN)
