"""What rendering a streamed reply costs: in blocks as it grows, and once as a whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chat.markdown import Block, BlockRenderer, render
from chat.markdown.code import colour
from chat.markdown.latex import to_mathml

FLUSH = 24  # characters: 60 tokens a second in ten flushes

SECTION = """## Why a cache helps ({n})

A **cache** keeps what was computed, so that `lookup(key)` need not ask again. See [the docs](https://example.com/cache)
and *measure first*: with hit rate $h$ the mean is $t = h t_c + (1 - h) t_m$.

- **Reads** are served from memory, in about 100 ns
- *Writes* go through, or are written back later
  1. write through is simple
  2. write back is fast

| level | size | latency |
|-------|-----:|--------:|
| L1 | 48 KB | 1 ns |
| L2 | 2 MB | 4 ns |

```python
def cached_{n}(function):
    memory = {{}}
    def inner(key):
        if key not in memory:
            memory[key] = function(key)  # computed once
        return memory[key]
    return inner
```

$$
E[t_{n}] = \\sum_{{i=1}}^{n} p_i \\cdot t_i
$$

> Nothing is as fast as what is not done.

"""
MIXED = "".join(SECTION.format(n=n) for n in range(20))
REPLIES = {
    "mixed 4 KB": MIXED[:4_000],
    "mixed 12 KB": MIXED[:12_000],
    "code, 200 lines": "```python\n" + "    value = compute(index, 'name')  # one of many lines\n" * 200 + "```\n",
    "code, 800 lines": "```python\n" + "    value = compute(index, 'name')  # one of many lines\n" * 800 + "```\n",
    "list, 100 items": "".join(f"- **Item {i}** is here for some `reason` or other, that is all\n" for i in range(100)),
    "one paragraph, 4 KB": "A plain sentence with one *mark* in it. " * 100,
}


def stream(text: str) -> int:
    """Render the reply as it would grow; the characters that would be sent."""
    renderer = BlockRenderer()
    sent = 0
    shown: dict[int, Block] = {}
    for start in range(0, len(text), FLUSH):
        renderer.append(text[start : start + FLUSH])
        sent += sum(_num_sent(shown, index, renderer.blocks[index]) for index in renderer.update())
    return sent + sum(_num_sent(shown, index, renderer.blocks[index]) for index in renderer.close())


def _num_sent(shown: dict[int, Block], index: int, block: Block) -> int:
    before = shown.get(index)
    shown[index] = block
    if before is not None and before.code is not None and block.code is not None:
        return len(block.code) - len(before.code)
    return len(block.html) + len(block.code or "")


def cpu_ms(work: Callable[[], object], repeats: int = 5) -> float:
    """The least CPU time of some runs, as others may use the machine at the same time."""
    times = []
    for _ in range(repeats):
        colour.cache_clear()
        to_mathml.cache_clear()
        started = process_time()
        work()
        times.append(process_time() - started)
    return min(times) * 1000


def measure(text: str) -> dict[str, float]:
    render(text)
    stream_ms = cpu_ms(lambda: stream(text))
    num_flushes = -(-len(text) // FLUSH)
    return {
        "num_characters": len(text),
        "stream_ms": round(stream_ms, 1),
        "per_flush_ms": round(stream_ms / num_flushes, 3),
        "whole_ms": round(cpu_ms(lambda: render(text)), 1),
        "sent_kb": round(stream(text) / 1000, 1),
    }


def main() -> None:
    figures = {name: measure(text) for name, text in REPLIES.items()}
    columns = list(next(iter(figures.values())))
    print(f"{'reply':<22}" + "".join(f"{column:>16}" for column in columns))
    for name, figure in figures.items():
        print(f"{name:<22}" + "".join(f"{figure[column]:>16}" for column in columns))
    print(json.dumps({"bench": "markdown", **figures}))


if __name__ == "__main__":
    main()
