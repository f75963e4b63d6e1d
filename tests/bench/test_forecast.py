"""What a run would take: speeds from results, list scheduling by hand, and nothing written."""

import json
from dataclasses import replace

import pytest

from bench import commands, forecast
from bench.forecast import Ahead, Forecast, Speeds, lines, makespan
from bench.request import Request
from bench.results import Result, Results, Scored
from bench.run import compute


@pytest.mark.parametrize(
    ("tasks", "cpus", "gpus", "seconds"),
    [
        ([], 1, 0, 0.0),
        # One seat does all; two: 4 | 3 then 2, then 1 beside it: 4 + 1 and 3 + 2.
        ([4, 3, 2, 1], 1, 0, 10.0),
        ([4, 3, 2, 1], 2, 0, 5.0),
        # The short ones first leave the long one alone at the end.
        ([1, 2, 3, 4], 2, 0, 6.0),
        ([4, 3, 2, 1], 9, 0, 4.0),
    ],
)
def test_each_free_seat_takes_the_next_task(tasks, cpus, gpus, seconds):
    assert makespan([(task, False) for task in tasks], cpus, gpus) == seconds


def test_gpus_take_what_needs_them_first_and_the_rest_in_the_end():
    tasks = [(5.0, False), (2.0, True), (1.0, True)]
    # The GPU does 2 and 1, the core 5.
    assert makespan(tasks, 1, 1) == 5.0
    assert makespan(tasks, 0, 1) == 8.0
    # With two cores one of them is idle; with a second short task the GPU takes it at 3.
    assert makespan([*tasks, (1.0, False)], 1, 1) == 5.0
    with pytest.raises(ValueError, match="no seat"):
        makespan(tasks, 3, 0)


def test_speeds_are_medians_of_results_of_the_same_kind(job):
    (cell,) = job("net").cells
    batch = cell.training["batch"]

    def result(seconds, learned, device="cpu"):
        return Result(
            cell,
            "done",
            scored=Scored(clips=1, frames=500, joints=14),
            curve=({"windows": 10.0 * batch},),
            provenance={"device": device, "seconds": seconds, "training": {"seconds": learned}},
        )

    known = forecast.speeds([result(1, 2), result(5, 5), result(2, 10), result(1, 1, "cuda:0")])
    # Ten steps in 2, 5 and 10 seconds; 500 frames in 1, 5 and 2.
    on_cpu = Ahead(job("net"), steps=20, frames=1000)
    assert known.steps[on_cpu.kind] == 2.0
    assert known.frames[on_cpu.kind] == 250.0
    assert known.seconds(on_cpu) == 20 / 2 + 1000 / 250
    on_gpu = Ahead(job("net", device="cuda:0"), steps=20, frames=1000)
    assert known.seconds(on_gpu) == 20 / 10 + 1000 / 500
    assert known.seconds(Ahead(job("linear"), 0, 10)) is None
    # Five networks that were trained at once share the time.
    shared = result(1, 10, "cuda:0")
    shared.provenance["training"]["trained at once"] = 5
    assert forecast.speeds([shared]).seconds(on_gpu) == 20 / 5 + 1000 / 500
    failed = replace(result(1, 1), status="failed")
    assert forecast.speeds([failed]) == Speeds()


def test_a_dry_run_counts_what_is_stored_and_writes_nothing(job, tmp_path, monkeypatch):
    out, said = tmp_path / "out", []
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    # The real stand-in takes seconds.
    made = forecast.store.load(job("net").folder)
    monkeypatch.setattr(forecast, "_in_memory", lambda name: made)
    before = sorted(tmp_path.rglob("*"))
    request = Request(
        "table3", None, ("linear", "cubic", "mct"), ("pw3d-spin",), budget="smoke", out=out,
        device="cpu", seeds=2,
    )  # fmt: skip
    told = commands.dry_run([request, request], calibrate=False, say=said.append)
    assert told[0] == "table3: 4 cells, 0 stored, or in a table above, 4 to run in 4 jobs"
    # 512 windows in batches of 32.
    steps = [line for line in told if "mct" in line]
    assert steps == ["  2 x pw3d-spin mct on the CPU: 16 steps, not measured"]
    assert "table3: 4 cells, 4 stored, or in a table above, 0 to run in 0 jobs" in told
    assert "4 of 4 jobs were never measured" in told[-1]
    assert not said
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_not_measured_is_timed_in_a_folder_that_is_gone(job, tmp_path):
    jobs = [job("net"), job("linear"), job("broken")]
    ahead = tuple(Ahead(one, 100 if one is jobs[0] else 0, 1000) for one in jobs)
    dataset = forecast.store.load(jobs[0].folder)
    told = Forecast("t", 3, 0, ahead, {"pw3d-spin": dataset})
    said = []
    known = forecast.calibrated(Speeds(), [told], said.append)
    assert said == [f"timing {name} on pw3d-spin" for name in ("net", "linear", "broken")]
    assert known.seconds(ahead[0]) > 0
    assert known.seconds(ahead[1]) > 0
    assert known.seconds(ahead[2]) is None
    assert not (tmp_path / "out").exists()
    # What is known is not timed again.
    assert forecast.calibrated(known, [replace(told, ahead=ahead[:2])], said.append) == known
    assert len(said) == 3


def test_measured_reads_results_and_passes_over_damaged_ones(job, tmp_path):
    (result,) = compute(job("linear"), lambda *_: None)
    path = Results(tmp_path / "out").put(result)
    path.with_name("damaged.json").write_text(json.dumps({"format": 0}))
    known = forecast.measured(tmp_path / "out")
    assert known.seconds(Ahead(job("linear"), 0, 80)) > 0


def test_hours_and_speed_up_in_words(job):
    ahead = Ahead(job("net"), steps=3600, frames=0)
    known = Speeds(steps={ahead.kind: 1.0}, frames={ahead.kind: 1.0})
    told = lines([Forecast("t", 4, 2, (ahead, ahead), {})], known, [1, 2])
    assert told == [
        "t: 4 cells, 2 stored, or in a table above, 2 to run in 2 jobs",
        "  2 x pw3d-spin net on the CPU: 3600 steps at 1.0 a second, 3600.0 s",
        "in all: 0.00 GPU hours, 2.00 CPU core hours",
        "  1 worker: 2.00 h, speed-up 1.0",
        "  2 workers: 1.00 h, speed-up 2.0",
    ]
