"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bench.contracts import BadInput

_UNSAFE = re.compile(r"[^A-Za-z0-9_.,+=@-]")


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
    temporary = path.with_suffix(f"{path.suffix}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
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
