"""What a worker on another machine must have in common with the run that it takes part in.

Same code, same libraries, same data, same plugins, same output folder: a worker with others would
compute other numbers under the same names, or lose its weights. It refuses, with one line.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from bench import config, provenance, registry
from bench.contracts import BadInput
from bench.files import write_whole

if TYPE_CHECKING:
    from bench.run import Job


@dataclass(frozen=True)
class Agreement:
    """What is agreed on; made where the run is, and checked where the work is done.

    versions: by package; source: a digest of bench's and methods' code and configuration; data:
    fingerprints by folder; plugins: digests by file; mark: a file in the output folder, where
    workers write weights.
    """

    versions: Mapping[str, str]
    source: str
    data: Mapping[Path, str] = field(default_factory=dict)
    plugins: Mapping[Path, str] = field(default_factory=dict)
    mark: Path | None = None

    def problem(self) -> str | None:
        """Why this process must not take part; None when it may."""
        here = _versions()
        for name, version in self.versions.items():
            if here.get(name) != version:
                return f"it has {name} {here.get(name, 'not at all')}, the run {version}"
        if source_digest() != self.source:
            return "its code of bench differs from the run's; update it and start the worker anew"
        for file, digest in self.plugins.items():
            if not file.is_file():
                return f"it does not see the plugin {file}; put it on a shared folder"
            if _digest(file) != digest:
                return f"its plugin {file} differs from the run's"
        for folder, wanted in self.data.items():
            if not (folder / "dataset.json").is_file():
                return f"it does not see the data in {folder}; set BENCH_CACHE to a shared folder"
            try:
                found = _fingerprint(folder)
            except BadInput as error:
                return str(error)
            if found != wanted:
                return f"its data in {folder} has the fingerprint {found}, the run's {wanted}"
        if self.mark is not None and not self.mark.is_file():
            return f"it does not see the output folder {self.mark.parent}; share it (--out)"
        return None


def of_code() -> Agreement:
    """The same code and libraries as here, and nothing else."""
    return Agreement(_versions(), source_digest())


@contextmanager
def of_jobs(jobs: Sequence[Job]) -> Iterator[Agreement]:
    """What workers must agree on to compute these jobs, all into one output folder.

    As long as the block lasts, a file lies in that folder by which workers know it. BadInput
    when it cannot be written.
    """
    mark = jobs[0].out / f"run-{secrets.token_hex(8)}.here"
    write_whole(
        mark,
        "A run on a cluster is going on; its workers know the folder by this file.\n",
        what="the output folder's mark",
        hint="choose another folder with --out",
    )
    try:
        yield replace(
            of_code(),
            data={job.folder: job.cells[0].fingerprint for job in jobs},
            plugins={file: _digest(file) for job in jobs for file in job.plugins},
            mark=mark,
        )
    finally:
        mark.unlink(missing_ok=True)


@cache
def source_digest() -> str:
    """16 hexadecimal digits that change with the code or configuration that computes a cell."""
    assets, package = config.assets(), Path(__file__).parent
    files = [
        *((f"bench/{file.relative_to(package)}", file) for file in package.rglob("*.py")),
        *((str(file.relative_to(assets)), file) for file in (assets / "configs").rglob("*.yaml")),
    ]
    methods = package.parent / "methods"
    files += ((f"methods/{file.relative_to(methods)}", file) for file in methods.rglob("*.py"))
    found = hashlib.sha256()
    for name, file in sorted(files):
        found.update(f"{name} {_digest(file)}\n".encode())
    return found.hexdigest()[:16]


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _versions() -> dict[str, str]:
    """Of Python, of what computes, and of the packages that bring methods."""
    found: dict[str, str] = {}
    for entry in metadata.entry_points(group=registry.GROUP):
        if entry.dist is not None:
            found[entry.dist.name] = entry.dist.version
    found |= provenance.provenance("cpu", 1)["versions"]
    # One torch has several builds, for the CPU and for each CUDA: +cpu, +cu126.
    return {name: version.partition("+")[0] for name, version in found.items()}


def _fingerprint(folder: Path) -> str:
    """Of the clips that lie in a folder, not what the folder says of itself."""
    return _computed(folder, max(file.stat().st_mtime_ns for file in folder.iterdir()))


@cache
def _computed(folder: Path, _changed: int) -> str:
    # Reading all of it takes seconds, so it is done once in a process.
    from bench.data import store
    from bench.data.clips import SPLITS

    dataset = store.load(folder)
    clips = ((split, clip) for split in SPLITS for clip in dataset.clips[split])
    return store.fingerprint(clips, dataset.body)
