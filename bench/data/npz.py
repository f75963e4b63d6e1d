"""Reading .npz and .npy files that others wrote: data comes out, code never runs.

The DeciWatch release stores object arrays, which NumPy saves as pickles, and unpickling runs
whatever a file asks for. Here a pickle may only name the few functions NumPy rebuilds arrays with,
each is replaced by one of ours that checks what is claimed against what is there, and no opcode
is followed that could build anything else. Nothing is allocated that the file's size cannot
account for.
"""

from __future__ import annotations

import io
import lzma
import math
import pickle
import pickletools
import re
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from bench.contracts import BadInput

_LARGEST_HEADER = 10_000
_PLAIN_KINDS = "biufUS"
_DTYPE = re.compile(r"(?:b1|[iu][1248]|f[248]|[US][1-9][0-9]{0,5}|O[48]?)\Z")
_HINT = "get the file again from where docs/data.md says"

# How much more than the file's own bytes its arrays may take: compression (image names repeat
# themselves), and values a pickle holds once and refers to often.
_INFLATION = 200
_SHARING = 16
_SLACK = 1 << 20
_MOST_AXES = 32

# What NumPy's own pickles consist of (protocols 2 to 4). Without dictionaries no attribute can be
# set, without the extension registry and persistent ids nothing outside the pickle is reached.
_OPCODES = frozenset(
    (
        "PROTO", "FRAME", "STOP", "MARK", "GLOBAL", "STACK_GLOBAL", "NEWOBJ", "REDUCE", "BUILD",
        "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST", "APPEND",
        "APPENDS", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1",
        "BINFLOAT", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
        "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINPUT", "LONG_BINPUT", "BINGET",
        "LONG_BINGET", "MEMOIZE",
    )
)  # fmt: skip

DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, pickle.UnpicklingError, struct.error, OSError,
    EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, ImportError,
    OverflowError, MemoryError, RecursionError, RuntimeError, SyntaxError, tokenize.TokenError,
)  # fmt: skip
"""What a damaged archive, header or pickle makes the standard library and NumPy raise."""


class RefusedError(Exception):
    """A pickle asks for something that is not accepted; the text says what."""


