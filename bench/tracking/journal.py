"""What MLflow is to hold and what it has, in files beside the results: nothing is forgotten.

`FOLDER/mlflow-queue/EXPERIMENT.log` has a line for each change, appended and never altered:
`wanted DIGEST ENTRY` when an entry is new or another than before, `STORE DIGEST ENTRY` when that
store has it. Only names stand there: what an entry holds is read from the results.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.files import file_name

FOLDER = "mlflow-queue"

_WANTED = "wanted"
_ENDINGS = ("csv", "html", "md", "pdf", "png", "svg", "tex")


@dataclass
class _Entry:
    digest: str
    stores: set[str] = field(default_factory=set)


class Journal:
    """The entries of one experiment: `cell KEY`, `table NAME`, `trial STUDY NUMBER`.

    Several processes may append at once. A line that a kill cut short is ignored.
    """

    def __init__(self, folder: Path, experiment: str) -> None:
        """folder: the output folder; nothing is made before something is wanted."""
        self.experiment = experiment
        self._path = folder / FOLDER / f"{experiment}.log"
        self._entries: dict[str, _Entry] = {}
        self._read = 0

    def want(self, entry: str, digest: str) -> bool:
        """Note that a store should hold an entry; whether that was news. OSError as it comes."""
        known = self._entries.get(entry)
        if known and known.digest == digest:
            return False
        self._append(_WANTED, digest, entry)
        return True

    def stored(self, store: str, entry: str, digest: str) -> None:
        """Note that a store holds an entry. OSError as it comes."""
        self._append(store, digest, entry)

    def forget(self) -> None:
        """Want every entry again, because the store has been lost. OSError as it comes."""
        for entry, known in list(self._entries.items()):
            self._append(_WANTED, known.digest, entry)

    def update(self) -> None:
        """Read what was appended since."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                text = file.read()
        except FileNotFoundError:
            return
        # A line that somebody is writing is read the next time.
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode("utf-8", "replace").splitlines():
            sign, _, rest = line.partition(" ")
            digest, _, entry = rest.partition(" ")
            if entry:
                self._note(sign, digest, entry)

    def waiting(self, store: str) -> list[str]:
        """The entries that a store lacks, in the order in which they were first wanted."""
        return [name for name, entry in self._entries.items() if store not in entry.stores]

    def entries(self) -> list[str]:
        """Every entry that was ever wanted."""
        return list(self._entries)

    def _append(self, sign: str, digest: str, entry: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # One write at the end of the file: lines of several processes do not mix.
        with self._path.open("ab", buffering=0) as file:
            file.write(f"{sign} {digest} {entry}\n".encode())
        self._note(sign, digest, entry)

    def _note(self, sign: str, digest: str, entry: str) -> None:
        if sign == _WANTED:
            self._entries[entry] = _Entry(digest)
        elif entry in self._entries and self._entries[entry].digest == digest:
            self._entries[entry].stores.add(sign)


def journals(folder: Path) -> list[Journal]:
    """The journals of an output folder, read."""
    found = [Journal(folder, path.stem) for path in sorted((folder / FOLDER).glob("*.log"))]
    for journal in found:
        journal.update()
    return found


def store_name(uri: str, folder: Path) -> str:
    """What a store is called in a journal: nothing that could tell a password or a place."""
    own = uri.replace(f"{folder.absolute()}{os.sep}", "")
    return hashlib.sha256(own.encode()).hexdigest()[:12]


def digest_of(*parts: bytes) -> str:
    """16 hexadecimal digits of what an entry holds."""
    found = hashlib.sha256()
    for part in parts:
        found.update(hashlib.sha256(part).digest())
    return found.hexdigest()[:16]


def digest_of_files(paths: Sequence[Path]) -> str:
    """16 hexadecimal digits of files, their names included."""
    return digest_of(*(part for path in paths for part in (path.name.encode(), path.read_bytes())))


def table_files(folder: Path, name: str) -> list[Path]:
    """What there is of a table in an output folder: its files and figures, by name.

    Nothing of a name that is not one file's, as a line of a queue may have.
    """
    if file_name(name) != name:
        return []
    paths = (folder / f"{name}.{ending}" for ending in _ENDINGS)
    return [path for path in paths if path.is_file()]
