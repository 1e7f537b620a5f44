"""SVG that nobody vouches for to SVG that draws and does nothing else: no script, no link, nothing loaded."""

from __future__ import annotations

import math
import re
from typing import NamedTuple
from xml.etree.ElementTree import ParseError, XMLParser
from xml.sax.saxutils import escape

MAX_LENGTH = 200_000
MAX_SIZE = 20_000

_NAMESPACE = "http://www.w3.org/2000/svg"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TAGS = _words("""
    svg g defs marker symbol use path rect circle ellipse line polyline polygon text tspan style
    linearGradient radialGradient stop
""")
# A link and a choice become plain groups of what they hold.
_INSTEAD = {"a": "g", "switch": "g"}
_GEOMETRY = _words("""
    cx cy d dx dy fx fy gradientTransform gradientUnits height markerHeight markerUnits markerWidth offset orient points
    preserveAspectRatio r refX refY rx ry transform viewBox width x x1 x2 y y1 y2
""")
_PAINT = _words("""
    alignment-baseline baseline-shift clip-rule color display dominant-baseline fill fill-opacity fill-rule font-family
    font-size font-style font-weight letter-spacing marker-end marker-mid marker-start opacity paint-order
    shape-rendering stop-color stop-opacity stroke stroke-dasharray stroke-dashoffset stroke-linecap stroke-linejoin
    stroke-miterlimit stroke-opacity stroke-width text-anchor text-decoration visibility white-space
""")
_NAMES = re.compile(r"[\w .:-]*")
_NUMBERS = re.compile(r"[\w\s.,+()%-]*")
_VALUE = re.compile(r"""(?:[\w\s#.,%"'!+-]|url\(\#[\w.:-]+\)|(?:rgb|hsl)a?\([\w\s.,%/-]*\))*""")
_LONG = re.compile(r"(\.\d\d)\d+")
_REFERENCE = re.compile(r"#([\w.:-]+)")
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_SELECTOR = re.compile(r"#[\w\s.#:>*()+~-]+")
_CLASS = re.compile(r"\.([\w-]+)")
_DEFINITION = re.compile(r"<(marker|symbol) id='([^']*)'.*?</\1>", re.DOTALL)


class Unfit(Exception):
    """What the renderer gave is no SVG, or too much of it."""


class Picture(NamedTuple):
    svg: str
    width: int
    """CSS pixels, as the height."""
    height: int


def cleaned(svg: str) -> Picture:
    """The same picture from the elements, attributes and styles named here, without those that nothing in it uses.

    Raises Unfit."""
    cleaner = _Cleaner()
    parser = XMLParser(target=cleaner)
    try:
        parser.feed(svg)
        parser.close()
    except ParseError as error:
        raise Unfit(str(error)) from None
    picture = cleaner.picture()
    if len(picture.svg) > MAX_LENGTH:
        raise Unfit("The picture is too long.")
    return picture