def read_npz(path: Path, keys: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by key; only those named in `keys`, where it is given.

    Plain arrays have the dtype and shape of the file (booleans, integers, floats, strings);
    object arrays have its shape, and their elements are arrays, strings or numbers (flat or
    rectangular lists come out as arrays, of dtype object where they hold strings). Arrays may be
    read-only. Raises BadInput with file and key for everything else: an archive that is missing,
    truncated or damaged, arrays that are not what their header says, a pickle that names any
    function, one that claims more than the file can hold. A key that is not there is left out.
    """
    if not path.is_file():
        raise BadInput("no such file", file=path, hint=_HINT)
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            room = room_for(path)
            for member in archive.infolist():
                key = member.filename.removesuffix(".npy")
                if keys is not None and key not in keys:
                    continue
                room -= member.file_size
                _check_member(member, key in arrays, room, path)
                arrays[key] = _read_member(archive, member, path, key)
    except DAMAGE as error:
        raise BadInput(
            "not a readable .npz file", file=path, found=_said(error), hint=_HINT
        ) from error
    return arrays


def read_npy(path: Path) -> NDArray[Any]:
    """The array of an .npy file, under the rules of `read_npz`; BadInput with the file."""
    if not path.is_file():
        raise BadInput("no such file", file=path, hint=_HINT)
    with guarded(path):
        return _parse(path.read_bytes())


@contextmanager
def guarded(path: Path, hint: str = "") -> Iterator[None]:
    """Make what reading a damaged or hostile file raises a BadInput with the file.

    hint: what to do about it, where the file is not one of those that DeciWatch's layout names.
    """
    try:
        yield
    except RefusedError as error:
        raise BadInput(
            "is refused",
            file=path,
            found=str(error),
            expected="NumPy arrays only",
            hint=hint or "do not trust this file",
        ) from error
    except DAMAGE as error:
        raise BadInput("cannot be read", file=path, found=_said(error), hint=hint or _HINT) from (
            error
        )


def room_for(path: Path) -> int:
    """How many bytes may come out of a compressed file; more, and it is made to exhaust memory."""
    return _INFLATION * path.stat().st_size + _SLACK


def _check_member(member: zipfile.ZipInfo, again: bool, room: int, path: Path) -> None:
    problem = None
    if not member.filename.endswith(".npy"):
        problem = "is no array"
    elif again:
        problem = "is there twice"
    elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        problem = "is compressed in an unknown way"
    elif room < 0:
        problem = "claims far more bytes than the file can hold"
    if problem:
        raise BadInput(f"'{member.filename}' {problem}", file=path, hint=_HINT)


def _read_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, key: str
) -> NDArray[Any]:
    try:
        with archive.open(member) as stream:
            # Reading a given size keeps the decompressor within it, whatever the data expands to.
            return _parse(stream.read(member.file_size))
    except RefusedError as error:
        raise BadInput(
            f"key '{key}' is refused",
            file=path,
            found=str(error),
            expected="NumPy arrays only",
            hint="do not trust this file",
        ) from error
    except DAMAGE as error:
        raise BadInput(
            f"key '{key}' cannot be read", file=path, found=_said(error), hint=_HINT
        ) from error


def _said(error: BaseException) -> str:
    """The error in a few words: what is in a hostile file must not fill the terminal."""
    text = str(error) or type(error).__name__
    return ascii(text[:120])[1:-1]


def _parse(content: bytes) -> NDArray[Any]:
    """One .npy file -> its array."""
    stream = io.BytesIO(content)
    major, _ = npy.read_magic(stream)
    # Version 3 differs from 2 only in the encoding of field names, and no field is accepted.
    read_header: Callable[..., tuple[tuple[int, ...], bool, np.dtype[Any]]] = (
        npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shape, _, dtype = read_header(stream, max_header_size=_LARGEST_HEADER)
    if len(shape) > _MOST_AXES or any(length < 0 for length in shape):
        raise ValueError(f"negative length or too many axes in shape {shape}")
    if dtype.hasobject:
        if dtype.kind != "O":
            raise RefusedError(f"an array of {dtype}")
        return ArrayPickle(content[stream.tell() :]).array(shape)
    if dtype.kind not in _PLAIN_KINDS or dtype.itemsize == 0:
        raise RefusedError(f"an array of {dtype}")
    there = len(content) - stream.tell()
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != there:
        raise ValueError(f"{there} bytes of data where the header says {claimed}")
    stream.seek(0)
    array: NDArray[Any] = npy.read_array(stream, max_header_size=_LARGEST_HEADER)
    return array


class _Dtype:
    """Stands in for numpy.dtype while a pickle is read: one simple type and its byte order."""

    def __init__(self, text: object, *_: object) -> None:
        if isinstance(text, bytes):
            text = text.decode("ascii")
        if not isinstance(text, str) or not _DTYPE.match(text):
            raise RefusedError(f"dtype {_said(ValueError(text))}")
        self.value: np.dtype[Any] = np.dtype("O" if text.startswith("O") else text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order, parts = state[1], state[2:5]
        if isinstance(order, bytes):
            order = order.decode("ascii")
        if order not in ("<", ">", "|", "=") or any(part is not None for part in parts):
            raise RefusedError("a dtype with fields")
        if order in ("<", ">"):
            self.value = self.value.newbyteorder(order)


class _Array:
    """Stands in for numpy.ndarray while a pickle is read."""

    def __init__(self, owner: ArrayPickle) -> None:
        self._owner = owner
        self._value: NDArray[Any] | None = None

    @property
    def value(self) -> NDArray[Any]:
        """The array, once its data has been read."""
        if self._value is None:
            raise ValueError("an array without data, or one that holds itself")
        return self._value

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        # Short, before it is looked through: a pickle can name one number any number of times.
        if not isinstance(shape, tuple) or len(shape) > _MOST_AXES:
            raise ValueError("an array whose shape is not valid")
        if not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("an array whose shape is not valid")
        if not isinstance(dtype, _Dtype):
            raise ValueError("an array without a dtype")
        size = math.prod(shape)
        flat: NDArray[Any]
        if dtype.value.hasobject:
            if not isinstance(raw, list) or len(raw) != size:
                raise ValueError(f"an object array that does not hold its {size} elements")
            # One list may be the data of any number of arrays.
            self._owner.take(8 * size)
            flat = np.empty(size, dtype=object)
            for index, element in enumerate(raw):
                flat[index] = self._owner.resolve(element)
        else:
            if isinstance(raw, str):  # written by Python 2
                raw = raw.encode("latin-1")
            if not isinstance(raw, bytes) or len(raw) != size * dtype.value.itemsize:
                raise ValueError(f"an array whose data is not the {size} numbers it claims")
            flat = np.frombuffer(raw, dtype=dtype.value)
        # A pickle lists objects in row order whatever their layout in memory was.
        columns_first = fortran and not dtype.value.hasobject
        self._value = flat.reshape(shape, order="F" if columns_first else "C")


def _scalar(dtype: _Dtype, raw: bytes | str) -> Any:
    """Stands in for numpy's `scalar`."""
    if isinstance(raw, str):
        raw = raw.encode("latin-1")
    if dtype.value.hasobject or len(raw) != dtype.value.itemsize:
        raise ValueError("a scalar whose data is not one value")
    return np.frombuffer(raw, dtype=dtype.value)[0]


def _encode(text: str, encoding: str) -> bytes:
    """Stands in for `_codecs.encode`, by which protocol 2 spells bytes."""
    return text.encode("latin-1" if encoding in ("latin1", "latin-1") else "ascii")


class Stub:
    """Stands in for a function that a pickle names: it can be called, and nothing else."""

    __slots__ = ("_run",)

    def __init__(self, run: Callable[..., object]) -> None:
        self._run = run

    def __call__(self, *given: object) -> object:
        """What the function would have made."""
        return self._run(*given)

    def __setstate__(self, _: object) -> None:
        raise RefusedError("a function with attributes")


class ArrayPickle(pickle.Unpickler):
    """Rebuilds one object array, or raises what `guarded` turns into BadInput.

    content: the bytes of the pickle. A subclass that reads more than arrays adds to `opcodes` and
    to `stubs`, the objects that the names in a pickle stand for here; whatever it adds must refuse
    attributes by a `__setstate__` of its own, or check them there.
    """

    opcodes = _OPCODES

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self._content = content
        self._room = _SHARING * len(content) + _SLACK
        self.stubs: dict[tuple[str, str], object] = {
            ("numpy", "ndarray"): _Array,
            ("numpy", "dtype"): _Dtype,
            ("_codecs", "encode"): Stub(_encode),
        }
        for package in ("numpy._core", "numpy.core"):
            self.stubs[f"{package}.multiarray", "_reconstruct"] = Stub(self._reconstruct)
            self.stubs[f"{package}.multiarray", "scalar"] = Stub(_scalar)

    def array(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """The object array, which must have the shape its header gave."""
        array = self.checked()
        if not isinstance(array, _Array) or not array.value.dtype.hasobject:
            raise RefusedError("a value that is no object array")
        if array.value.shape != shape:
            raise ValueError(f"shape {array.value.shape} where the header says {shape}")
        return array.value

    def checked(self) -> object:
        """The object of the pickle, once its opcodes were found harmless."""
        self._check_opcodes()
        return self.load()

    def find_class(self, module: str, name: str) -> Any:
        """Our replacement of a function that NumPy's pickles name; nothing is ever imported."""
        try:
            return self.stubs[module, name]
        except KeyError:
            raise RefusedError(f"the name {_said(ValueError(f'{module}.{name}'))}") from None

    def resolve(self, element: object) -> object:
        """What an object array holds: an array, a string or a number; lists become arrays."""
        if isinstance(element, _Array):
            element = element.value
        elif isinstance(element, (list, tuple)):
            element = self._rectangle(element)
        elif not isinstance(element, (str, int, float, np.generic)):
            raise RefusedError(f"an element of type {type(element).__name__}")
        if isinstance(element, np.ndarray):
            self.take(element.nbytes)
        return element

    def _reconstruct(self, kind: object, *_: object) -> _Array:
        if kind is not _Array:
            raise RefusedError("an array of an unknown class")
        return _Array(self)

    def _rectangle(self, rows: list[Any] | tuple[Any, ...]) -> NDArray[Any]:
        """A list of strings, of numbers, or of equally long rows of numbers, as an array."""
        if all(isinstance(item, str) for item in rows):
            names = np.empty(len(rows), dtype=object)
            names[:] = rows
            return names
        parts = [item.value if isinstance(item, _Array) else item for item in rows]
        width = 1
        for part in parts:
            if isinstance(part, np.ndarray) and part.dtype.kind in "biuf":
                width = max(width, part.size)
                continue
            values = part if isinstance(part, (list, tuple)) else (part,)
            if not all(isinstance(value, (int, float, np.number)) for value in values):
                raise RefusedError("a list that holds more than numbers")
            width = max(width, len(values))
        self.take(8 * len(parts) * width)
        array = np.array(parts)
        if array.dtype.hasobject:
            raise ValueError("a list of numbers that are too large")
        return array

    def take(self, size: int) -> None:
        """Count bytes taken from memory; ValueError when the file cannot account for them."""
        self._room -= size
        if self._room < 0:
            raise ValueError("far more values are claimed than the file can hold")

    def _check_opcodes(self) -> None:
        """Refuse opcodes that NumPy's pickles do not have, and memo slots that cannot be filled.

        The C unpickler allocates all memo slots up to the largest number it meets.
        """
        end = 0
        for opcode, argument, position in pickletools.genops(self._content):
            if opcode.name not in self.opcodes:
                raise RefusedError(f"the pickle opcode {opcode.name}")
            if opcode.name in ("LONG_BINPUT", "PUT") and int(argument or 0) > len(self._content):
                raise ValueError("a memo number beyond the file's size")
            end = position or 0
        if end != len(self._content) - 1:
            raise ValueError("bytes after the end of the pickle")
