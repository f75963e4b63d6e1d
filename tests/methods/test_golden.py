"""Every file of the golden folder is one case: its weights, its input, its output (to 1e-5)."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.contracts import Span, Window
from methods import weights
from methods.deciwatch import DeciWatch
from methods.mixsynthformer import MixSynthFormer
from methods.smoothnet import SmoothNet, SmoothNetOptions
from methods.stsgcn import STSGCN

SHARED = Path(os.environ.get("BENCH_SHARED", Path(__file__).resolve().parents[2] / "../shared"))
GOLDEN = Path(os.environ.get("BENCH_GOLDEN", SHARED / "golden"))
KINDS = {
    "vanilla": "vanilla",
    "random_synth": "random",
    "dense": "dense",
    "my_synth": "synthetic",
}


class Golden:
    """One file: meta values, inputs, outputs and weights by name."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        self.name = path.stem
        self.weights = {
            key.removeprefix("param/"): torch.as_tensor(np.asarray(value, dtype=np.float32))
            for key, value in arrays.items()
            if key.startswith("param/")
        }
        self.meta = {
            key.removeprefix("meta/"): value.item()
            for key, value in arrays.items()
            if key.startswith("meta/")
        }
        self.output = {
            key.removeprefix("output/"): torch.as_tensor(value)
            for key, value in arrays.items()
            if key.startswith("output/")
        }
        given = [value for key, value in arrays.items() if key.startswith("input/")]
        self.input = torch.as_tensor(given[0] if len(given) == 1 else np.empty(0))

    def shape(self, key: str) -> tuple[int, ...]:
        return tuple(self.weights[key].shape)

    def layers(self, prefix: str) -> int:
        """How many layers the keys under `prefix` count."""
        found = (re.match(rf"{re.escape(prefix)}\.(\d+)\.", key) for key in self.weights)
        return 1 + max(int(match[1]) for match in found if match)


