"""The restricted reader: everything NumPy saves comes back, nothing in a file ever runs."""

import contextlib
import io
import os
import pickle
import resource
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts import BadInput
from bench.data.npz import read_npz


class Call:
    """Pickles to a call of any function: what a hostile file consists of."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def objects(*items):
    array = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        array[index] = item
    return array


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for key, content in members.items():
            archive.writestr(f"{key}.npy", content)
    return stream.getvalue()


def npy_of(pickled: bytes, shape: str = "(1,)") -> bytes:
    """A .npy file with an object array's header before any pickle."""
    header = f"{{'descr': '|O', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pickled


def write(folder: Path, content: bytes) -> Path:
    path = folder / "poses.npz"
    path.write_bytes(content)
    return path


def saved(array, version=None) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    return stream.getvalue()


def refusal(path: Path) -> str:
    with pytest.raises(BadInput) as error:
        read_npz(path)
    assert path.name in str(error.value)
    return str(error.value)


FORTRAN = np.asfortranarray(np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        FORTRAN,
        np.array(["a/1", "b/22"]),
        np.array([b"x", b"yz"]),
        np.array(7),
        np.zeros((0, 3)),
        np.array([True, False]),
        np.arange(3, dtype=">i2"),
    ],
)
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_plain_arrays_come_back_as_they_were(tmp_path, array, version):
    read = read_npz(write(tmp_path, zipped(x=saved(array, version))))["x"]
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


def test_object_arrays_come_back_with_their_elements(tmp_path):
    items = (
        np.arange(6, dtype=np.float32).reshape(2, 3),
        FORTRAN,
        np.array(["v/1", "v/2"]),
        np.arange(2, dtype=">f8"),
        np.array(["s", "t"], dtype=object),
        "text",
        3,
        2.5,
        np.float32(1.5),
        np.str_("np"),
    )
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=objects(*items))
    read = read_npz(path)["x"]
    assert read.shape == (len(items),)
    for found, item in zip(read, items, strict=True):
        assert type(found) is type(item)
        assert np.asarray(found).dtype == np.asarray(item).dtype
        np.testing.assert_array_equal(found, item)


def test_lists_become_arrays(tmp_path):
    size = (240, 320)
    items = (["v/1", "v/2"], [1, 2], [size, size, size], [np.zeros(2), np.ones(2)], [])
    path = tmp_path / "a.npz"
    np.savez(path, x=objects(*items))
    names, numbers, sizes, rows, nothing = read_npz(path)["x"]
    assert names.dtype == object
    assert names.tolist() == ["v/1", "v/2"]
    assert numbers.tolist() == [1, 2]
    assert sizes.tolist() == [[240, 320]] * 3
    assert rows.tolist() == [[0, 0], [1, 1]]
    assert nothing.shape == (0,)


def test_rectangular_object_arrays_keep_their_shape_and_order(tmp_path):
    table = np.array([[1.5, 2.5, 3.5], [4.5, 5.5, 6.5]], dtype=object)
    for array in (table, np.asfortranarray(table)):
        read = read_npz(write(tmp_path, zipped(x=saved(array))))["x"]
        np.testing.assert_array_equal(read, table)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_every_binary_protocol_and_the_old_module_names_are_read(tmp_path, protocol):
    pickled = pickle.dumps(objects(np.arange(3.0), np.array(["a"])), protocol=protocol)
    old = pickled
    if protocol < 4:  # these spell module names as lines
        old = pickled.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        assert old != pickled
    for content in (pickled, old):
        numbers, names = read_npz(write(tmp_path, zipped(x=npy_of(content, "(2,)"))))["x"]
        assert numbers.tolist() == [0, 1, 2]
        assert names.tolist() == ["a"]


def test_only_the_wanted_keys_are_opened(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, good=np.arange(2), bad=objects(Call(os.getcwd)))
    assert list(read_npz(path, {"good", "absent"})) == ["good"]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda mark: Call(os.system, f"touch {mark}"), "posix.system"),
        (lambda mark: Call(eval, f"open({str(mark)!r}, 'w')"), "builtins.eval"),
        (lambda mark: Call(open, str(mark), "w"), "io.open"),
        (lambda mark: [Call(os.system, f"touch {mark}")], "posix.system"),
        (lambda mark: objects(1, objects(Call(os.system, f"touch {mark}"))), "posix.system"),
        (lambda mark: Call(np.load, str(mark), None, True), "numpy.load"),
        (lambda mark: Call(np.fromfile, str(mark)), "fromfile"),
        (lambda mark: Call(np.save, str(mark), 1), "numpy.save"),
        (lambda mark: Call(getattr, 1, "real"), "getattr"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_no_function_in_a_file_runs(tmp_path, call, name, protocol):
    mark = tmp_path / "mark"
    pickled = pickle.dumps(objects(call(mark)), protocol=protocol)
    message = refusal(write(tmp_path, zipped(good=saved(np.arange(3)), x=npy_of(pickled))))
    assert not mark.exists()
    assert "key 'x' is refused" in message
    assert name in message or (protocol == 2 and "__builtin__" in message)


def test_the_hostile_files_would_run_elsewhere(tmp_path):
    """Without the restriction the same pickle acts: the test above is no empty one."""
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(objects(Call(os.system, f"touch {mark}"))))
    assert mark.exists()


