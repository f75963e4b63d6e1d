"""What `bench time` does: methods and configurations chosen, measured, stored and drawn."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import cast

from bench import registry
from bench.config import dataset_config, method_config, nearest_names
from bench.contracts import BadInput, Window
from bench.machine import Load, Machine, load, physical_cores, this_machine
from bench.provenance import commit
from bench.results import check_writable
from bench.timing import ENGINES, PRECISIONS, Engine, Measured, Precision, Setup, measure
from bench.timings import Timing, Timings, check_one_machine

METHODS = ("linear", "ridge", "deciwatch", "mixsynthformer")
DATASET = "h36m-fcn"
INTERVAL = 10
BATCHES = (1, 256)
THREADS = ("1", "all")


@dataclass(frozen=True)
class Request:
    """What a user asked for; what is empty is the default when measuring, and all when reporting.

    methods: `method` or `method:preset`; threads: numbers, or `all` for all cores; seconds: of
    each measurement.
    """

    methods: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    interval: int | None = None
    batches: tuple[int, ...] = ()
    threads: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    seconds: float = 1.0
    plugins: tuple[Path, ...] = ()
    out: Path = Path("out")


@dataclass(frozen=True)
class Clocked:
    """Times of one machine in the order of their table, and what must be said about them."""

    timings: tuple[Timing, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Chosen:
    """A method on a dataset, ready to be built."""

    name: str
    label: str
    dataset: str
    options: dict[str, object]
    window: Window


def clock(
    request: Request,
    say: Callable[[str], None],
    busy: Callable[[], Load] = load,
    machine: Callable[[], Machine] = this_machine,
) -> Clocked:
    """Measure, and store in OUT/timings; a busy machine is said, and does not stop anything.

    BadInput for what is unknown, not for recovery, or more threads than there are cores.
    """
    for plugin in request.plugins:
        registry.load_plugin(plugin)
    check_writable(request.out)
    here = machine()
    chosen = [
        _chosen(name, dataset, request.interval or INTERVAL)
        for dataset in dict.fromkeys(request.datasets or (DATASET,))
        for name in dict.fromkeys(request.methods or METHODS)
    ]
    sizes = list(
        product(
            _known(request.precisions or PRECISIONS[:1], PRECISIONS, "precision"),
            _threads(request.threads or THREADS, here.cores),
            sorted(set(request.batches or BATCHES)),
        )
    )
    engines = _known(request.engines or ENGINES, ENGINES, "engine")
    before = busy()
    if not before.idle:
        say(f"warning: {before.words}: times will be too long, and ratios are rough")
    planned = [
        (each, _setup(each, *size, engine))
        for size in sizes
        for each in chosen
        for engine in engines
    ]
    found = measure(
        [setup for _, setup in planned], seconds=request.seconds, plugins=request.plugins, say=say
    )
    after = busy()
    worst = max(before, after, key=lambda each: each.busy)
    now = datetime.now(UTC)
    timings = [
        Timing(
            machine=here,
            method=each.name,
            label=each.label,
            options=each.options,
            revision=registry.method_class(setup.method).revision,
            dataset=each.dataset,
            title=dataset_config(each.dataset).title,
            window=each.window,
            engine=setup.engine,
            precision=setup.precision,
            batch=setup.batch,
            threads=setup.threads,
            measured=measured,
            run=now.isoformat(timespec="microseconds"),
            place=place,
            about={"commit": commit(), "time": now.isoformat(timespec="seconds")},
            busy="" if worst.idle else worst.words,
        )
        for place, ((each, setup), measured) in enumerate(zip(planned, found, strict=True))
        if isinstance(measured, Measured)
    ]
    store = Timings(request.out)
    for timing in timings:
        store.put(timing)
    left_out = [
        (setup, reason)
        for (_, setup), reason in zip(planned, found, strict=True)
        if isinstance(reason, str)
    ]
    return _clocked(timings, list(_unmeasured(left_out)))


def stored(request: Request) -> Clocked:
    """What earlier runs stored in OUT/timings, as far as it is asked for; measures nothing.

    BadInput when there is nothing, when the times are of several machines, and for a damaged file.
    """
    for plugin in request.plugins:
        registry.load_plugin(plugin)
    folder = Timings(request.out).folder
    wanted: dict[str, set[str] | set[int]] = {
        "method": {_full_name(name) for name in request.methods},
        "dataset": set(request.datasets),
        "engine": set(request.engines),
        "precision": set(request.precisions),
        "batch": set(request.batches),
        "threads": set(_threads(request.threads, None)),
    }
    timings = [
        timing
        for timing in Timings(request.out).all()
        if all(getattr(timing, name) in values for name, values in wanted.items() if values)
        and request.interval in (None, timing.window.interval)
    ]
    if not timings:
        raise BadInput(
            "no stored times of what is asked for", file=folder, hint="measure with `bench time`"
        )
    check_one_machine(timings, folder)
    return _clocked(timings, [])


def _clocked(timings: Sequence[Timing], notes: list[str]) -> Clocked:
    """Times in the order of a table: small configurations first, methods as they were named."""
    methods = list(dict.fromkeys(timing.method for timing in timings))
    ordered = sorted(
        timings,
        key=lambda each: (
            each.dataset,
            each.window.interval,
            PRECISIONS.index(each.precision),
            each.threads,
            each.batch,
            methods.index(each.method),
            ENGINES.index(each.engine),
        ),
    )
    if len({timing.run for timing in timings}) > 1:
        notes.append("measured in several runs; ratios are given within a run alone")
    for busy in dict.fromkeys(timing.busy for timing in timings if timing.busy):
        notes.append(f"measured on a busy machine: {busy}")
    return Clocked(tuple(ordered), tuple(notes))


def _chosen(name: str, dataset: str, interval: int) -> _Chosen:
    """A method with its preset's options and window for a dataset."""
    from bench.data.clips import DIMS
    from bench.data.skeletons import SKELETONS

    about = dataset_config(dataset)
    name = _full_name(name)
    method, _, preset = name.partition(":")
    for what, task in ((method, registry.task(method)), (dataset, about.task)):
        if task != "recovery":
            raise BadInput(f"{what} is not for recovery", hint="see `bench list`")
    presets = method_config(method).presets
    config = presets[preset or next(iter(presets))].on(dataset)
    title = registry.method_class(method).title
    return _Chosen(
        name=name,
        label=config.title or (f"{title} ({preset})" if preset else title),
        dataset=dataset,
        options=registry.resolve_options(method, config.options),
        window=Window(
            interval,
            config.intervals or about.intervals,
            len(SKELETONS[about.skeleton].joints),
            DIMS[about.space],
        ),
    )


