"""Search spaces that several methods share: what `bench tune` may change of their training."""

from __future__ import annotations

from collections.abc import Mapping

from bench.contracts import Choice, Real, Search, Tunable

TRAINING: Mapping[str, Tunable] = {
    "lr": Real(2e-4, 2e-2, log=True),
    "batch": Choice((16, 32, 64, 128)),
    "weight_decay": Choice((0.0, 1e-5, 1e-4, 1e-3)),
    "amsgrad": Choice((True, False)),
    "schedule": Choice(("cosine", "exponential")),
    # An epoch of a large split may be longer than the whole training: then this does nothing.
    "decay": Real(0.8, 1.0, when={"training.schedule": ("exponential",)}),
}
"""Of every trained method: the rate around the presets', and what else Adam is given."""

CHOSEN_BY_FIT = Search(nothing="its fit chooses all it has on validation already")
"""Of fitted methods without an option but the candidates that their fit tries."""
