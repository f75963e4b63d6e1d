"""Provenance: versions, hardware and commit, and nothing that names a person or a place."""

import getpass
import json
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import pytest
import torch

import bench
from bench.provenance import commit, hardware, provenance, report


def git(folder: Path, *command: str) -> str:
    names = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *names, *command], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "one")
    return tmp_path


def test_the_commit_is_the_full_hash_even_under_a_tag(checkout: Path) -> None:
    git(checkout, "tag", "-a", "v1", "-m", "v1")
    assert commit(checkout) == git(checkout, "rev-parse", "HEAD")


def test_a_changed_checkout_is_dirty(checkout: Path) -> None:
    (checkout / "file").write_text("two")
    assert commit(checkout) == git(checkout, "rev-parse", "HEAD") + "-dirty"


def test_a_repository_further_up_is_not_ours(checkout: Path) -> None:
    inside = checkout / "site-packages"
    inside.mkdir()
    assert commit(inside) == "unknown"


def test_a_repository_without_commits_is_unknown(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert commit(tmp_path) == "unknown"


def test_no_git_is_unknown(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert commit(checkout) == "unknown"


def test_provenance_says_what_ran() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    said = provenance("cpu", 3)
    assert said["versions"]["torch"] == torch.__version__
    assert said["versions"]["bench"] == bench.__version__
    assert said["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(said["versions"]) == {"python", "numpy", "scipy", "torch", "bench"}
    assert (said["device"], said["threads"]) == ("cpu", 3)
    assert set(said["hardware"]) == {"cpu", "cores", "memory"}
    assert said["hardware"]["cores"] >= 1
    assert before <= datetime.fromisoformat(said["time"]) <= datetime.now(UTC)


def test_provenance_is_plain_data_without_names_or_places() -> None:
    text = json.dumps(provenance("cpu", 1))
    words = set(re.split(r"[^\w.-]+", text))
    assert not words & {getpass.getuser(), socket.gethostname()}
    assert str(Path.home()) not in text
    assert str(Path(bench.__file__).parents[1]) not in text


def test_what_one_caller_changes_the_next_does_not_see() -> None:
    provenance("cpu", 1)["versions"]["numpy"] = "0"
    assert provenance("cpu", 1)["versions"]["numpy"] == metadata.version("numpy")


@pytest.mark.cuda
def test_a_cuda_device_is_named() -> None:
    found = hardware("cuda:0")
    assert found["gpu"] == torch.cuda.get_device_name(0)
    assert found["cuda"] == torch.version.cuda


def test_report_lists_every_dependency(tmp_path: Path) -> None:
    said = dict(report(tmp_path / "not" / "yet"))
    assert said["numpy"].startswith(metadata.version("numpy") + " (>=")
    assert said["pytest"].endswith("for test)")
    assert {"click", "h5py", "mlflow", "pandas", "pydantic", "torch", "ruff", "mypy"} <= set(said)
    assert said["threads"] == str(torch.get_num_threads())
    assert re.fullmatch(r"\d+\.\d GiB", said["free disk"])
    assert list(tmp_path.iterdir()) == []


def test_report_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "mlflow":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    assert dict(report(tmp_path))["mlflow"] == "not installed (>=3)"


def test_report_imports_no_heavy_package() -> None:
    code = (
        "import sys; from pathlib import Path; from bench.provenance import report; report(Path());"
        "print(sorted({'mlflow', 'pandas', 'scipy', 'h5py'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
