"""Write docs/ui.md: which test holds which statement about the page, by the ids in their names (`make ui-table`)."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "ui.md"
PARTS = {
    "L": "Layout",
    "E": "Empty state",
    "C": "Composer",
    "S": "Sending and streaming",
    "R": "Scrolling",
    "M": "Message actions",
    "K": "Code, mathematics, tables, links",
    "H": "History and search",
    "P": "Sharing",
    "B": "Keyboard",
    "A": "Accessibility",
    "T": "Settings and administration",
}
TEST = re.compile(rf"(?m)^(?:async )?def (test_((?:[{''.join(PARTS)}]\d+_)+)(\w+))\(")
HEAD = """# What the page does

Each line is something that the page does, and the test that holds it. This file is made from the names of the tests by
`make ui-table`: a test whose name begins with an id, as in `test_K1_…`, is listed under it.
"""


def main() -> None:
    TABLE.write_text(text())


def text() -> str:
    """The document as the tests of now make it."""
    lines: defaultdict[str, list[str]] = defaultdict(list)
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        path = file.relative_to(ROOT)
        for _, ids, sentence in TEST.findall(file.read_text()):
            for id_ in ids.rstrip("_").split("_"):
                lines[id_].append(f"| {id_} | {sentence.replace('_', ' ')} | [{path.name}](../{path}) |")
    parts = [HEAD]
    for letter, title in PARTS.items():
        ids = sorted((id_ for id_ in lines if id_[0] == letter), key=lambda id_: int(id_[1:]))
        if ids:
            rows = [row for id_ in ids for row in lines[id_]]
            parts.append("\n".join([f"## {title}", "", "| | What holds | Test |", "| --- | --- | --- |", *rows, ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    main()
