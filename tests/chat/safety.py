"""What HTML made of other people's text may hold: written down apart from the sanitiser, to hold it against this."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

import html5lib

MATHML = "{http://www.w3.org/1998/Math/MathML}"
HTML = "{http://www.w3.org/1999/xhtml}"

_PLAIN = "br em hr li s strong tbody thead tr"
_DIRECTED = "blockquote h1 h2 h3 h4 h5 h6 p ul"
_ATTRIBUTES = {
    **{tag: set() for tag in _PLAIN.split()},
    **{tag: {"dir"} for tag in _DIRECTED.split()},
    "a": {"class", "href", "rel", "target", "title"},
    "button": {"type", "value"},
    "code": {"class"},
    "copy-button": set(),
    "div": {"aria-label", "class", "data-file", "data-language", "role", "tabindex"},
    "download-button": set(),
    "ol": {"dir", "start"},
    "pre": {"dir", "tabindex"},
    "span": {"class"},
    "table": {"dir"},
    "table-copy": set(),
    "td": {"class"},
    "th": {"class"},
    "fold-button": {"role", "tabindex"},
    "wrap-button": {"role", "tabindex"},
}
_MATH_TAGS = frozenset(
    {"math", "menclose", "mfrac", "mi", "mn", "mo", "mover", "mpadded", "mphantom", "mroot", "mrow", "mspace", "msqrt"}
    | {"mstyle", "msub", "msubsup", "msup", "mtable", "mtd", "mtext", "mtr", "munder", "munderover"}
)
_NOT_IN_MATH = re.compile(r"href|src|style|class|id|action|on|xlink|xmlns|data|encoding|definition", re.IGNORECASE)
_CLASS = re.compile(r"image-link|formula|table|table-scroll|cell--(left|center|right)|code|code__\w+|code-[a-z]+")
_ADDRESS = re.compile(r"(https?://|mailto:)[^\s\x00-\x1f]+", re.IGNORECASE)


def faults(html: str) -> list[str]:
    """Each element, attribute and address in the HTML, as a browser would read it, that must not be there."""
    root = html5lib.parseFragment(html, container="div", treebuilder="etree")
    return [fault for element in root.iter() if element is not root for fault in _faults_of(element)]


def _faults_of(element: Element) -> list[str]:
    if not hasattr(element.tag, "startswith"):  # in html5lib's trees, the tag of a comment is a function
        return ["a comment"]
    if element.tag.startswith(MATHML):
        if element.tag.removeprefix(MATHML) not in _MATH_TAGS:
            return [element.tag]
        return [f"{element.tag} {name}={value}" for name, value in element.items() if _NOT_IN_MATH.match(name)]
    tag = element.tag.removeprefix(HTML)
    if tag not in _ATTRIBUTES:
        return [element.tag]
    found = [f"{tag} {name}" for name in element.attrib if name not in _ATTRIBUTES[tag]]
    found += [f"{tag} class {name}" for name in element.get("class", "").split() if not _CLASS.fullmatch(name)]
    return found + (_faults_of_link(element) if tag == "a" else [])


def _faults_of_link(link: Element) -> list[str]:
    found = [] if link.get("rel") == "noopener noreferrer nofollow" else ["link without rel"]
    found += [] if link.get("target") == "_blank" else ["link without target"]
    href = link.get("href")  # a link whose address was taken away is only a text
    return found + ([] if href is None or _ADDRESS.fullmatch(href) else [f"link to {href!r}"])
