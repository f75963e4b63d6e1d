"""Locks between processes: one holder at a time, and none once the holder is dead.

They are POSIX locks on single bytes of one file. The system gives them back when their process
ends, however it ends, so that nothing stale can block; a file for each lock would have to be
deleted, and by whom is a race of its own. They hold between machines too where the file system
passes them on, as NFS 4 does.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from bench.contracts import BadInput

FILE = ".locks"
"""The file in a folder whose bytes are its locks; it stays empty, and is never deleted."""

# What a file system without locks answers.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_HELD = (errno.EACCES, errno.EAGAIN)

# Seconds between two looks at a lock that another process holds.
PATIENCE = 0.2


class Locks:
    """The locks of one folder, by name, while the block runs.

    A process must have one object of a folder at a time: closing one gives back what another
    one of the same process holds. `supported` turns False where the file system has no locks;
    then every lock is free.
    """

    def __init__(self, folder: Path, *, what: str, hint: str) -> None:
        """folder: made when the block is entered; what, hint: of it in an error."""
        self._path = folder / FILE
        self._what, self._hint = what, hint
        self._file: BinaryIO | None = None
        self.supported = True

    def __enter__(self) -> Self:
        """Open the file; BadInput when it cannot be made."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Never truncated: another process may have it open.
            self._file = self._path.open("ab")
        except OSError as error:
            raise BadInput(
                f"{self._what} cannot be written",
                file=self._path.parent,
                found=error.strerror,
                hint=self._hint,
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give everything back."""
        if self._file is not None:
            self._file.close()

    def take(self, name: str) -> bool:
        """Take a lock, unless another process has it: then False, at once."""
        try:
            self._change(fcntl.LOCK_EX | fcntl.LOCK_NB, name)
        except OSError as error:
            if error.errno in _HELD:
                return False
            if error.errno not in _NO_LOCKS:
                raise
            self.supported = False
        return True

    def wait(self, name: str, say: Callable[[], None]) -> None:
        """Take a lock as soon as no other process has it; say: called when that is not at once."""
        if not self.take(name):
            say()
            while not self.take(name):
                time.sleep(PATIENCE)

    def give(self, name: str) -> None:
        """Give a lock back."""
        if self.supported:
            self._change(fcntl.LOCK_UN, name)

    def _change(self, what: int, name: str) -> None:
        if self._file is None:
            raise RuntimeError("locks are used outside of their block")
        # 62 bits: two names do not meet, and the end of the byte is still a file offset.
        place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) >> 2
        fcntl.lockf(self._file, what, 1, place, os.SEEK_SET)
