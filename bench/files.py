"""Files that are there whole or not at all."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from pathlib import Path
from typing import BinaryIO

from bench.contracts import BadInput

# NAME.ENDING.RANDOM.tmp, as `write_whole` calls what it has not finished.
_TEMPORARY = re.compile(r".+\.[a-z]+\.[0-9a-f]{16}\.tmp")
_UNSAFE = re.compile(r"\A\.|[^A-Za-z0-9_.,+=@-]")


def file_name(*parts: object, most: int = 160) -> str:
    """Part of a file's name made of names that others chose; never a path, whatever they hold.

    Parts are joined by `_`. What is no plain letter, digit or sign becomes `-`; what is too long
    is cut off, so that a caller who needs different names adds a digest.
    """
    return _UNSAFE.sub("-", "_".join(map(str, parts)))[:most]


def write_whole(path: Path, content: str | bytes, *, what: str, hint: str) -> None:
    """Write a file so that a kill at any instant leaves the old one or the new one.

    The folder is made. what: the file in an error; hint: what to do about it. BadInput when it
    cannot be written, and then nothing is left behind.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    # Two machines on one folder may have processes of one number.
    temporary = path.with_suffix(f"{path.suffix}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with _held(temporary) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(
            f"{what} cannot be written", file=path, found=error.strerror, hint=hint
        ) from error


def sweep(folder: Path) -> list[Path]:
    """Delete what killed processes have not finished writing in a folder; returns what it was.

    What a living process writes is left alone, and so is everything where nothing can be locked.
    """
    gone = []
    for path in folder.glob("*.tmp"):
        if not _TEMPORARY.fullmatch(path.name):
            continue
        try:
            with path.open("r+b") as file:
                # A dead writer holds no lock.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        except OSError:
            continue
        gone.append(path)
    return gone


def _held(temporary: Path) -> BinaryIO:
    """A new file that is locked as long as it is open, so that nobody sweeps it away."""
    while True:
        file = temporary.open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            # No locks on this file system, and so nobody who sweeps.
            return file
        if os.fstat(file.fileno()).st_nlink:
            return file
        # Swept between the two lines above.
        file.close()
