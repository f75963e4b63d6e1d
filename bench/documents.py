"""JSON and YAML that lie in files: plain data comes out, checked against its type, or BadInput.

What is in such a file may be damaged or hostile: nested without end, one short text that stands
for a huge one, numbers where names should be.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import yaml
from pydantic import TypeAdapter, ValidationError

from bench.contracts import FOREIGN_ERRORS, BadInput

Kind = TypeVar("Kind")

# No configuration of ours comes near any of these; PyYAML takes seconds for a megabyte.
_DEEPEST = 50
_MOST = 50_000
_LONGEST = 1 << 18


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@dataclass(frozen=True)
class Form(Generic[Kind]):
    """One kind of our JSON files: an object whose key `format` is `number`, the rest is a `kind`.

    kind: a dataclass; name, problem, hint: what errors say: `another format of NAME`, PROBLEM, and
    what to do about it.
    """

    kind: type[Kind]
    number: int
    name: str
    problem: str
    hint: str

    def read(self, path: Path) -> Kind:
        """What a file holds; BadInput as in `parse`, and for no readable file."""
        try:
            # Anything else, such as a pipe, might never end.
            if not path.is_file():
                raise FileNotFoundError("no such file")
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise self._refused(error, path) from error
        return self.parse(text, path)

    def parse(self, text: str, file: object = None) -> Kind:
        """What a text holds.

        BadInput for no JSON, another format, and a value that is missing or of another type.
        """
        try:
            raw = json.loads(text, parse_int=_whole)
            found = raw.pop("format")
            if found == self.number:
                adapter = _adapter(cast(Any, self.kind))
                checked: Kind = adapter.validate_python(raw)
                return checked
        except FOREIGN_ERRORS as error:
            raise self._refused(error, file) from error
        raise BadInput(
            f"another format of {self.name}",
            file=file,
            found=found,
            expected=self.number,
            hint=self.hint,
        )

    def _refused(self, error: Exception, file: object) -> BadInput:
        """The first misfit, without the value: a file could make that as long as it is."""
        found = f"{type(error).__name__}: {error}"
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_input=False)[0]
            found = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        return BadInput(self.problem, file=file, found=found, hint=self.hint)


def _whole(digits: str) -> int:
    """An integer that any array can hold."""
    number = int(digits)
    if not -(2**63) <= number < 2**63:
        raise ValueError("an integer beyond 64 bits")
    return number


def from_yaml(text: str, file: object = None) -> Any:
    """Plain data from YAML by the safe loader; BadInput for anything else."""
    if len(text) > _LONGEST:
        raise BadInput(
            "too long for YAML", file=file, found=f"{len(text)} characters", expected=_LONGEST
        )
    try:
        return _Plain(text).get_single_data()
    except (*FOREIGN_ERRORS, yaml.YAMLError) as error:
        raise BadInput("not valid YAML", file=file, found=error) from error


def read_yaml(path: Path) -> Any:
    """Plain data from a YAML file; BadInput as in `from_yaml`, or for no readable file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BadInput("not valid YAML", file=path, found=error) from error
    return from_yaml(text, path)


class _Plain(yaml.SafeLoader):
    """A safe loader that also keeps what comes out small: aliases count as what they repeat."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0
        # Of a node that is not complete, and so would hold itself, any count is too many.
        self._sizes: defaultdict[str | None, int] = defaultdict(lambda: _MOST)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: yaml.NodeEvent = self.peek_event()  # type: ignore[no-untyped-call]
        before = self._nodes
        self._nodes += self._sizes[event.anchor] if isinstance(event, yaml.AliasEvent) else 1
        if self._nodes > _MOST or self._depth > _DEEPEST:
            raise yaml.YAMLError(f"more than {_MOST} values or {_DEEPEST} levels")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if event.anchor is not None:
            self._sizes[event.anchor] = self._nodes - before
        return node

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:
        """Where a bracket opens: the scanner reads ahead, in the square of the open ones."""
        if self.flow_level > _DEEPEST:
            raise yaml.YAMLError(f"more than {_MOST} values or {_DEEPEST} levels")
        super().fetch_flow_collection_start(TokenClass)
