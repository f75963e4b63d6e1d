"""One cell computed: seeds, selection, limits, and failures that stay in their cell."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import config, learning, plan, registry, run, tasks, unfinished
from bench.data import store
from bench.data.clips import Clip, Dataset
from bench.data.skeletons import BODY_14
from bench.results import Result, from_json, to_json
from bench.run import Job, compute

PLUGIN = """
from dataclasses import dataclass
from types import SimpleNamespace
import torch

@dataclass(frozen=True)
class _Options:
    how: str = ""

class _Net(torch.nn.Module):
    title, source, revision, Options = "net", "here", 1, _Options
    def __init__(self, options, window):
        super().__init__()
        self.options, self.window = options, window
        self.layer = torch.nn.Linear(window.keyframes * window.pose, window.frames * window.pose)
    def recover(self, keyframes):
        return self.layer(keyframes.flatten(1)).view(len(keyframes), self.window.frames, -1)
    def loss(self, keyframes, truth):
        return (self.recover(keyframes) - truth).abs().mean()

class Tiny(_Net):
    name = "tiny"

class Other(_Net):
    name = "other"
    def loss(self, keyframes, truth):
        torch.rand(3)
        return super().loss(keyframes, truth)

class Broken(_Net):
    name = "broken"
    def loss(self, keyframes, truth):
        how = self.options.how
        if how == "nan":
            return super().loss(keyframes, truth) * float("nan")
        if how == "shape":
            return truth @ truth
        if how == "lookup":
            return {}["a key that\\nis not there"]
        return keyframes.no_such_attribute
"""


def dataset() -> Dataset:
    rng = np.random.default_rng(1)

    def clip(name: str, frames: int) -> Clip:
        truth = rng.normal(0, 0.02, (frames, 14, 3)).cumsum(0)
        truth -= truth[:, [2, 3]].mean(1, keepdims=True)
        detected = truth + rng.normal(0, 0.03, truth.shape)
        return Clip(name, name, detected.astype(np.float32), truth.astype(np.float32))

    clips = {
        "train": (clip("a", 90), clip("b", 80)),
        "validation": (clip("c", 70),),
        "test": tuple(clip(f"t{i}", 60 + i) for i in range(8)),
    }
    return Dataset(
        "pw3d-spin", "D", "E", "3d", 30, BODY_14, clips, "made here", notes=("a note",),
        fingerprint="f",
    )  # fmt: skip


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A job of the smoke budget by method, with anything of its cell changed."""
    monkeypatch.setattr(registry, "_plugins", {})
    monkeypatch.setattr(registry, "_files", {})
    file = tmp_path / "plugin.py"
    file.write_text(PLUGIN)
    registry.load_plugin(file)
    data = dataset()
    store.save(data, tmp_path / "data")

    def make(method: str, **change) -> Job:
        table = plan.chosen_table(config.table_config("table3"), [method], ["pw3d-spin"], "smoke")
        (place,) = plan.plan(table, {"pw3d-spin": data}, budget="smoke")
        cell = place.cell
        limits = {**cell.limits, **change.pop("limits", {})}
        redo = change.pop("redo", "all")
        out = change.pop("out", tmp_path / "out")
        cell = replace(cell, limits=limits, **change)
        return Job((cell,), tmp_path / "data", "cpu", out, (file.resolve(),), redo)

    return make


def computed(job: Job) -> Result:
    (result,) = compute(job, lambda *_: None)
    return result


