"""Clips put together to a dataset: what every loader and generator ends with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bench.config import DatasetConfig
from bench.data.body import BodyModel
from bench.data.clips import SPLITS, Clip, Dataset, Split
from bench.data.skeletons import SKELETONS
from bench.data.store import fingerprint


def assemble(
    name: str,
    config: DatasetConfig,
    clips: Mapping[Split, Iterable[Clip]],
    origin: str,
    *,
    standin: bool = False,
    notes: Iterable[str] = (),
    body: BodyModel | None = None,
) -> Dataset:
    """A dataset of clips that were checked, with what its configuration says about it.

    name: as in configs/datasets; the rest as in `Dataset`, the fingerprint made of the clips and
    the body.
    """
    parts = {split: tuple(clips[split]) for split in SPLITS}
    return Dataset(
        name=name,
        title=config.title,
        estimator=config.estimator,
        space=config.space,
        fps=config.fps,
        skeleton=SKELETONS[config.skeleton],
        clips=parts,
        origin=origin,
        standin=standin,
        notes=tuple(notes),
        fingerprint=fingerprint(((s, clip) for s in SPLITS for clip in parts[s]), body),
        body=body,
    )
