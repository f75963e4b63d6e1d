"""Escaping: any text becomes LaTeX that prints it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.report.tex import escape


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50 % of a_b & c#d {e} $f", r"50 \% of a\_b \& c\#d \{e\} \$f"),
        ("C:\\x^2~y", r"C:\textbackslash{}x\textasciicircum{}2\textasciitilde{}y"),
        ("<a|b>", r"\textless{}a\textbar{}b\textgreater{}"),
        ("[1] *", "{[}1{]} {*}"),
        ("a--b---c-d", "a-{}-b-{}-{}-c-d"),
        ("two\nlines\tand\x00", "two lines and "),
        ("Rössler, Łódź, façade, naïve", r"R\"{o}ssler, \L{}\'{o}d\'{z}, fa\c{c}ade, na\"{\i}ve"),
        ("e\u0301", r"\'{e}"),
        ("1 ± 2 \u00d7 3°", r"1 $\pm$ 2 $\times$ 3$^\circ$"),
        ("骨 \U0001f600", r"\texttt{U+9AA8} \texttt{U+1F600}"),
    ],
)
def test_escape(text: str, expected: str) -> None:
    assert escape(text) == expected


@settings(deadline=None, max_examples=200)
@given(st.text())
def test_escaped_text_is_ascii_and_holds_no_bare_special_character(text: str) -> None:
    escaped = escape(text)
    assert escaped.isascii()
    assert escaped.isprintable()
    commands = r"\\[%&#_$]|\\[{}]|\\[A-Za-z]+|\\['`^~=.\"]|\$\^?(?:\\[a-z]+|[23])\$"
    bare = re.sub(commands, "", escaped)
    assert not set(bare) & set("\\%&#_$^~")
    depth = 0
    for sign in bare:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0
    assert depth == 0


@settings(deadline=None, max_examples=50)
@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N"])))
def test_plain_letters_stay(text: str) -> None:
    assert escape(text) == text
