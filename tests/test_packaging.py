"""The package: what a wheel carries, what the tree must not carry, and commands that agree."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = {".npz", ".npy", ".h5", ".pkl", ".pt", ".pth", ".safetensors", ".tar", ".zip", ".db"}
# Made up of parts, so that this file does not find itself.
PLACES = re.compile(
    "|".join(re.escape("/" + place + "/") for place in ("work", "home", "root", "Users"))
)
TEST_COMMAND = (
    "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt tox && .venv/bin/tox"
)


def tracked() -> list[Path]:
    """Every file that git has, or would take."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in a freshly built wheel."""
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("kind", ["configs", "tables"])
def test_the_wheel_carries_every_config_and_table(wheel: set[str], kind: str) -> None:
    wanted = {
        f"bench/_assets/{path.relative_to(ROOT).as_posix()}"
        for path in (ROOT / kind).rglob("*.yaml")
    }
    assert wanted
    assert wanted <= wheel


def test_the_wheel_carries_every_module_and_the_licence(wheel: set[str]) -> None:
    modules = {
        path.relative_to(ROOT).as_posix()
        for package in ("bench", "methods")
        for path in (ROOT / package).rglob("*.py")
    }
    assert {"bench/__init__.py", "methods/__init__.py"} <= modules <= wheel
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
    assert not [name for name in wheel if name.startswith("tests/")]


def test_no_data_and_no_weights_lie_in_the_tree() -> None:
    found = [str(path.relative_to(ROOT)) for path in tracked() if path.suffix in DATA]
    assert found == []


def test_no_large_file_lies_in_the_tree() -> None:
    found = [str(path.relative_to(ROOT)) for path in tracked() if path.stat().st_size > 2**20]
    assert found == []


def test_no_path_of_one_machine_lies_in_the_tree() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {place}" for place in PLACES.findall(text)]
    assert found == []


def test_readme_and_ci_run_the_same_command() -> None:
    assert TEST_COMMAND in (ROOT / ".ci/run").read_text().splitlines()
    readme = (ROOT / "README.md").read_text()
    if not readme:
        pytest.skip("README.md is not written")
    assert TEST_COMMAND in [line.strip().removeprefix("$ ") for line in readme.splitlines()]


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"], "tox"]
    for extra in project["project"]["optional-dependencies"].values():
        wanted += extra
    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines}
    names = {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-") for line in wanted}
    assert names - pinned == set()
