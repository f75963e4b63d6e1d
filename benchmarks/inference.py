"""Inference of one window with one thread: every engine of `bench time` against eager PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bench import registry
from bench.config import method_config
from bench.contracts import Window
from bench.timing import ENGINES, ROUNDS, Measured, Setup
from bench.timing import measure as measure_in_turns
from benchmarks import floors
from benchmarks.measuring import Request, Row, apart
from benchmarks.workloads import WORKLOADS, Workload


def measure(request: Request) -> list[Row]:
    """Milliseconds per frame of MixSynthFormer in three sizes, and of DeciWatch."""
    cases = [_subject(case, name) for case in WORKLOADS.values() for name in ("mixsynthformer",)]
    cases.append(_subject(WORKLOADS["h36m"], "deciwatch"))
    peak = apart(floors.peaks, 1)
    rows = []
    for title, method, options, window, case in cases:
        setups = [
            Setup(method, json.dumps(options, sort_keys=True), window, engine, "float32", 1, 1)
            for engine in ENGINES
        ]
        found = measure_in_turns(setups, seconds=request.seconds * ROUNDS)
        eager = found[ENGINES.index("eager")]
        floor = None
        if method == "mixsynthformer":
            floor = 1000 * floors.inference_floor(case, peak) / window.frames
        for engine, measured in zip(ENGINES, found, strict=True):
            if engine == "eager" or isinstance(eager, str) or isinstance(measured, str):
                continue
            sides = {engine: _per_frame(measured, window), "eager": _per_frame(eager, window)}
            rows.append(Row("inference", f"{title}, {engine}", "ms/frame", "lower", sides, floor))
    return rows


def _subject(case: Workload, method: str) -> tuple[str, str, Mapping[str, Any], Window, Workload]:
    """What is measured of a size: title, method, options and window."""
    if method == "mixsynthformer":
        return case.title, method, case.options, case.window, case
    preset = method_config(method).presets["released"].on(case.dataset)
    options = registry.resolve_options(method, preset.options)
    return f"DeciWatch, {case.title}", method, options, case.window, case


def _per_frame(measured: Measured, window: Window) -> tuple[float, ...]:
    return tuple(1000 * seconds / window.frames for seconds in measured.rounds)