@pytest.mark.parametrize(
    ("pickled", "found"),
    [
        (pickle.dumps({"a": 1}), "EMPTY_DICT"),
        (pickle.dumps(objects({"a": 1})), "EMPTY_DICT"),
        (pickle.dumps(objects(1), protocol=0), "opcode"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02(iposix\nsystem\n.", "INST"),
        (pickle.dumps(objects(None)), "NoneType"),
        (pickle.dumps(np.arange(3)), "no object array"),
        (pickle.dumps(objects(np.zeros(2, "f4,i4"))), "EMPTY_DICT"),
        (pickle.dumps(objects(np.zeros(1, "M8[s]"))), "dtype"),
        (pickle.dumps(objects([["a"]])), "more than numbers"),
    ],
)
def test_what_is_no_array_is_refused(tmp_path, pickled, found):
    message = refusal(write(tmp_path, zipped(x=npy_of(pickled))))
    assert "key 'x'" in message
    assert found in message


def test_an_array_that_holds_itself_is_refused(tmp_path):
    array = objects(0)
    array[0] = array
    assert "holds itself" in refusal(write(tmp_path, zipped(x=npy_of(pickle.dumps(array)))))


def test_the_header_must_tell_the_truth(tmp_path):
    pickled = pickle.dumps(objects(1, 2))
    assert "header says" in refusal(write(tmp_path, zipped(x=npy_of(pickled, "(3,)"))))
    assert "negative" in refusal(write(tmp_path, zipped(x=npy_of(pickled, "(-1,)"))))
    assert "after the end" in refusal(write(tmp_path, zipped(x=npy_of(pickled + b"..", "(2,)"))))
    plain = saved(np.arange(4.0))
    assert "32" in refusal(write(tmp_path, zipped(x=plain.replace(b"(4,)", b"(9,)"))))
    huge = plain.replace(b"(4,), }" + b" " * 20, b"(4" + b"0" * 20 + b",), }")
    assert huge != plain
    assert "key 'x'" in refusal(write(tmp_path, zipped(x=huge)))
    long = b"\x93NUMPY\x02\x00" + struct.pack("<I", 20_000) + b" " * 20_000
    assert "key 'x'" in refusal(write(tmp_path, zipped(x=long)))
    assert "key 'x'" in refusal(write(tmp_path, zipped(x=b"")))
    assert "key 'x'" in refusal(write(tmp_path, zipped(x=b"GIF89a" + plain)))


def array_state(shape: bytes, dtype: bytes, raw: bytes) -> bytes:
    """A pickled array (protocol 2) with any claim: `shape`, `dtype` and `raw` are opcodes."""
    make = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tc_codecs\nencode\n"
    make += b"(X\x01\x00\x00\x00bX\x06\x00\x00\x00latin1tRtR"
    return make + b"(K\x01" + shape + dtype + b"\x89" + raw + b"tb"


LONG = b"\x8a\x08" + (10**15).to_bytes(8, "little")
OBJECT = b"cnumpy\ndtype\n(X\x02\x00\x00\x00O8tR"
FLOAT = b"cnumpy\ndtype\n(X\x02\x00\x00\x00f8tR"
VOID = b"cnumpy\ndtype\n(X\x0b\x00\x00\x00V1000000000tR"
EMPTY = b"cnumpy\ndtype\n(X\x02\x00\x00\x00U0tR"


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02" + array_state(b"(" + LONG + b"t", OBJECT, b"]") + b".",
        b"\x80\x02" + array_state(b"(" + LONG + b"t", FLOAT, b"U\x00") + b".",
        b"\x80\x02" + array_state(b"(K\x01t", VOID, b"U\x00") + b".",
        b"\x80\x02" + array_state(b"(" + LONG + b"t", EMPTY, b"U\x00") + b".",
        b"\x80\x02" + array_state(b"(J\xff\xff\xff\xfft", OBJECT, b"]") + b".",
        b"\x80\x04N" + b"r\xff\xff\xff\x7f.",  # a memo slot far away
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 45) + b"xx.",  # bytes that are not there
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N.",  # a frame that is not there
        b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",  # lists in lists
    ],
)
def test_claims_are_refused_before_memory_is_taken(tmp_path, pickled):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "key 'x'" in refusal(write(tmp_path, zipped(x=npy_of(pickled))))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_a_value_held_once_cannot_be_claimed_without_end(tmp_path):
    block = np.zeros(100_000)
    pickled = pickle.dumps(objects(*[block] * 1000))
    message = refusal(write(tmp_path, zipped(x=npy_of(pickled, "(1000,)"))))
    assert "far more values" in message
    few = pickle.dumps(objects(block, block))
    assert len(read_npz(write(tmp_path, zipped(x=npy_of(few, "(2,)"))))["x"]) == 2


