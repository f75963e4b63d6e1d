"""What `bench show` does: a clip, methods with their weights, and pictures of what they predict."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bench import registry
from bench.config import TableConfig, nearest_names, table_config
from bench.contracts import BadInput, Prediction, Span
from bench.data.clips import Clip, Dataset, Split
from bench.data.histories import span_of
from bench.files import file_name
from bench.horizons import PROTOCOLS, HorizonProtocol, horizons
from bench.results import check_writable
from bench.weights import Weights

if TYPE_CHECKING:
    from bench.checkpoints import Foreign
    from bench.show import Excerpt, Forecast

# The table whose cells, and so whose trained weights, are shown.
TABLE = "table4"


@dataclass(frozen=True)
class Wanted:
    """What a user asked to see; `at` is the frame at which the future begins."""

    clip: str
    methods: tuple[str, ...]
    dataset: str = "h36m-motion"
    at: int | None = None
    budget: str = "quick"
    data: tuple[Path, ...] = ()
    checkpoints: tuple[Path, ...] = ()
    plugins: tuple[Path, ...] = ()
    out: Path = Path("out")


def show_prediction(wanted: Wanted, say: Callable[[str], None]) -> tuple[Path, ...]:
    """Draw predictions beside the truth into OUT/pictures; return the files.

    A method takes the weights of its kind among the published ones that are given, or those that
    `bench run table4` trained for seed 0 into the same folder. BadInput names what is unknown,
    what does not fit into the clip, and the command that makes weights which are not there.
    """
    from bench import checkpoints
    from bench.data import catalogue, store
    from bench.plan import check_task, chosen_table
    from bench.show import write

    for plugin in wanted.plugins:
        registry.load_plugin(plugin)
    config = chosen_table(table_config(TABLE), wanted.methods, [wanted.dataset], wanted.budget)
    check_task(config)
    check_writable(wanted.out)
    published = checkpoints.find(wanted.checkpoints)
    _check_asked_for(published, config)
    folder = catalogue.open_folder(
        wanted.dataset, catalogue.data_roots(wanted.data), budget=wanted.budget, say=say
    )
    dataset = store.load(folder)
    clip, split = find_clip(dataset, wanted.clip)
    drawn = _drawn(config, dataset)
    shown = list(_methods(config, dataset, published, wanted, drawn.name))
    at = _start(drawn, dataset, clip) if wanted.at is None else wanted.at
    excerpt = cut(dataset, clip, split, at, [span for _, _, span in shown])
    forecasts = [forecast(label, method, span, excerpt) for label, method, span in shown]
    name = file_name(dataset.name, clip.name.replace("/", "_").replace(" ", "_"), at)
    return write(excerpt, forecasts, wanted.out / "pictures", name)


def find_clip(dataset: Dataset, name: str) -> tuple[Clip, Split]:
    """The clip of that name and the split it is in; BadInput with the nearest names."""
    clips = {clip.name: (clip, split) for split, part in dataset.clips.items() for clip in part}
    if name not in clips:
        tests = [clip.name for clip in dataset.clips["test"]]
        hint = nearest_names(name, clips)
        # Hundreds of names are no hint.
        if hint.startswith("known"):
            hint = f"test clips: {', '.join(tests[:8])}{', ...' if len(tests) > 8 else ''}"
        raise BadInput(f"no such clip in {dataset.name}", clip=name, hint=hint)
    return clips[name]


def cut(dataset: Dataset, clip: Clip, split: Split, at: int, spans: Sequence[Span]) -> Excerpt:
    """The excerpt around frame `at` that the spans need; BadInput when the clip has not so much."""
    from bench.show import Excerpt

    history = max(span.history for span in spans)
    future = max(span.future for span in spans)
    last = clip.frames - future
    if not history <= at <= last:
        raise BadInput(
            "the future cannot begin at this frame",
            clip=clip.name,
            found=at,
            expected=f"{history} to {last}"
            if history <= last
            else f"a clip of {history + future} frames, not of {clip.frames}",
            hint=f"{history} frames of history and {future} of future are needed",
        )
    if not horizons(dataset.fps, future):
        raise BadInput(f"no horizon is within {future} frames of future")
    title = f"{dataset.title}, {clip.name} from frame {at} on"
    if split != "test":
        title += f" ({split} split)"
    if dataset.standin:
        title = f"STAND-IN, synthetic motion: {title}"
    return Excerpt(
        title=title,
        skeleton=dataset.skeleton,
        fps=dataset.fps,
        history=clip.truth[at - history : at],
        future=clip.truth[at : at + future],
    )


@torch.no_grad()
def forecast(label: str, method: Prediction, span: Span, excerpt: Excerpt) -> Forecast:
    """What a method says of an excerpt, as far as the excerpt and the method go.

    BadInput when that is not as far as it was made for, or not up to any horizon.
    """
    from bench.show import Forecast

    given = torch.tensor(excerpt.history[-span.history :]).reshape(1, span.history, span.pose)
    reached: dict[int, Any] = {}
    for frames in horizons(excerpt.fps, len(excerpt.future)).values():
        try:
            said = method.predict(given, frames)
        except BadInput:
            # Not every method goes on beyond what it was made for.
            if frames <= span.future:
                raise
            break
        reached[frames] = said.reshape(frames, span.joints, span.dims).numpy()
    if not reached:
        raise BadInput(
            f"{label} reaches no horizon",
            found=f"{span.future} frame{'s' if span.future > 1 else ''} of future",
            expected=f"at least {min(horizons(excerpt.fps, len(excerpt.future)).values())}",
        )
    return Forecast(
        label=label,
        poses=reached[max(reached)],
        horizons={frames: poses[-1] for frames, poses in reached.items()},
    )


def _check_asked_for(published: Sequence[Foreign], config: TableConfig) -> None:
    """Raise BadInput for published weights of a method that is not shown."""
    shown = list(dict.fromkeys(column.method for column in config.columns))
    for foreign in published:
        if foreign.method not in shown:
            raise BadInput(
                f"weights of {foreign.method}, which is not among the methods",
                file=", ".join(foreign.adopted.files),
                found=f"--methods {','.join(shown)}",
                hint=f"add {foreign.method} to --methods, or leave its --checkpoints out",
            )


def _methods(
    config: TableConfig,
    dataset: Dataset,
    published: Sequence[Foreign],
    wanted: Wanted,
    protocol: str,
) -> Iterator[tuple[str, Any, Span]]:
    """Every method with its weights, its label and its span; BadInput when weights are not there.

    Published weights take the place of the trained ones.
    """
    from bench.plan import plan

    # One row is enough: others are the same weights under another protocol.
    row = config.rows[0].model_copy(update={"protocol": protocol})
    once = config.model_copy(update={"rows": (row,)})
    planned = plan(once, {dataset.name: dataset}, budget=wanted.budget, seeds=1)
    cells = [place.cell for place in planned]
    weights = Weights(wanted.out)
    untrained = []
    for column, cell in zip(config.columns, cells, strict=True):
        own = [foreign for foreign in published if foreign.method == column.method]
        for foreign in own:
            adopted = foreign.adopted
            span = span_of(dataset, adopted.geometry["history"], adopted.geometry["future"])
            foreign.check_skeleton(dataset.name, span.joints, span.dims)
            method = _loaded(foreign.method, adopted.options, span, adopted.state)
            yield foreign.label, method, span
        if own:
            continue
        span = span_of(dataset, cell.geometry["history"], cell.geometry["future"])
        state: Mapping[str, torch.Tensor] | None = None
        if registry.kind(column.method) != "fixed":
            stored = weights.load(cell)
            if stored is None:
                untrained.append(column.key)
                continue
            state = stored[0]
        label = column.label or registry.method_class(column.method).title
        yield label, _loaded(column.method, cell.options, span, state), span
    if untrained:
        raise BadInput(
            f"no weights of {', '.join(untrained)} in {wanted.out}",
            hint=f"train first: {_training(untrained, wanted, protocol)}",
        )


def _loaded(
    name: str, options: Mapping[str, Any], span: Span, state: Mapping[str, torch.Tensor] | None
) -> Any:
    """A method, with these weights where it has any."""
    method: Any = registry.build(name, options, span)
    if state is not None:
        try:
            method.load_state_dict(state)
        except RuntimeError as error:
            # A heading and the first misfit: torch goes on with a line for each.
            raise BadInput(
                f"the weights do not fit {name} on {span.joints} joints",
                found=" ".join(str(error).splitlines()[:2]),
            ) from error
    if isinstance(method, torch.nn.Module):
        method.eval()
    return method


def _training(methods: Sequence[str], wanted: Wanted, protocol: str) -> str:
    """The command that trains methods where `wanted` looks for their weights."""
    words = ["bench", "run", TABLE, "--methods", ",".join(methods), "--datasets", wanted.dataset]
    words += ["--budget", wanted.budget, "--out", str(wanted.out)]
    if wanted.dataset not in {row.dataset for row in table_config(TABLE).rows}:
        words += ["--protocol", protocol]
    for flag, paths in (("--data", wanted.data), ("--plugin", wanted.plugins)):
        for path in paths:
            words += [flag, str(path)]
    return shlex.join(words)


def _drawn(config: TableConfig, dataset: Dataset) -> HorizonProtocol:
    """The table's protocol for a dataset, or the first one that can draw from it."""
    failed = None
    for name in dict.fromkeys([config.protocol_of(config.rows[0]), *PROTOCOLS]):
        try:
            list(PROTOCOLS[name].starts(dataset.clips["test"]))
        except BadInput as error:
            failed = failed or error
        else:
            return PROTOCOLS[name]
    raise failed or BadInput("no protocol of motion prediction")


def _start(protocol: HorizonProtocol, dataset: Dataset, clip: Clip) -> int:
    """The first draw of a clip, or its middle where none is drawn."""
    drawn = {each.name: starts for each, starts in protocol.starts(dataset.clips["test"])}
    return int(drawn[clip.name][0]) if clip.name in drawn else clip.frames // 2