def test_a_trained_cell_has_everything_a_result_needs(job):
    told = []
    task = job("tiny")
    (done,) = compute(task, lambda *said: told.append(said))
    assert done.status == "done"
    assert done.error is None
    assert set(done.metrics) == {"mpjpe", "pampjpe", "accel"}
    assert done.parameters == (6 * 42 + 1) * 51 * 42
    assert len(done.curve) == task.cells[0].limits["validations"]
    assert done.curve[-1]["windows"] == task.cells[0].training["windows"]
    assert done.chosen["windows"] in {entry["windows"] for entry in done.curve}
    assert done.scored.clips == len(done.clips) == task.cells[0].limits["test_clips"]
    assert done.dataset == {
        "title": "D", "origin": "made here", "standin": False, "notes": ["a note"],
        "space": "3d", "fps": 30,
    }  # fmt: skip
    assert {"versions", "commit", "device", "threads", "seconds"} <= set(done.provenance)
    assert from_json(to_json(done)).metrics == done.metrics
    shares = [share for _, share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert {key for key, *_ in told} == {task.cells[0].key}


def test_a_cells_metrics_are_the_weighted_means_of_its_clips(job):
    done = computed(job("linear"))
    for name, value in done.metrics.items():
        pairs = [clip.values[name] for clip in done.clips]
        assert value == pytest.approx(sum(v * w for v, w in pairs) / sum(w for _, w in pairs))
    assert done.parameters == 0
    assert done.curve == ()


def test_a_fitted_cell_says_what_was_chosen(job):
    done = computed(job("ridge", limits={"fit_windows": 50}))
    assert done.status == "done"
    assert done.chosen
    assert done.parameters > 0


def test_seeds_come_from_names_so_other_methods_move_nothing(job):
    alone = computed(job("tiny")).metrics
    # The same cell after other cells have drawn random numbers, and beside more methods.
    other = computed(job("other")).metrics
    assert computed(job("tiny")).metrics == alone
    assert other != alone
    assert computed(job("tiny", seed=1)).metrics != alone


@pytest.mark.parametrize(
    ("selection", "frames", "kept"),
    [("validation", 70, 0), ("test", sum(range(60, 68)), 0), ("last", None, -1)],
)
def test_weights_are_selected_on_the_split_that_was_named(
    job, monkeypatch, selection, frames, kept
):
    seen = []

    def judge(method, source, most):
        assert most == 256
        seen.append(len(source.truth))
        return float(len(seen))  # the first look is the best

    setting = replace(tasks.SETTINGS["recovery"], error=judge)
    monkeypatch.setitem(tasks.SETTINGS, "recovery", setting)
    done = computed(job("tiny", selection=selection))
    assert set(seen) == ({frames} if frames else set())
    assert done.chosen["windows"] == done.curve[kept]["windows"]
    assert ("selection" in done.curve[0]) == (selection != "last")


def test_only_so_many_clips_are_scored(job):
    assert [clip.name for clip in computed(job("linear", limits={"test_clips": 2})).clips] == [
        "t0",
        "t7",
    ]


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("nan", "Diverged: the loss is nan after"),
        ("shape", "RuntimeError: "),
        ("lookup", "KeyError: 'a key that"),
        ("attribute", "AttributeError: 'Tensor' object has no attribute 'no_such_attribute'"),
    ],
)
def test_whatever_a_method_raises_fails_its_cell_in_one_line(job, how, error):
    done = computed(job("broken", options={"how": how}))
    assert done.status == "failed"
    assert done.error.startswith(error)
    assert "\n" not in done.error
    assert done.metrics == {}
    assert done.scored is None
    assert from_json(to_json(done)) == replace(done, cell=from_json(to_json(done)).cell)


def test_running_out_of_memory_fails_the_cell(job, monkeypatch):
    def full(*_):
        raise MemoryError("no room")

    monkeypatch.setattr("bench.registry.build", full)
    assert computed(job("linear")).error == "MemoryError: no room"


def test_weights_are_kept_and_serve_another_protocol(job):
    first = computed(job("tiny"))
    other = replace(job("tiny", redo="missing"), cells=(job("tiny", protocol="full").cells[0],))
    told = []
    (again,) = compute(other, lambda *said: told.append(said[2]))
    assert set(told) == {"scoring"}
    assert again.curve == first.curve
    assert again.parameters == first.parameters
    assert again.chosen == first.chosen
    # The same weights score the same under the protocol of the first.
    assert computed(job("tiny", redo="missing")).metrics == first.metrics