def ratio(*sizes: tuple[int, int]) -> int:
    """The ratio that divides each size (rounding down) into the width found in the weights."""
    fitting = [r for r in range(1, sizes[0][0] + 1) if all(n // r == d for n, d in sizes)]
    # Several ratios can give one width: any of them is the same model.
    return fitting[0]


def files(*prefixes: str) -> list[Path]:
    return sorted(path for prefix in prefixes for path in GOLDEN.glob(f"{prefix}_*.npz"))


def cases(*prefixes: str) -> pytest.MarkDecorator:
    found = [pytest.param(path, id=path.stem) for path in files(*prefixes)]
    skipped = pytest.param(
        None, id="absent", marks=pytest.mark.skip(f"no golden {' or '.join(prefixes)} files")
    )
    return pytest.mark.parametrize("path", found or [skipped])


def built(model: nn.Module, golden: Golden) -> nn.Module:
    weights.load(model, golden.weights)
    assert sum(p.numel() for p in model.parameters()) == golden.meta.get(
        "params", sum(w.numel() for w in golden.weights.values())
    )
    return model.eval()


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def mixsynthformer(golden: Golden) -> MixSynthFormer:
    width, pose = golden.shape("encoder_emb.weight")
    interval = golden.meta["sample_interval"]
    frames = golden.input.shape[1]
    window = Window(interval, (frames - 1) // interval, pose, 1)
    block = "encoder.layers.0."
    token, channel = (block + f"synth_att.synth_{part}." for part in ("token", "channel"))
    both = channel + "dense.weight" in golden.weights
    kind = KINDS[golden.name.removeprefix("ablation_")] if not both else "synthetic"
    quadratic = not both and kind == "synthetic"
    options = {
        "width": width,
        "depth": golden.layers("encoder.layers"),
        "expansion": golden.shape(block + "ff.fc1.weight")[0] // width,
        "attention": kind,
    }
    if both:
        options |= {
            "reduction_t": ratio((frames, golden.shape(token + "dense.weight")[0])),
            "reduction_s": ratio((width, golden.shape(channel + "dense.weight")[0])),
            "gate_ratio": ratio(
                (frames, golden.shape(token + "se.fc.0.weight")[0]),
                (width, golden.shape(channel + "se.fc.0.weight")[0]),
            ),
            "reweight_ratio": ratio(
                (frames, golden.shape(block + "synth_att.reweight.fc1.weight")[0])
            ),
        }
    else:
        options |= {
            "branches": "temporal",
            "reweight": "none",
            "interpolation": "quadratic" if quadratic else "linear",
        }
        if kind == "synthetic":
            options |= {
                "reduction_t": ratio((frames, golden.shape(token + "dense.weight")[0])),
                "gate_ratio": ratio((frames, golden.shape(token + "se.fc.0.weight")[0])),
            }
    model = MixSynthFormer(MixSynthFormer.Options(**options), window)
    return built(model, golden)


@cases("mixsynthformer", "ablation")
def test_mixsynthformer(path: Path) -> None:
    golden = Golden(path)
    model = mixsynthformer(golden)
    with torch.no_grad():
        keyframes = golden.input[:, :: model.window.interval]
        for function in (model.recover, model.folded()):
            assert_close(function(keyframes), golden.output["recovered"])


@pytest.mark.parametrize("cross", ["masked", "additive"])
@cases("deciwatch")
def test_deciwatch(path: Path, cross: str) -> None:
    golden = Golden(path)
    width, pose, kernel = golden.shape("transformer.decoder_embed.weight")
    intervals, frames = golden.meta["Q"], golden.input.shape[1]
    window = Window((frames - 1) // intervals, intervals, pose, 1)
    options = DeciWatch.Options(
        width=width,
        depth=golden.layers("transformer.encoder.layers"),
        heads=golden.meta.get("heads", 4),
        feed=golden.shape("transformer.encoder.layers.0.linear1.weight")[0],
        kernel=kernel,
        norm="pre" if golden.meta["pre_norm"] else "post",
        cross_attention=cross,
    )
    model = built(DeciWatch(options, window), golden)
    with torch.no_grad():
        keyframes = golden.input[:, :: window.interval]
        recovered, denoised = model.stages(keyframes)
        folded = model.folded()(keyframes)
    masked = cross == "masked"
    name = "recovered" if masked else "recovered_additive_memory_mask"
    assert_close(recovered, golden.output[name])
    assert_close(folded, golden.output[name])
    every = golden.output["denoised"]
    assert_close(denoised, every[:, :: window.interval] if masked else every)


@cases("stsgcn")
def test_stsgcn(path: Path) -> None:
    golden = Golden(path)
    (adopted,) = STSGCN.adopt({path.name: golden.weights})
    dims, history, joints = golden.input.shape[1:]
    span = Span(history, adopted.geometry["future"], joints, dims)
    assert adopted.geometry["history"] == history
    method = STSGCN(STSGCN.Options(**adopted.options), span)
    method.load_state_dict(adopted.state)
    assert sum(p.numel() for p in method.parameters()) == golden.meta["params"]
    (network,) = method.eval().networks.values()
    with torch.no_grad():
        assert_close(network(golden.input), golden.output["future_NTCV"])
        poses = golden.input.permute(0, 2, 3, 1).flatten(2) / 1000
        predicted = method.predict(poses, span.future)
    assert_close(1000 * predicted, golden.output["future_NTCV"].mT.flatten(2))


@cases("smoothnet")
def test_smoothnet(path: Path) -> None:
    golden = Golden(path)
    width, frames = golden.shape("encoder.0.weight")
    pose = golden.input.shape[1]
    options = SmoothNetOptions(
        width=width,
        inner=golden.shape("res_blocks.0.linear1.weight")[0],
        blocks=golden.layers("res_blocks"),
    )
    assert golden.meta["window"] == frames
    model = built(SmoothNet(options, Window(1, frames - 1, pose, 1)), golden)
    with torch.no_grad():
        found = model.refine(golden.input.mT)
    assert_close(found.mT, golden.output["smoothed_NCT"])


def test_the_ratio_is_the_one_that_gives_every_width() -> None:
    assert ratio((51, 12)) == 4
    assert ratio((11, 2), (128, 32)) == 4
    assert ratio((128, 128)) == 1