def _full_name(name: str) -> str:
    """`method:preset`, the preset that published numbers stand for where none is named.

    The method alone where it has no presets; BadInput for an unknown method or preset.
    """
    method, _, preset = name.partition(":")
    registry.method_class(method)
    presets = method_config(method).presets
    if preset and preset not in presets:
        raise BadInput(
            f"unknown preset '{preset}' of {method}", hint=nearest_names(preset, presets)
        )
    chosen = preset or method_config(method).of_publication
    return method if chosen == "default" else f"{method}:{chosen}"


def _setup(chosen: _Chosen, precision: str, threads: int, batch: int, engine: str) -> Setup:
    return Setup(
        method=chosen.name.partition(":")[0],
        options=json.dumps(chosen.options, sort_keys=True),
        window=chosen.window,
        engine=cast("Engine", engine),
        precision=cast("Precision", precision),
        batch=batch,
        threads=threads,
    )


def _known(names: Sequence[str], known: Sequence[str], what: str) -> list[str]:
    """The names, each once; BadInput with the nearest ones for one that is unknown."""
    for name in names:
        if name not in known:
            raise BadInput(f"unknown {what} '{name}'", hint=nearest_names(name, known))
    return list(dict.fromkeys(names))


def _threads(names: Sequence[str], cores: int | None) -> list[int]:
    """Numbers of threads, ascending; BadInput for what is none, or more than there are cores."""
    found = set()
    for name in names:
        number = physical_cores() if name == "all" else int(name) if name.isdecimal() else 0
        if number < 1 or (cores is not None and number > cores):
            raise BadInput(
                "not a number of threads to measure",
                found=name,
                expected=f"1 to {cores or 'the number of cores'}, or all",
                hint="threads that wait for each other's core measure nothing",
            )
        found.add(number)
    return sorted(found)


def _unmeasured(left_out: Sequence[tuple[Setup, str]]) -> Iterator[str]:
    """One sentence for every reason, with what it kept from being measured."""
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for setup, reason in left_out:
        methods = reasons.setdefault((setup.engine, setup.precision, reason), [])
        if setup.method not in methods:
            methods.append(setup.method)
    for (engine, precision, reason), methods in reasons.items():
        yield f"not measured: {engine} in {precision} of {', '.join(methods)}: {reason}"
