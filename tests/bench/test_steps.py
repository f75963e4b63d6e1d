"""Steps of one run and of several: seeds trained at once are what each is alone."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from bench import registry
from bench.config import Training
from bench.contracts import Span, Window
from bench.data.clips import Clip, Dataset
from bench.data.histories import Histories
from bench.data.skeletons import BODY_14
from bench.data.windows import Windows
from bench.noise import Noise, noisy
from bench.steps import CapturedStep, Step, stackable
from bench.sums import SplitSums
from bench.training import Diverged, Run, Trained, train, train_together
from methods.layers import Dropout

WINDOW = Window(interval=5, intervals=2, joints=14, dims=3)
SPAN = Span(history=10, future=10, joints=14, dims=3)
SMALL = {
    "mixsynthformer": {"width": 16, "depth": 2},
    "deciwatch": {"width": 16, "depth": 2, "feed": 16},
    "mct": {"width": 16, "depth": 1, "heads": 2, "head": 8, "feed": 16},
    "smoothnet": {"width": 16, "inner": 8, "blocks": 2},
    "smoothnet-linear": {"width": 16, "inner": 8, "blocks": 2},
}
AHEAD = {
    "simlpe": {"blocks": 3},
    "mixsynthformer-prediction": {"width": 16, "depth": 1, "dropout": 0.1},
}
BATCH_NORM = ("stsgcn", "stgagcn")


def dataset(frames: int = 40) -> Dataset:
    rng = np.random.default_rng(3)
    poses = rng.normal(0, 0.3, (2, frames, 14, 3)).astype(np.float32)
    clip = Clip("a", "a", detected=poses[0], truth=poses[1])
    clips = {"train": (clip,), "validation": (clip,), "test": (clip,)}
    return Dataset("d", "D", "E", "3d", 30, BODY_14, clips, "made here")


def source(name: str, device: str = "cpu") -> Windows | Histories:
    if registry.task(name) == "prediction":
        return Histories(dataset(), "train", SPAN, device)
    return Windows(dataset(), "train", WINDOW, device, every_frame=registry.sees(name) == "frames")


def build(name: str, seed: int, device: str = "cpu") -> nn.Module:
    torch.manual_seed(seed)
    known = {**SMALL, **AHEAD}.get(name, {})
    geometry = SPAN if registry.task(name) == "prediction" else WINDOW
    return registry.build(name, known, geometry).to(device)


def judge_of(method: nn.Module, samples) -> float:
    """A stand-in for the selection error: how large the loss is in evaluation mode."""
    with torch.no_grad():
        return float(method.loss(*samples.gather(torch.arange(4, device=samples.device))))


def settings(seed: int) -> Training:
    """Each run at a rate of its own, 40 windows an epoch, the last batch smaller."""
    return Training(batch=16, lr=1e-3 * (seed + 1), windows=100, decay=0.5)


Outcome = tuple[list[nn.Module], list[Trained]]


def alone(name: str, seeds, device: str = "cpu", **rest) -> Outcome:
    methods = [build(name, seed, device) for seed in seeds]
    samples = source(name, device)
    done = [
        train(
            method,
            samples,
            settings(seed),
            seed=seed,
            evaluations=3,
            judge=lambda method=method: judge_of(method, samples),
            **rest,
        )
        for seed, method in zip(seeds, methods, strict=True)
    ]
    return methods, done


def at_once(name: str, seeds, device: str = "cpu", **rest) -> Outcome:
    methods = [build(name, seed, device) for seed in seeds]
    samples = source(name, device)
    runs = [
        Run(method, settings(seed), seed, lambda method=method: judge_of(method, samples))
        for seed, method in zip(seeds, methods, strict=True)
    ]
    return methods, train_together(runs, samples, evaluations=3, **rest)


def assert_same(first: Outcome, second: Outcome, closely: float = 1e-4) -> None:
    """The same curves within rounding, and on the mean the same weights.

    Adam moves a weight by its rate even where its gradient is nothing but rounding.
    """
    for mine, its in zip(first[0], second[0], strict=True):
        assert on_average(mine, its) < closely
        assert not its.training
    for mine, its in zip(first[1], second[1], strict=True):
        assert its.selected == mine.selected
        for entry, other in zip(mine.curve, its.curve, strict=True):
            assert other == pytest.approx(entry, rel=closely)


def furthest(first: nn.Module, second: nn.Module) -> float:
    return max(
        float((a - b).abs().max())
        for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def on_average(first: nn.Module, second: nn.Module) -> float:
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return float(torch.cat([(a - b).abs().flatten() for a, b in pairs]).mean())


@pytest.mark.parametrize("name", [*SMALL, *AHEAD])
def test_seeds_trained_at_once_are_what_each_is_alone(name):
    seeds = (0, 1, 2)
    methods = [build(name, seed) for seed in seeds]
    assert stackable(methods, source(name))
    assert furthest(methods[0], methods[1]) > 1e-3
    assert_same(alone(name, seeds), at_once(name, seeds))


@pytest.mark.parametrize("name", BATCH_NORM)
def test_networks_with_batch_norm_are_trained_one_after_another(name):
    assert not stackable([build(name, seed) for seed in (0, 1)], source(name))


def test_with_batch_norm_the_outcome_is_the_same_all_the_same():
    one, many = alone("stsgcn", (0, 1)), at_once("stsgcn", (0, 1))
    assert one[1] == many[1]
    assert [furthest(*pair) for pair in zip(one[0], many[0], strict=True)] == [0, 0]


def test_what_was_trained_can_be_trained_on() -> None:
    outcomes = []
    for together in (False, True):
        methods = [build("mixsynthformer", seed) for seed in (0, 1)]
        samples = source("mixsynthformer")
        for seed in (3, 4):
            runs = [Run(method, settings(0), seed) for method in methods]
            groups = [runs] if together else [[run] for run in runs]
            done = [
                one for group in groups for one in train_together(group, samples, evaluations=2)
            ]
        outcomes.append((methods, done))
    assert_same(*outcomes)


class Plain(nn.Module):
    """A network with parts that cannot be stacked, or can."""

    def __init__(self, part: nn.Module, width: int = 42) -> None:
        super().__init__()
        self.part = part
        self.map = nn.Linear(42, width)

    def loss(self, given, wanted):
        return self.map(self.part(wanted)).square().mean()


class Waits(nn.Module):
    def forward(self, x):
        return x * 2 if float(x.detach().sum()) > 0 else x


class Draws(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (nn.Identity, True),
        (lambda: nn.Dropout(0.0), True),
        (lambda: nn.Dropout(0.1), False),
        (lambda: nn.BatchNorm1d(11), False),
        (Waits, False),
        (Draws, False),
    ],
)
def test_what_cannot_be_stacked_is_found_out(part, expected):
    methods = [Plain(part()), Plain(part())]
    assert stackable(methods, source("linear")) is expected


def test_networks_of_two_shapes_or_with_other_constants_are_not_stacked():
    assert not stackable([Plain(nn.Identity()), Plain(nn.Identity(), 41)], source("linear"))
    other = [Plain(nn.Identity()), Plain(nn.Identity())]
    for place, method in enumerate(other):
        method.register_buffer("constant", torch.full((1,), float(place)))
    assert not stackable(other, source("linear"))


def test_finding_out_changes_nothing():
    method = build("mixsynthformer", 0)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    stackable([method, build("mixsynthformer", 0)], source("mixsynthformer"))
    torch.manual_seed(3)
    Step([method], source("mixsynthformer"), [settings(0)], [0])
    assert torch.rand(1) == expected
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    assert all(module.words is None for module in noisy(method))


def test_a_run_that_diverges_does_not_take_the_others_with_it():
    methods = [build("mixsynthformer", seed) for seed in (0, 1)]
    with torch.no_grad():
        methods[1].output.weight.fill_(float("nan"))
    samples = source("mixsynthformer")
    runs = [Run(method, settings(0), 0) for method in methods]
    first, second = train_together(runs, samples, evaluations=2)
    assert first.selected == 100
    assert isinstance(second, Diverged)
    single = build("mixsynthformer", 0)
    train(single, samples, settings(0), seed=0, evaluations=2, judge=None)
    assert furthest(single, methods[0]) < 2e-3


def test_the_words_of_a_run_do_not_depend_on_the_others():
    device = torch.device("cpu")
    pools = []
    for seeds in ((5,), (5, 6), (4, 5)):
        noise = Noise(seeds, 7, device)
        noise.refill()
        noise.refill()
        assert noise.pool.shape == (len(seeds), 8)
        pools.append(noise.pool[seeds.index(5)].clone())
    assert torch.equal(pools[0], pools[1])
    assert torch.equal(pools[0], pools[2])


def test_renewed_words_go_on_where_the_old_ones_were():
    noise, other = (Noise((5, 6), 7, torch.device("cpu")) for _ in range(2))
    for each in (noise, other):
        each.refill()
    before = noise.generators
    noise.renew()
    assert not set(map(id, before)) & set(map(id, noise.generators))
    for each in (noise, other):
        each.refill()
    assert torch.equal(noise.pool, other.pool)


@pytest.mark.parametrize("name", ["deciwatch", "mct"])
def test_attention_of_several_runs_is_never_one_after_another(name):
    samples = source(name)
    with warnings.catch_warnings():
        # What vmap has no rule for, it does run by run, and warns.
        warnings.simplefilter("error")
        methods = [build(name, seed) for seed in (0, 1)]
        assert stackable(methods, samples)
        step = Step(methods, samples, [settings(0)] * 2, [0, 1])
        step(torch.arange(16).repeat(2, 1))


class Split(Step):
    """A step on the CPU whose products are those of a captured one."""

    def _products(self):
        return SplitSums()


def test_a_step_with_split_sums_is_that_step(parts):
    """Both ways, of networks that are stacked, whose gradients have sums to split."""
    found = []
    for kind in (Step, Split):
        parts.clear()
        methods = [build("mixsynthformer", seed) for seed in (0, 1)]
        samples = source("mixsynthformer")
        longer = settings(0).model_copy(update={"batch": 256})
        step = kind(methods, samples, [longer] * 2, [0, 1])
        step((torch.arange(512) % len(samples)).view(2, 256))
        assert bool(parts) == (kind is Split)
        kept = (p.grad for method in methods for p in method.parameters())
        found.append([grad.clone() for grad in kept if grad is not None])
    for whole, split in zip(*found, strict=True):
        torch.testing.assert_close(split, whole, rtol=1e-4, atol=1e-6)


def test_only_a_step_that_is_captured_splits_sums():
    samples, method = source("linear"), build("mixsynthformer", 0)
    made = [
        CapturedStep([method], samples, [settings(0)], [0], compiled=compiled)
        for compiled in (False, True)
    ]
    assert isinstance(made[0]._products(), SplitSums)
    assert not isinstance(made[1]._products(), SplitSums)
    made[0].why_not = "it waits for the device"
    assert not isinstance(made[0]._products(), SplitSums)
    assert not isinstance(Step([method], samples, [settings(0)], [0])._products(), SplitSums)


@pytest.mark.parametrize("name", ["mixsynthformer", "simlpe", "stsgcn"])
def test_a_loss_is_one_graph(name):
    """A compiler leaves it nowhere, random words included."""
    samples = source(name)
    step = Step([build(name, 0)], samples, [settings(0)], [0])
    whole = torch.compile(step._loss_of_one, backend="eager", fullgraph=True)
    step.noise.refill()
    index = torch.arange(16)
    assert torch.isfinite(whole(*samples.gather(index))).all()


def test_words_are_spread_evenly_over_all_values():
    noise = Noise((0,), 200_000, torch.device("cpu"))
    noise.refill()
    # Each of the four numbers in one draw, its sign included.
    for lane in noise.pool[0].view(-1, 4).T.float():
        assert abs(float(lane.mean())) < 500
        assert float(lane.std()) == pytest.approx(2**16 / 12**0.5, rel=0.01)


def test_the_arithmetic_can_be_coarser():
    fine, coarse = (
        Step(
            [build("mixsynthformer", 0)],
            source("mixsynthformer"),
            [Training(batch=16, windows=16, precision=precision)],
            [0],
        )
        for precision in ("float32", "bfloat16")
    )
    for step in (fine, coarse):
        step(torch.arange(16)[None])
    off = abs(float(fine.losses) / float(coarse.losses) - 1)
    assert 0 < off < 0.02


@pytest.mark.parametrize("name", [*SMALL, *AHEAD])
def test_coarser_arithmetic_is_of_all_methods_alone_and_at_once(name, monkeypatch):
    # As autocast of a GPU has it.
    soft = nn.Softmax.forward
    monkeypatch.setattr(nn.Softmax, "forward", lambda self, x: soft(self, x.float()))
    samples, coarse = source(name), settings(0).model_copy(update={"precision": "bfloat16"})
    for seeds in ((0,), (0, 1)):
        runs = [Run(build(name, seed), coarse, seed) for seed in seeds]
        done = train_together(runs, samples, evaluations=1)
        assert [type(outcome) for outcome in done] == [Trained] * len(seeds)


def test_factors_of_convolutions_are_rounded_only_when_asked_for():
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    seen = []

    class Looks(nn.Linear):
        def forward(self, x):
            seen.append((products.allow_tf32, convolutions.allow_tf32))
            return super().forward(x)

    method = build("mixsynthformer", 0)
    method.embed = Looks(method.embed.in_features, method.embed.out_features)
    for precision in ("float32", "tf32"):
        coarse = settings(0).model_copy(update={"precision": precision, "windows": 16})
        seen.clear()
        train(method, source("mixsynthformer"), coarse, seed=0, evaluations=1, judge=None)
        assert seen[-1] == (precision == "tf32",) * 2
    assert (products.allow_tf32, convolutions.allow_tf32) == before


@pytest.mark.slow
@pytest.mark.compiler
@pytest.mark.timeout(1800)
def test_a_compiled_loss_is_the_same_within_rounding():
    for runs in ((0,), (0, 1)):
        assert_same(at_once("mixsynthformer", runs), at_once("mixsynthformer", runs, compiled=True))


@pytest.mark.cuda
@pytest.mark.parametrize("name", [*SMALL, *AHEAD, *BATCH_NORM])
def test_a_captured_step_is_that_of_the_cpu(name):
    samples = source(name, "cuda")
    captured = CapturedStep([build(name, 0, "cuda")], samples, [settings(0)], [0])
    eager = Step([build(name, 0, "cuda")], samples, [settings(0)], [0])
    for number in range(8):
        index = (torch.arange(16, device="cuda")[None] + number) % len(samples)
        captured(index)
        eager(index)
    assert captured.why_not == ""
    assert captured.captured
    assert float(captured.losses) == pytest.approx(float(eager.losses), rel=1e-3)


@pytest.mark.cuda
def test_long_sums_are_split_in_a_captured_step(parts):
    """In the backward pass, which has a thread of its own on a GPU."""
    methods = [build("mixsynthformer", seed, "cuda") for seed in (0, 1)]
    samples = source("mixsynthformer", "cuda")
    longer = settings(0).model_copy(update={"batch": 256})
    step = CapturedStep(methods, samples, [longer] * 2, [0, 1])
    for _ in range(5):
        step((torch.arange(512, device="cuda") % len(samples)).view(2, 256))
    assert step.captured
    assert parts


@pytest.mark.cuda
@pytest.mark.parametrize("name", [*SMALL, *AHEAD])
def test_seeds_captured_at_once_are_what_each_is_alone(name):
    seeds = (0, 1, 2)
    assert_same(alone(name, seeds, "cuda"), at_once(name, seeds, "cuda"), 1e-3)


@pytest.mark.cuda
def test_a_step_that_waits_for_the_device_goes_on_uncaptured():
    part = nn.Sequential(Waits(), Dropout(0.1))
    step = CapturedStep([Plain(part).cuda()], source("linear", "cuda"), [settings(0)], [0])
    assert step.noise
    for _ in range(6):
        step(torch.arange(16, device="cuda")[None])
    assert not step.captured
    assert step.why_not
    assert torch.isfinite(step.losses).all()