class _Cleaner:
    """Takes the parts of a document in their order, and writes those that may stay."""

    def __init__(self) -> None:
        self._written: list[str] = []
        self._styles: list[str] = []
        self._is_style = False
        self._num_dropped = 0  # how many elements that are open now are left out
        self._classes: set[str] = set()
        self._size = 0, 0

    def doctype(self, *_: object) -> None:
        raise Unfit("A picture has no document type.")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = _local(tag)
        if self._num_dropped or name not in _TAGS:
            self._num_dropped += 1
        elif name == "style":
            self._is_style = True
        elif not self._written:
            self._begin(name, attributes)
        else:
            self._write(name, attributes)

    def end(self, tag: str) -> None:
        if self._num_dropped:
            self._num_dropped -= 1
        elif _local(tag) == "style":
            self._is_style = False
        else:
            self._written.append(f"</{_local(tag)}>")

    def data(self, text: str) -> None:
        if self._is_style:
            self._styles.append(text)
        elif self._written and not self._num_dropped:
            self._written.append(escape(text))

    def picture(self) -> Picture:
        if not self._written:
            raise Unfit("There is no picture.")
        rules = "".join(_rules("".join(self._styles), self._classes))
        head, *rest = self._written
        body = "".join(rest)
        used = set(_REFERENCE.findall(rules + body))
        body = _DEFINITION.sub(lambda found: found[0] if found[2] in used else "", body)
        # A label that is wider in the reader's font than was thought is not cut.
        return Picture(f"{head}<style>svg{{overflow:visible}}{rules}</style>{body}", *self._size)

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        if name != "svg":
            raise Unfit("The picture is no SVG.")
        box = attributes.get("viewBox", "")
        self._size = _size(box)
        width, height = self._size
        kept = {key: value for key, value in attributes.items() if key in ("id", "class")}
        self._write(name, {**kept, "viewBox": box, "width": str(width), "height": str(height)})
        self._written[0] = self._written[0].replace("<svg", f"<svg xmlns='{_NAMESPACE}'", 1)

    def _write(self, name: str, attributes: dict[str, str]) -> None:
        kept = {_local(key): value for key, value in attributes.items()}
        kept = {key: safe for key, value in sorted(kept.items(), key=_id_first) if (safe := _safe(name, key, value))}
        self._classes.update(kept.get("class", "").split())
        self._written.append(f"<{name}{''.join(f' {key}={_quoted(value)}' for key, value in kept.items())}>")


def _local(tag: str) -> str:
    """The name of an element or attribute; one of a foreign namespace is none that we know."""
    name = tag.removeprefix(f"{{{_NAMESPACE}}}").removeprefix("{http://www.w3.org/1999/xlink}")
    return _INSTEAD.get(name, name)


def _id_first(attribute: tuple[str, str]) -> bool:
    return attribute[0] != "id"


def _quoted(value: str) -> str:
    """In single quotes: the address of an image has to write out the double ones."""
    return "'" + escape(value, {"'": "&#39;"}) + "'"


def _size(box: str) -> tuple[int, int]:
    try:
        _, _, width, height = map(float, box.split())
    except ValueError:
        raise Unfit("The picture has no size.") from None
    if not (0 < width <= MAX_SIZE and 0 < height <= MAX_SIZE):
        raise Unfit("The picture has no size for a page.")
    return math.ceil(width), math.ceil(height)


def _safe(element: str, name: str, value: str) -> str:
    """The value of an attribute, as far as it may stay; empty when it may not."""
    if name == "style":
        return _declarations(value)
    if name == "href":
        return value if element == "use" and _REFERENCE.fullmatch(value) else ""
    if name in ("class", "id"):
        pattern = _NAMES
    elif name in _GEOMETRY:
        pattern, value = _NUMBERS, _LONG.sub(r"\1", value)
    elif name in _PAINT:
        pattern = _VALUE
    else:
        return ""
    return value if pattern.fullmatch(value) else ""


def _rules(css: str, classes: set[str]) -> list[str]:
    """The rules of a style sheet that mean something in the picture."""
    rules = []
    for selectors, body in _RULE.findall(css):
        kept = [one for one in map(str.strip, selectors.split(",")) if _is_useful(one, classes)]
        if kept and (declarations := _declarations(body)):
            rules.append(f"{','.join(kept).replace('>', '&gt;')}{{{declarations}}}")
    return rules


def _is_useful(selector: str, classes: set[str]) -> bool:
    return bool(_SELECTOR.fullmatch(selector)) and classes.issuperset(_CLASS.findall(selector))


def _declarations(body: str) -> str:
    pairs = [declaration.partition(":") for declaration in body.split(";")]
    return ";".join(
        f"{name.strip()}:{value.strip()}"
        for name, _, value in pairs
        if name.strip() in _PAINT and _VALUE.fullmatch(value)
    )
