"""Where a number comes from: versions, hardware, commit. Nothing that names a person or a place."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import bench

VERSIONS = ("numpy", "scipy", "torch")
"""What computes the numbers; `report` lists everything else too."""


@cache
def commit(root: Path = Path(__file__).parents[1]) -> str:
    """The checkout's commit, with `-dirty` when tracked files differ; 'unknown' outside of one.

    root: the folder above the package; a repository further up is somebody else's.
    """
    if not (root / ".git").exists():
        return "unknown"
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(  # noqa: S603
            describe, cwd=root, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


@cache
def hardware(device: str) -> dict[str, Any]:
    """CPU model, usable cores and memory (GiB); for a CUDA device also its GPU and CUDA version."""
    found: dict[str, Any] = {"cpu": _cpu(), "cores": _cores(), "memory": _memory()}
    if device.startswith("cuda"):
        import torch

        found["gpu"] = torch.cuda.get_device_name(device)
        found["cuda"] = torch.version.cuda or "unknown"
    return found


def provenance(device: str, threads: int) -> dict[str, Any]:
    """What a result stands on, as plain data for its JSON file.

    device: as torch names it ('cpu', 'cuda:0'); threads: how many torch uses. The result holds
    versions, platform, hardware, commit, device, threads and the time (UTC, ISO 8601). Everything
    but the time is looked up once per process.
    """
    return {
        "versions": dict(_versions()),
        "platform": f"{platform.system()} {platform.machine()}",
        "hardware": dict(hardware(device)),
        "commit": commit(),
        "device": device,
        "threads": threads,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def report(folder: Path) -> list[tuple[str, str]]:
    """What `bench doctor` says about this installation, as (name, what was found).

    folder: where output will go; it need not exist.
    """
    import torch

    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    machine = hardware(device)
    gpu = f"{device}, {machine['gpu']}, CUDA {machine['cuda']}" if "gpu" in machine else device
    existing = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    return [
        ("bench", f"{bench.__version__}, commit {commit()}"),
        ("python", platform.python_version()),
        *_dependencies(),
        ("platform", f"{platform.system()} {platform.machine()}"),
        ("cpu", f"{machine['cpu']}, {machine['cores']} cores, {machine['memory']} GiB"),
        ("device", gpu),
        ("threads", str(torch.get_num_threads())),
        ("free disk", f"{shutil.disk_usage(existing).free / 2**30:.1f} GiB"),
    ]


@cache
def _versions() -> dict[str, str]:
    found = {name: _version(name) for name in VERSIONS}
    return {"python": platform.python_version(), **found, "bench": bench.__version__}


def _version(name: str) -> str:
    # From the metadata: asking the package itself would import it.
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _dependencies() -> list[tuple[str, str]]:
    try:
        wanted = metadata.requires("bench") or []
    except metadata.PackageNotFoundError:
        return [("dependencies", "unknown: bench is not installed; run pip install -e .")]
    found = []
    for line in wanted:
        requirement, _, condition = (part.strip() for part in line.partition(";"))
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        wish = requirement.removeprefix(name).strip() or "any version"
        extra = re.search(r"extra == ['\"](\w+)['\"]", condition)
        wish += f", for {extra[1]}" if extra else ""
        found.append((name, f"{_version(name)} ({wish})"))
    return found


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return " ".join(value.split())
    return platform.processor() or platform.machine()


def _cores() -> int:
    # A container or a batch system may leave the process fewer than the machine has.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> float:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0.0
    return round(size / 2**30, 1)
