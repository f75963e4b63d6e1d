"""The same readers under atheris, which keeps inputs that reach new code and spoils them further.

An engine of `python -m fuzz`, where atheris installs.
"""

import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fuzz.readers import Reader
    from fuzz.running import Tally

_COUNTS = struct.Struct("<3Q")
_STATS = {"slowest": r"stat::slowest_unit_time_sec: +(\d+)", "memory": r"stat::peak_rss_mb: +(\d+)"}


def tallied(reader: "Reader", inputs: int, *, run: int = 0, keep: Path | None = None) -> "Tally":
    """As `fuzz.running.tallied`; memory is all that the process has, seconds are whole ones."""
    from fuzz.running import MEMORY, SECONDS, Tally

    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        corpus = folder / "corpus"
        corpus.mkdir()
        (folder / "seeds").mkdir()
        for number, seed in enumerate(reader.inputs(folder / "seeds")[1]):
            (corpus / str(number)).write_bytes(seed)
        counts = folder / "counts"
        counts.write_bytes(_COUNTS.pack(0, 0, 0))
        words = [sys.executable, "-m", "fuzz.guided", reader.name, str(counts), str(corpus)]
        words += [f"-runs={inputs}", f"-seed={run + 1}", "-print_final_stats=1", "-max_len=100000"]
        words += [f"-timeout={SECONDS:.0f}", f"-rss_limit_mb={MEMORY >> 20}"]
        words += [f"-artifact_prefix={(keep or folder).resolve()}/{reader.name} "]
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
        refused, accepted, other = _COUNTS.unpack(counts.read_bytes())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found = {what: re.search(pattern, done.stderr) for what, pattern in _STATS.items()}
    others = [f"{other} errors"] if other else []
    if done.returncode:
        others.append(" ".join(done.stderr.splitlines()[-30:])[-1500:])
    return Tally(
        inputs=refused + accepted + other,
        refused=refused,
        accepted=accepted,
        others=others,
        slowest=float(found["slowest"][1]) if found["slowest"] else 0.0,
        memory=1024 * int(found["memory"][1]) if found["memory"] else 0,
    )


def _fuzz(name: str, counts: Path, options: list[str]) -> None:
    """In a process of its own: libFuzzer's loop, which ends it."""
    import atheris

    with atheris.instrument_imports(include=["bench"]):
        from fuzz.readers import BY_NAME
    from random import Random

    from fuzz.running import read

    reader = BY_NAME[name]
    file, seeds = reader.inputs(Path(tempfile.mkdtemp(dir=counts.parent)))
    tally = [0, 0, 0]
    told = os.open(counts, os.O_WRONLY)

    def one(content: bytes) -> None:
        file.write_bytes(content)
        said = read(reader, file)
        tally[("refused", "accepted").index(said) if said in ("refused", "accepted") else 2] += 1
        os.pwrite(told, _COUNTS.pack(*tally), 0)
        if tally[2]:
            raise AssertionError(said)

    def changed(content: bytes, most: int, seed: int) -> bytes:
        return reader.spoil(Random(seed), content, seeds)[:most]

    atheris.Setup([name, *options], one, custom_mutator=changed)
    atheris.Fuzz()


if __name__ == "__main__":
    _fuzz(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
