"""What every test stands on: one thread, no deadlines, no settings of the user, named skips."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

torch.set_num_threads(1)
# The first example of a property may have to import or to warm up something. What stands between
# a change and its landing must not depend on luck; other examples every time are for the night.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.register_profile("random", deadline=None)
hypothesis.settings.load_profile("same")

SHARED = Path(os.environ.get("BENCH_SHARED") or Path(__file__).parents[2] / "shared")
NO_SHARED = "no reference data: set BENCH_SHARED or put the folder `shared` beside the checkout"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, and say why."""
    skips = {}
    if not torch.cuda.is_available():
        skips["cuda"] = pytest.mark.skip(reason="no CUDA device on this machine")
    if not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))):
        skips["compiler"] = pytest.mark.skip(reason="no C++ compiler on this machine")
    if not SHARED.is_dir():
        skips["shared"] = pytest.mark.skip(reason=NO_SHARED)
    for item in items:
        for name, skip in skips.items():
            if item.get_closest_marker(name):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(NO_SHARED)
    return SHARED.resolve()


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """A process that ignores Ctrl-C hands that on to every command that a later test starts."""
    before = signal.getsignal(signal.SIGINT)
    yield
    after = signal.getsignal(signal.SIGINT)
    assert after is before or after is not signal.SIG_IGN, "Ctrl-C is ignored now"


@pytest.fixture(scope="session", autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's data, caches and tracking server out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BENCH_DATA", raising=False)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
