"""JSON and YAML of any kind: plain data of the right type, or one line that says what is wrong."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.contracts import BadInput
from bench.documents import Form, from_yaml, read_yaml


@dataclass(frozen=True)
class Pair:
    name: str
    counts: tuple[int, ...]


FORM = Form(Pair, 2, "pairs", "not a pair", "make it again")


def refusal(text: str) -> str:
    with pytest.raises(BadInput) as caught:
        FORM.parse(text, "x.json")
    return str(caught.value)


def test_a_document_of_its_form_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"format": 2, "name": "a", "counts": [1, 2]}')
    assert FORM.read(file) == Pair("a", (1, 2))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"format": 3}', "x.json: another format of pairs; found 3; expected 2; make it again"),
        ('{"format": 2, "name": "a"}', "x.json: not a pair; found counts: Field required"),
        ('{"format": 2, "name": 1, "counts": []}', "name: Input should be a valid string"),
        ('{"format": 2, "name": "a", "counts": [1e999]}', "counts.0: Input should be a finite"),
        ("[1]", "not a pair"),
        ("", "not a pair"),
        ("[" * 100_000, "RecursionError"),
        ('{"a": ' * 100_000, "RecursionError"),
        ("9" * 10_000, "not a pair"),
        ('{"format": 2, "name": "a", "counts": [9223372036854775808]}', "beyond 64 bits"),
    ],
)
def test_another_document_is_refused(text: str, found: str) -> None:
    message = refusal(text)
    assert found in message
    assert len(message) < 400


def test_a_pipe_or_a_folder_is_no_document(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path, tmp_path / "absent", tmp_path / "\0"):
        with pytest.raises(BadInput, match="no such file"):
            FORM.read(place)


def test_yaml_is_plain_data_and_may_repeat_itself_a_little() -> None:
    assert from_yaml("a: &x [1, b]\nc: *x") == {"a": [1, "b"], "c": [1, "b"]}


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (bomb(20), "values"),
        ("&a [*a]", "values"),
        ("[" * 200 + "]" * 200, "levels"),
        ("{" * 100_000, "levels"),
        ("- " * 100_000, "levels"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: 2001-99-99", "month must be in 1..12"),
        ("a: *b", "values"),
        ("x" * 300_000, "too long"),
    ],
)
def test_yaml_that_is_made_to_harm_is_refused(text: str, found: str) -> None:
    with pytest.raises(BadInput, match=found):
        from_yaml(text)


def test_a_small_bomb_is_just_data() -> None:
    assert len(from_yaml(bomb(3))["a2"]) == 9


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff")
    for name in ("a.yaml", "absent.yaml"):
        with pytest.raises(BadInput, match=f"{name}: not valid YAML"):
            read_yaml(tmp_path / name)
    assert json.dumps(from_yaml("null")) == "null"
