"""What the code reads from the environment, found in its syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("qwenweb", "chat", "inference")
# settings.env() and its kin also take NAME_FILE.
READERS = {"env", "env_bool", "env_number", "operator_value", "_number"}


def variables() -> dict[str, str | None]:
    """Return each variable that the code reads, with its default where that stands beside the name."""
    found: dict[str, str | None] = {}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for name, default in _read_in(ast.parse(path.read_text())):
                if found.get(name) is None:
                    found[name] = default
    return {name: default for name, default in found.items() if name != "DJANGO_SETTINGS_MODULE"}


def takes_file(name: str) -> bool:
    """Tell whether settings.py reads this variable, so that NAME_FILE works too."""
    tree = ast.parse((ROOT / "qwenweb" / "settings.py").read_text())
    return any(name == found for found, _ in _read_in(tree))


def _read_in(tree: ast.AST) -> Iterator[tuple[str, str | None]]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=reader), args=[ast.Constant(value=str(name)), *rest]) if reader in READERS:
                yield name, _default(rest, node.keywords)
            case ast.Call(
                func=ast.Attribute(value=place, attr="get" | "pop"), args=[ast.Constant(value=str(name)), *rest]
            ) if _is_environ(place):
                yield name, _default(rest, [])
            case ast.Subscript(value=place, slice=ast.Constant(value=str(name))) if _is_environ(place):
                yield name, None
            case ast.Compare(left=ast.Constant(value=str(name)), comparators=[place]) if _is_environ(place):
                yield name, None
            case ast.BinOp(left=ast.Call(func=ast.Attribute(value=place, attr="keys")), right=ast.Set(elts=elements)):
                if _is_environ(place):
                    yield from ((str(ast.literal_eval(element)), None) for element in elements)


def _is_environ(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "environ"


def _default(rest: list[ast.expr], keywords: list[ast.keyword]) -> str | None:
    values = [*rest[:1], *(keyword.value for keyword in keywords if keyword.arg == "default")]
    if values and isinstance(values[0], ast.Constant):
        value = values[0].value
        return str(value).lower() if isinstance(value, bool) else str(value)
    return None
