"""Spoilt files for every reader: data or BadInput, no crash, no hang, little memory."""

import json
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts import BadInput
from bench.documents import from_yaml
from bench.results import from_json, to_json
from fuzz.readers import READERS, RESULT, Reader
from fuzz.running import read, tallied

# Beside what a valid file takes; the widest of them are archives of megabytes of zeros.
MOST_MIB = 200


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_spoilt_files_give_data_or_bad_input(reader: Reader, tmp_path) -> None:
    inputs = round(100 * min(reader.share, 1))
    tally = tallied(reader, inputs, run=1, keep=tmp_path)
    assert not tally.others
    assert tally.refused + tally.accepted == inputs
    assert bool(tally.refused) == reader.refuses
    assert tally.memory < MOST_MIB * 1024


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_the_files_are_valid_before_they_are_spoilt(reader: Reader, tmp_path) -> None:
    assert read(reader, reader.lay(tmp_path)) == "accepted"


def test_a_reader_that_fails_is_told(tmp_path) -> None:
    def fails(file):
        raise ZeroDivisionError(str(len(file.read_bytes())))

    tally = tallied(Reader("broken", READERS[1].lay, fails), 5, keep=tmp_path)
    assert len(tally.others) == tally.inputs == 5
    assert "ZeroDivisionError" in tally.others[0]
    assert (tmp_path / "broken.0").is_file()


def test_a_crash_and_a_hang_are_told_and_the_rest_goes_on(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("fuzz.running.SECONDS", 1.5)
    seen = []

    def crashes(file):
        seen.append(1)
        while len(seen) == 3:
            pass

    tally = tallied(Reader("endless", READERS[1].lay, crashes), 3, keep=tmp_path)
    assert tally.others == ["hang at input 1"]
    assert (tally.inputs, tally.accepted) == (3, 2)


VALID = json.loads(to_json(RESULT))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@settings(max_examples=150)
@given(key=st.sampled_from(sorted(VALID)), value=values)
def test_a_result_with_any_value_is_read_or_refused(key: str, value: object) -> None:
    text = json.dumps({**VALID, key: value})
    with suppress(BadInput):
        result = from_json(text)
        assert from_json(to_json(result)).cell.key == result.cell.key


@settings(max_examples=150)
@given(text=st.text(alphabet="ab:-[]{},&*!<>|? \n\"'#%@1.~", max_size=60), rng=st.integers())
def test_any_text_is_yaml_or_bad_input(text: str, rng: int) -> None:
    if Random(rng).random() < 0.5:
        text = f"a: &a [b]\n{text}"
    with suppress(BadInput):
        from_yaml(text)
