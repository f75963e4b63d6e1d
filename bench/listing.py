"""What there is, in lines: methods, datasets, tables and so on, data found, versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import config as configs
from bench import registry
from bench.config import TableConfig
from bench.contracts import BadInput
from bench.data.clips import SPLITS, Dataset

_DATASET = ("name", "task", "title", "space", "comes from")


def listed(what: str, plugins: Sequence[Path], data: Sequence[Path]) -> list[str]:
    """One line per method, dataset, table, budget or protocol."""
    for plugin in plugins:
        registry.load_plugin(plugin)
    if what == "methods":
        rows = [
            (
                name,
                registry.task(name),
                registry.kind(name),
                registry.sees(name),
                ", ".join(configs.method_config(name).presets),
                registry.method_class(name).title,
                registry.method_class(name).source,
            )
            for name in registry.method_names()
        ]
        return _aligned([("name", "task", "kind", "sees", "presets", "title", "source"), *rows])
    if what == "budgets":
        budgets = [(name, budget.summary) for name, budget in configs.budgets().items()]
        return _aligned([("name", "summary"), *budgets])
    if what == "protocols":
        from bench.protocols import protocol, protocol_names

        protocols = [(name, protocol(name).summary) for name in protocol_names()]
        return _aligned([("name", "summary"), *protocols])
    if what == "tables":
        tables = [(name, *_about(configs.table_config(name))) for name in configs.table_names()]
        return _aligned([("name", "task", "title"), *tables])
    return _aligned([_DATASET, *_datasets(data)])


def checked(names: Sequence[str], data: Sequence[Path]) -> Iterator[str]:
    """Load every dataset that has data or a stand-in, and say what it holds.

    BadInput at the first one that is wrong.
    """
    from bench.data import catalogue, store

    roots = catalogue.data_roots(data)
    for name in names or configs.dataset_names():
        try:
            found = catalogue.locate(name, roots)
        except BadInput as error:
            if names:
                raise
            yield f"{name}: {error}"
            continue
        config = configs.dataset_config(name)
        raw = found.root if config.lifter and found.layout == "h36m" else None
        if raw is not None and not catalogue.prepared_budgets(name, raw):
            yield f"{name}: {found.words}; not prepared yet: bench data prepare {name}"
            continue
        folder = catalogue.open_folder(name, roots, budget="quick")
        dataset = store.load(folder)
        clips = ((split, clip) for split in SPLITS for clip in dataset.clips[split])
        if store.fingerprint(clips, dataset.body) != dataset.fingerprint:
            raise BadInput(
                "the prepared data is damaged",
                file=folder,
                expected=f"fingerprint {dataset.fingerprint}",
                hint="delete the folder to prepare it anew",
            )
        yield from _described(dataset, folder)


def prepared(
    name: str, data: Sequence[Path], device: str, budget: str, say: Callable[[str], None]
) -> list[str]:
    """Make a dataset ready and describe it; a lifter is trained with the given budget."""
    from bench.commands import device_named
    from bench.data import catalogue, store
    from bench.data.prepare import prepare

    roots = catalogue.data_roots(data)
    found = catalogue.locate(name, roots)
    where = device_named(device)
    if found.layout == "h36m" and found.root is not None:
        folder = prepare(name, found.root, budget, device=where, say=say)
    else:
        folder = catalogue.open_folder(name, roots, budget=budget, device=where, say=say)
    return [*_described(store.load(folder), folder), f"  kept in {folder}"]


def diagnosis(data: Sequence[Path], out: Path) -> list[str]:
    """Versions, device, threads, and what data was found."""
    from bench.data.store import cache_folder
    from bench.provenance import report

    lines = _aligned([*report(out), ("cache", str(cache_folder()))])
    return [*lines, "", *_aligned([("dataset", *_DATASET[1:]), *_datasets(data)])]


def _about(table: TableConfig) -> tuple[str, str]:
    """The task of a table's datasets, and its title."""
    tasks = dict.fromkeys(configs.dataset_config(row.dataset).task for row in table.rows)
    return " and ".join(tasks), table.title


def _datasets(data: Sequence[Path]) -> list[tuple[str, ...]]:
    from bench.data import catalogue

    roots = catalogue.data_roots(data)
    rows: list[tuple[str, ...]] = []
    for name in configs.dataset_names():
        config = configs.dataset_config(name)
        try:
            words = catalogue.locate(name, roots).words
        except BadInput as error:
            words = str(error)
        rows.append((name, config.task, config.title, config.space, words))
    return rows


def _described(dataset: Dataset, folder: Path) -> Iterator[str]:
    """What a dataset holds and, where one is between it and the truth, how its estimator does."""
    from bench.data.clips import missed
    from bench.data.expmap import actions
    from bench.estimators import own_errors
    from bench.metrics import metric_info
    from bench.report.sentences import grouped

    config = configs.dataset_config(dataset.name)
    prediction = config.task == "prediction"
    mark = " [stand-in]" if dataset.standin else ""
    yield f"{dataset.name}: {dataset.title}{mark}, from {dataset.origin}"
    for split in SPLITS:
        clips = dataset.clips[split]
        frames = sum(clip.frames for clip in clips)
        lost = missed(dataset, split)
        text = f"  {split}: {_counted(len(clips), 'clip')}, {grouped(frames)} frames"
        if prediction:
            text += f", {_counted(len(actions(dataset, split)), 'action')}"
        yield text + (f", {grouped(lost)} missed joints" if lost else "")
    published = config.single_frame
    scores = {} if prediction else own_errors(dataset, folder)
    for metric, value in scores.items():
        info = metric_info(metric)
        beside = f" (published {published[metric] * info.scale:g})" if metric in published else ""
        yield f"  every frame: {info.label} {value * info.scale:.2f} {info.unit}{beside}"
    for note in dataset.notes:
        yield f"  note: {note}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