def test_cells_that_differ_in_protocol_train_once(job):
    cells = tuple(job("tiny", protocol=name).cells[0] for name in ("deciwatch", "full"))
    apart = [computed(job("tiny", protocol=name)).metrics for name in ("deciwatch", "full")]
    told = []
    (work,) = run.jobs_for(cells, {"pw3d-spin": job("tiny").folder}, "cpu", job("tiny").out)
    assert work.cells == cells
    work = replace(work, redo="all", plugins=job("tiny").plugins)
    results = compute(work, lambda *said: told.append(said))
    assert [result.cell.protocol for result in results] == ["deciwatch", "full"]
    assert [result.metrics for result in results] == apart
    assert {key for key, _, text in told if "training" in text} == {cells[0].key}


def test_fitted_weights_are_kept_too(job):
    first = computed(job("ridge"))
    again = computed(job("ridge", redo="missing"))
    assert again.metrics == first.metrics
    assert again.chosen == first.chosen


def test_published_weights_that_are_not_there_say_what_to_do(job):
    done = computed(job("tiny", weights="c0ffee", training=None))
    assert done.status == "failed"
    assert "run with --checkpoints" in done.error


def test_a_result_says_where_its_weights_were_learned(job):
    first = computed(job("tiny"))
    again = computed(job("tiny", redo="missing"))
    assert {"commit", "device", "versions", "seconds"} <= set(first.provenance["training"])
    assert again.provenance["training"] == first.provenance["training"]
    assert "training" not in computed(job("linear")).provenance
    assert first.provenance["seconds"] < first.provenance["training"]["seconds"] + 60


def test_weights_that_do_not_fit_any_more_are_named(job):
    from bench.weights import Weights

    task = job("tiny", redo="missing")
    computed(task)
    path = Weights(task.out).save(task.cells[0], {"layer.weight": torch.zeros(3)}, {})
    done = computed(task)
    assert done.status == "failed"
    assert str(path) in done.error
    assert "--redo failed" in done.error
    assert computed(job("tiny", redo="all")).status == "done"


def test_what_is_drawn_in_scoring_does_not_depend_on_what_was_done_before(job, tmp_path):
    plugin = tmp_path / "restless.py"
    plugin.write_text(PLUGIN.replace("tiny", "restless").replace("other", "o").replace(
        "broken", "b").replace(
        "return self.layer(keyframes.flatten(1)).view(len(keyframes), self.window.frames, -1)",
        "out = self.layer(keyframes.flatten(1)).view(len(keyframes), self.window.frames, -1)\n"
        "        return out + 0.01 * torch.randn_like(out)",
    ))  # fmt: skip
    registry.load_plugin(plugin)
    trained = computed(replace(job("restless"), plugins=(plugin.resolve(),)))
    loaded = computed(replace(job("restless", redo="missing"), plugins=(plugin.resolve(),)))
    assert trained.metrics == loaded.metrics


def seeds(job, count: int = 3, **change) -> list[Job]:
    """The same cell with several seeds, in folders where nothing is known."""
    return [job("mixsynthformer", seed=seed, **change) for seed in range(count)]


def test_on_a_gpu_networks_of_one_form_are_computed_together(job):
    rates = [
        replace(one, cells=(replace(one.cells[0], training={**one.cells[0].training, "lr": lr}),))
        for one, lr in zip(seeds(job, 2), (1e-3, 2e-3), strict=True)
    ]
    wider = job("mixsynthformer")
    options = {**wider.cells[0].options, "width": 16}
    wider = replace(wider, cells=(replace(wider.cells[0], options=options),))
    others = [job("linear"), job("ridge"), wider]
    jobs = [replace(one, device="cuda:0") for one in (*rates, *others)]
    assert run.bundles(jobs) == [tuple(jobs[:2]), *((one,) for one in jobs[2:])]
    assert run.bundles([*rates, *others]) == [(one,) for one in (*rates, *others)]
    many = [replace(one, device="cuda:0") for one in seeds(job, 11)]
    assert [len(bundle) for bundle in run.bundles(many)] == [8, 3]