def test_a_compression_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros(5_000_000))
    assert "far more bytes" in refusal(path)


def test_archives_that_are_none(tmp_path):
    assert "no such file" in refusal(tmp_path / "absent.npz")
    assert "no such file" in refusal(tmp_path)
    for content in (b"", b"PK\x03\x04", b"hello", saved(np.arange(3))):
        assert "not a readable .npz file" in refusal(write(tmp_path, content))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "is no array" in refusal(write(tmp_path, stream.getvalue()))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", saved(np.arange(3)))
    assert "unknown way" in refusal(write(tmp_path, stream.getvalue()))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_key_that_is_there_twice_is_refused(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for _ in range(2):
            archive.writestr("x.npy", saved(np.arange(3)))
    assert "twice" in refusal(write(tmp_path, stream.getvalue()))


def test_a_damaged_byte_is_found(tmp_path):
    content = bytearray(zipped(x=saved(np.arange(100))))
    content[content.index(b"NUMPY") + 200] ^= 1
    assert "CRC" in refusal(write(tmp_path, bytes(content)))


OBJECTS = saved(objects(np.arange(6.0).reshape(2, 3), ["v/1", "v/2"], np.array(["a", "b"])))
ARCHIVE = zipped(plain=saved(np.arange(9, dtype=np.float32)), x=OBJECTS)


def holds(path: Path) -> None:
    """Reading gives data or BadInput, never anything else."""
    arrays = {}
    with contextlib.suppress(BadInput):
        arrays = read_npz(path)
    assert all(isinstance(array, np.ndarray) for array in arrays.values())


flips = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(changes=flips, cut=st.integers(0, 4000), shorten=st.booleans())
def test_any_damage_to_the_archive_gives_data_or_bad_input(
    tmp_path_factory, changes, cut, shorten
):  # fmt: skip
    damaged(tmp_path_factory, ARCHIVE, changes, cut, shorten, lambda content: content)


@settings(max_examples=200, deadline=None)
@given(changes=flips, cut=st.integers(0, 4000), shorten=st.booleans())
def test_any_damage_behind_the_checksum_gives_data_or_bad_input(
    tmp_path_factory, changes, cut, shorten
):
    damaged(tmp_path_factory, OBJECTS, changes, cut, shorten, lambda content: zipped(x=content))


def damaged(factory, content, changes, cut, shorten, wrap):
    broken = bytearray(content)
    for position, value in changes:
        broken[position % len(broken)] = value
    if shorten:
        del broken[cut % len(broken) :]
    path = factory.getbasetemp() / "damaged.npz"
    path.write_bytes(wrap(bytes(broken)))
    holds(path)


def test_one_list_cannot_be_the_data_of_arrays_without_end(tmp_path):
    """Each array takes a few bytes of the pickle, and would take the time of the whole list."""
    size = 100_000
    items = b"](" + b"K\x01" * size + b"e"
    shape = b"(J" + struct.pack("<i", size) + b"t"
    first = array_state(shape, OBJECT, items + b"q\x01")
    again = array_state(shape, OBJECT, b"h\x01")
    pickled = b"\x80\x02](" + first + again * 2000 + b"e."
    assert "far more values" in refusal(write(tmp_path, zipped(x=npy_of(pickled))))


def test_a_shape_of_one_number_named_without_end_is_refused(tmp_path):
    number = b"\x8a\xff" + b"\x7f" * 255 + b"q\x01"
    shape = b"(" + number + b"h\x01" * 500_000 + b"t"
    pickled = b"\x80\x02" + array_state(shape, OBJECT, b"]") + b"."
    assert "shape is not valid" in refusal(write(tmp_path, zipped(x=npy_of(pickled))))
