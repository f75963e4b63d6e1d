"""Foreign text in LaTeX."""

from __future__ import annotations

import re
import unicodedata

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"{\char96}",
    '"': r"{\char34}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    # After the end of a line these would be its arguments.
    **{sign: f"{{{sign}}}" for sign in "[]*"},
    "\u2013": r"\textendash{}",
    "\u2014": r"\textemdash{}",
    "\u2018": "{`}",
    "\u2019": "{'}",
    "\u201c": "{``}",
    "\u201d": "{''}",
    "\u2026": r"\dots{}",
    "\u00d7": r"$\times$",
    "\u00b1": r"$\pm$",
    "\u00b0": r"$^\circ$",
    "\u00b2": r"$^2$",
    "\u00b3": r"$^3$",
    "\u2264": r"$\le$",
    "\u2265": r"$\ge$",
    "\u2192": r"$\to$",
    "\u2191": r"$\uparrow$",
    "\u2193": r"$\downarrow$",
    "\u00df": r"\ss{}",
    "\u00f8": r"\o{}",
    "\u00d8": r"\O{}",
    "\u00e6": r"\ae{}",
    "\u00c6": r"\AE{}",
    "\u0142": r"\l{}",
    "\u0141": r"\L{}",
    "\u0131": r"\i{}",
}
_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0327": "c",
}
_BELOW = "\u0327"


def escape(text: str) -> str:
    """Any text as LaTeX that prints it, in every font encoding and without further packages.

    Letters with one accent are composed; what TeX's own fonts lack is printed as U+XXXX; line
    breaks and control characters become spaces.
    """
    escaped = "".join(map(_escaped, unicodedata.normalize("NFC", text)))
    return re.sub("-(?=-)", "-{}", escaped)  # two hyphens would become a dash


def sentence(text: str) -> str:
    """A plain sentence with its variables, signs and thousands set as they should be."""
    text = escape(text).replace("+-", r"$\pm$")
    text = re.sub(r"\bTable (\d)", r"Table~\1", text)
    text = re.sub(r"\b([KQ])=(\d+)", r"$\1=\2$", text)
    return re.sub(r"(?<=\d) (?=\d{3}\b)", r"\\,", text)


def raised(text: str) -> str:
    """`mm/frame^2`, escaped, with its exponent raised."""
    return re.sub(r"\\textasciicircum\{\}(\d)", r"\\textsuperscript{\1}", text)


def small(text: str) -> str:
    """Text in the size of published values and deviations."""
    return rf"{{\scriptsize {text}}}"


def _escaped(sign: str) -> str:
    if sign in _SPECIAL:
        return _SPECIAL[sign]
    if sign.isspace() or unicodedata.category(sign) == "Cc":
        return " "
    if sign.isascii():
        return sign
    letter, *accents = list(unicodedata.normalize("NFD", sign))
    if letter.isascii() and letter.isalpha() and len(accents) == 1 and accents[0] in _ACCENTS:
        # A dot below an accent on top would be one too many.
        base = rf"\{letter}" if letter in "ij" and accents[0] not in _BELOW else letter
        return rf"\{_ACCENTS[accents[0]]}{{{base}}}"
    return rf"\texttt{{U+{ord(sign):04X}}}"
