"""Where the time of a training step or of an inference goes, by operation."""

from __future__ import annotations

from collections.abc import Callable

from bench.contracts import BadInput
from benchmarks.measuring import apart
from benchmarks.workloads import workload

_SHOWN = 15


def profiled(what: str, name: str, device: str = "cpu") -> str:
    """A table of the operations that take longest, in a process of its own with one thread."""
    if what not in _WORK:
        raise BadInput(f"cannot profile '{what}'", expected=" or ".join(_WORK))
    workload(name)
    return apart(_table, 1, what, name, device)


def _table(what: str, name: str, device: str) -> str:
    from torch.profiler import ProfilerActivity, profile

    work = _WORK[what](name, device)
    work()
    activities = [ProfilerActivity.CPU]
    if device.startswith("cuda"):
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as seen:
        work()
    by = "self_cuda_time_total" if device.startswith("cuda") else "self_cpu_time_total"
    table: str = seen.key_averages().table(
        sort_by=by, row_limit=_SHOWN, max_name_column_width=50, top_level_events_only=False
    )
    return table


def _training(side: str) -> Callable[[str, str], Callable[[], object]]:
    def prepare(name: str, device: str) -> Callable[[], object]:
        from benchmarks import gpu, training

        case = workload(name)
        on_gpu = device.startswith("cuda")
        steps = gpu.side_of(side, case, device) if on_gpu else training.side_of(side, case)
        return lambda: steps(2)

    return prepare


def _evaluation(name: str, _device: str) -> Callable[[], object]:
    from benchmarks.evaluating import sides

    case = workload(name)
    return sides(case, case.build())["ours"]


_WORK = {
    "training": _training("ours"),
    "straightforward": _training("straightforward"),
    "evaluation": _evaluation,
}