def test_a_bundle_gives_what_its_jobs_give_alone(job, tmp_path):
    alone = [computed(one) for one in seeds(job, out=tmp_path / "alone")]
    together = run.compute_bundle(seeds(job, out=tmp_path / "bundle"), lambda *_: None)
    for one, many in zip(alone, together, strict=True):
        assert many.cell == one.cell
        assert many.metrics == pytest.approx(one.metrics, rel=1e-4)
        assert many.provenance["training"]["trained at once"] == 3
        assert "trained at once" not in one.provenance["training"]
    # Weights of a bundle are kept like any other ones.
    again = [computed(one) for one in seeds(job, redo="missing", out=tmp_path / "bundle")]
    assert [one.metrics for one in again] == [many.metrics for many in together]


def test_in_a_bundle_what_fails_fails_alone(job):
    good, bad = seeds(job, 2)
    cell = replace(bad.cells[0], training={**bad.cells[0].training, "lr": 1e30})
    results = run.compute_bundle((good, replace(bad, cells=(cell,))), lambda *_: None)
    assert [result.status for result in results] == ["done", "failed"]
    assert "the loss is" in results[1].error


def test_what_is_too_much_at_once_is_trained_one_by_one(job, tmp_path, monkeypatch):
    alone = [computed(one) for one in seeds(job, 2, out=tmp_path / "alone")]
    together = learning.train_together

    def full(runs, *given, **settings):
        if len(runs) > 1:
            together([replace(run, keeper=None) for run in runs], *given, **settings)
            raise torch.OutOfMemoryError("no room\nfor all")
        return together(runs, *given, **settings)

    monkeypatch.setattr(learning, "train_together", full)
    results = run.compute_bundle(seeds(job, 2, out=tmp_path / "bundle"), lambda *_: None)
    assert [result.metrics for result in results] == [result.metrics for result in alone]
    said = "2 trainings at once failed, one after another now: OutOfMemoryError: no room"
    for result in results:
        assert result.provenance["warnings"] == [said]
        assert "trained at once" not in result.provenance["training"]


def test_only_redo_all_forgets_an_interrupted_training(job, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.training._KEEP_SECONDS", -1.0)
    kept = {}

    def interrupted(redo):
        task = job("tiny", out=tmp_path / redo, redo=redo)
        save = unfinished.Unfinished.save

        def dies(self, found):
            save(self, found)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(unfinished.Unfinished, "save", dies)
            with pytest.raises(KeyboardInterrupt):
                computed(task)
        load = unfinished.Unfinished.load

        def loads(self):
            kept[redo] = load(self)
            return kept[redo]

        with monkeypatch.context() as patch:
            patch.setattr(unfinished.Unfinished, "load", loads)
            return computed(task).metrics

    assert interrupted("failed") == interrupted("all") == interrupted("missing")
    assert [name for name, found in kept.items() if found is None] == ["all"]


@pytest.mark.compiler
def test_a_result_tells_that_operations_were_fused(job):
    plain = computed(job("tiny"))
    fused = computed(replace(job("tiny"), compiled=True))
    assert fused.provenance["training"]["compiled"] is True
    assert "compiled" not in plain.provenance["training"]


def test_nothing_is_kept_of_a_training_that_diverged(job, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.training._KEEP_SECONDS", -1.0)
    task = job("broken", options={"how": "nan"}, out=tmp_path, limits={"validations": 1})
    assert "Diverged" in computed(task).error
    assert not list((tmp_path / "unfinished").iterdir())


def test_an_interrupted_training_goes_on(job, tmp_path, monkeypatch):
    expected = computed(job("mixsynthformer", out=tmp_path / "whole"))
    monkeypatch.setattr("bench.training._KEEP_SECONDS", -1.0)
    save = unfinished.Unfinished.save

    class Killed(BaseException):
        pass

    def dies(self, kept):
        save(self, kept)
        raise Killed

    out = tmp_path / "cut"
    monkeypatch.setattr(unfinished.Unfinished, "save", dies)
    with pytest.raises(Killed):
        computed(job("mixsynthformer", out=out))
    assert len(list((out / "unfinished").glob("*.safetensors"))) == 1
    monkeypatch.setattr(unfinished.Unfinished, "save", save)
    assert computed(job("mixsynthformer", out=out)).metrics == expected.metrics
    assert not list((out / "unfinished").glob("*.safetensors"))
