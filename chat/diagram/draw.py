"""One diagram: Mermaid on standard input, SVG on standard output.

python -m chat.diagram.draw        (a process of its own: see artist.py)
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys

MAX_CPU_S = 2
MAX_MEMORY_BYTES = 1 << 30
MAX_ANSWER_BYTES = 1 << 20

# Text as SVG alone, no HTML in it; one look for all, which the page turns dark where it is dark.
_OPTIONS = {
    # What it allows for strangers is too little work for thirty boxes; the time is limited below.
    "resources": {"profile": "constrained", "limits": {"max_layout_work_units": 30_000_000}},
    "svg": {"pipeline": "resvg-safe", "diagram_id": "d"},
    "site_config": {
        "theme": "default",
        "look": "classic",
        "fontFamily": "Arial, Liberation Sans, Helvetica, sans-serif",
    },
}
_DIRECTIVE = re.compile(r"%%\{.*?\}%%[ \t]*\n?", re.DOTALL)
_FRONT_MATTER = re.compile(r"\s*---[ \t]*\n(.*?)\n[ \t]*---[ \t]*\n", re.DOTALL)
_TITLE = re.compile(r"(?m)^title:[ \t]*\S.*$")


def main() -> int:
    """Draw within limits that this process cannot lift again."""
    os.nice(10)
    for limit, most in (
        (resource.RLIMIT_CPU, MAX_CPU_S),
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, MAX_ANSWER_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        known = resource.getrlimit(limit)[1]
        most = most if known == resource.RLIM_INFINITY else min(most, known)
        resource.setrlimit(limit, (most, most))
    from merman import Merman, MermanError

    try:
        svg = Merman().render_svg(without_settings(sys.stdin.buffer.read().decode()), json.dumps(_OPTIONS))
    except MermanError:
        return 1
    sys.stdout.buffer.write(svg.encode())
    return 0


def without_settings(source: str) -> str:
    """Mermaid without what sets fonts, colours and styles of the whole diagram: these are ours."""
    source = _DIRECTIVE.sub("", source)
    if settings := _FRONT_MATTER.match(source):
        title = _TITLE.search(settings[1])
        source = (f"---\n{title[0]}\n---\n" if title else "") + source[settings.end() :]
    return source


if __name__ == "__main__":
    sys.exit(main())
