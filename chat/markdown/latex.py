"""LaTeX to MathML."""

from __future__ import annotations

import html
import re
from functools import lru_cache
from xml.etree.ElementTree import Element, tostring

from latex2mathml.converter import Converter

MAX_LENGTH = 4_000

TAGS = frozenset(
    {
        "math",
        "menclose",
        "mfrac",
        "mi",
        "mn",
        "mo",
        "mover",
        "mpadded",
        "mphantom",
        "mroot",
        "mrow",
        "mspace",
        "msqrt",
        "mstyle",
        "msub",
        "msubsup",
        "msup",
        "mtable",
        "mtd",
        "mtext",
        "mtr",
        "munder",
        "munderover",
    }
)
ATTRIBUTES = frozenset(
    {
        "accent",
        "accentunder",
        "columnalign",
        "columnlines",
        "columnspacing",
        "depth",
        "display",
        "displaystyle",
        "fence",
        "form",
        "height",
        "largeop",
        "linethickness",
        "lspace",
        "mathbackground",
        "mathcolor",
        "mathsize",
        "mathvariant",
        "maxsize",
        "minsize",
        "movablelimits",
        "notation",
        "rowlines",
        "rowspacing",
        "rspace",
        "scriptlevel",
        "separator",
        "stretchy",
        "symmetric",
        "width",
    }
)

# A macro can double itself at each use; what the rest names makes elements or addresses of the author's choice.
_REFUSED = re.compile(
    r"\\(?:newcommand|renewcommand|providecommand|newenvironment|def|gdef|let|href|class|style|verb)\b"
)
# The converter knows only some of the environments, others look the same without their numbers.
_ENVIRONMENT = re.compile(
    r"\\(begin|end)\{(?:(aligned|align|alignedat|alignat|flalign|eqnarray)|(gathered|gather|multline)|[dr](cases))\*?\}(?:\{\d+\}|\[[tbc]\])?"
)
# Longer than this a space could push its formula over other parts of the page.
_SIZE = re.compile(r"[-+]?(?:\d?(?:\.\d+)?(?:em|ex)?|\d{0,2}(?:\.\d+)?(?:px|pt|mu))")
_WORDS = re.compile(r"[#%.a-zA-Z0-9 -]{1,200}")
_SIZES = frozenset({"width", "height", "depth", "lspace", "rspace", "minsize", "maxsize", "linethickness", "mathsize"})


@lru_cache(maxsize=512)
def to_mathml(latex: str, display: str) -> str | None:
    """The source of a formula and "inline" or "block", its `<math>` element, or None where it can't be drawn."""
    if len(latex) > MAX_LENGTH or _REFUSED.search(latex):
        return None
    try:
        root = Converter(display=display).convert_to_element(_ENVIRONMENT.sub(_known_environment, latex))
        for element in root.iter():
            _tidy(element)
        return tostring(root, encoding="unicode")
    except Exception:  # the converter raises whatever its lookups raise, of any kind
        return None


def _known_environment(found: re.Match[str]) -> str:
    name = "align*" if found[2] else "matrix" if found[3] else "cases"
    return f"\\{found[1]}{{{name}}}"


def _tidy(element: Element) -> None:
    """Make the converter's output plain XML: it leaves entities in its texts, and lets authors set any attribute."""
    if element.tag not in TAGS:
        raise ValueError(element.tag)
    element.text = html.unescape(element.text) if element.text else None
    element.tail = None
    element.attrib = {
        name: value
        for name, value in element.attrib.items()
        if name in ATTRIBUTES and (_SIZE if name in _SIZES else _WORDS).fullmatch(value)
    }
