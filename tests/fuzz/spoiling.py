"""Valid files made invalid: any bytes, and the parts of a format that a checksum would hide."""

import io
import json
import struct
import zipfile
from collections.abc import Callable, Sequence
from random import Random

Spoil = Callable[[Random, bytes, Sequence[bytes]], bytes]

NUMBERS = (0, 1, -1, 127, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1, 10**12)
TEXTS = (
    b"", b"\0", b"{", b"[" * 50, b"(" * 50, b"'", b'"', b"%s", b"../../x", b"/etc/passwd", b"nan",
    b"\x1b[2J", b"1e999", b"-", b"\xff\xfe", b"\xed\xa0\x80", b"9" * 5000, b"*a", b"&a", b"<<: ",
    b"!!python/name:os", b"? ", b"- ", b": ", b"\n", b"\t", b"O", b"|V8", b"<f8", b"c", b"R", b"b",
    b"}", b"]", b".",
)  # fmt: skip
VALUES = (
    None, True, -1, 0, 10**30, 1e308, float("nan"), float("inf"), "", "../../../x", "\0", "=1+1",
    "\x1b[31m", "a" * 10_000, [], {}, [[]], {"a": 1}, "\ud800", "2020-01-01",
    "<b>&|$x_1$\\input{x}",
)  # fmt: skip


def mangled(rng: Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """One to four changes of any bytes: set, cut, repeated, taken from elsewhere, put in."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        length = min(rng.choice((1, 2, 4, 8, 16, 100, 1000)), max(len(data) - at, 0))
        kind = rng.randrange(8)
        if kind == 0 and length:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and length:
            data[at : at + length] = rng.randbytes(length)
        elif kind == 2:
            del data[at : at + length]
        elif kind == 3:
            data[at:at] = data[at : at + length] * rng.choice((1, 2, 50))
        elif kind == 4 and others:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            data[at : at + length] = other[start : start + length]
        elif kind == 5:
            data[at : at + rng.randrange(3)] = rng.choice(TEXTS)
        elif kind == 6:
            number = rng.choice(NUMBERS) & (2**64 - 1)
            size = rng.choice((1, 2, 4, 8))
            data[at : at + size] = number.to_bytes(8, rng.choice(("little", "big")))[:size]
        elif rng.random() < 0.2:
            del data[at:]
    return bytes(data)


def in_archive(rng: Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """A member of a zip archive mangled behind its checksum, or the archive itself."""
    if rng.random() < 0.3:
        return mangled(rng, content, others)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception:
        return mangled(rng, content, others)
    if not members:
        return content
    spoilt = rng.choice(list(members))
    stream = io.BytesIO()
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(stream, "w", packing) as archive:
        for name, data in members.items():
            if name == spoilt:
                change = rng.randrange(8)
                name = rng.choice(("../x.npy", "/x", "x" * 5000, "y")) if change == 0 else name
                data = bytes(rng.randrange(1 << 22)) if change == 1 else mangled(rng, data, others)
            archive.writestr(name, data)
    packed = stream.getvalue()
    return mangled(rng, packed) if rng.random() < 0.1 else packed


def in_json(rng: Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """A value, a key or a branch of a JSON document changed, or its bytes."""
    if rng.random() < 0.25:
        return mangled(rng, content, others)
    try:
        tree = json.loads(content)
        for _ in range(rng.randint(1, 3)):
            tree = _changed(rng, tree)
        text = json.dumps(tree)
    except Exception:
        return mangled(rng, content, others)
    if rng.random() < 0.03:
        deep = rng.choice((100, 1000, 100_000))
        text = text.replace("null", "[" * deep + "]" * deep, 1)
    return text.encode("utf-8", "surrogatepass")


def in_header(rng: Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """The JSON header of safetensors changed, its length told truly or not; or any bytes."""
    if len(content) < 9 or rng.random() < 0.3:
        return mangled(rng, content, others)
    length = min(*struct.unpack("<Q", content[:8]), len(content))
    header = in_json(rng, content[8 : 8 + length]).ljust(rng.choice((0, length)))
    said = rng.choice(NUMBERS) & (2**64 - 1) if rng.random() < 0.2 else len(header)
    return struct.pack("<Q", said) + header + content[8 + length :]


def _changed(rng: Random, tree: object) -> object:
    """A JSON value with one of its parts replaced, renamed, removed or repeated."""
    if isinstance(tree, dict) and tree and rng.random() < 0.9:
        key = rng.choice(list(tree))
        kind = rng.randrange(10)
        if kind == 0:
            return {k: v for k, v in tree.items() if k != key}
        if kind == 1:
            return {**tree, str(rng.choice(VALUES)): tree[key]}
        return {**tree, key: _changed(rng, tree[key])}
    if isinstance(tree, list) and tree and rng.random() < 0.9:
        at = rng.randrange(len(tree))
        if rng.random() < 0.1:
            return tree[:at] + tree[at:] * rng.choice((2, 20))
        return [*tree[:at], _changed(rng, tree[at]), *tree[at + 1 :]]
    return rng.choice(VALUES)
