"""The table for people, what may not be judged, and the last line for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bench.engine.figures import Measured, Timed, fastest, loud, percentile, ratio

ANCHORS = ("llama.cpp", "transformers-cb", "generate")
_WIDTHS = (16, 8, 9, 10, 10, 10, 9, 9, 7)
_HEAD = ("", "replies", "tokens/s", "engine is", "TTFT p50", "p95", "ITL p50", "p95", "others")


@dataclass
class Cells:
    """All bursts that were timed, by whose they are and how many replies they had."""

    tries: dict[tuple[str, int], list[Measured[Timed]]] = field(default_factory=dict)

    def add(self, name: str, num_replies: int, tries: Iterable[Measured[Timed]]) -> None:
        self.tries.setdefault((name, num_replies), []).extend(tries)

    def best(self, name: str, num_replies: int) -> Measured[Timed] | None:
        return fastest(self.tries.get((name, num_replies), []))

    def rate(self, name: str, num_replies: int) -> float | None:
        best = self.best(name, num_replies)
        return best.figure.tokens_per_s if best else None

    def over(self, anchor: str, num_replies: int) -> float | None:
        """The engine's tokens per second over the anchor's."""
        return ratio(self.rate("engine", num_replies), self.rate(anchor, num_replies))

    def ttft_p50(self, name: str, num_replies: int) -> float | None:
        best = self.best(name, num_replies)
        return percentile(best.figure.ttft_ms, 50) if best else None

    @property
    def replies(self) -> list[int]:
        return sorted({num_replies for _, num_replies in self.tries})

    @property
    def others_cpu(self) -> list[float]:
        """Of each burst that is judged; of the quietest try where none could be."""
        return [min(one.others_cpu for one in tries) for tries in self.tries.values()]


def table(cells: Cells, num_tokens: int) -> str:
    lines = [_aligned(_HEAD)]
    for num_replies in cells.replies:
        lines += [_row(cells, name, num_replies) for name, num in cells.tries if num == num_replies]
    return "\n".join([*lines, *_remarks(cells, num_tokens)])


def _row(cells: Cells, name: str, num_replies: int) -> str:
    best = cells.best(name, num_replies)
    if best is None:
        quietest = min(one.others_cpu for one in cells.tries[name, num_replies])
        return f"{_aligned((name, str(num_replies)))}  {loud(quietest)}"
    timed = best.figure
    factor = None if name == "engine" else cells.over(name, num_replies)
    times = [percentile(values, percent) for values in (timed.ttft_ms, timed.itl_ms) for percent in (50, 95)]
    shown = ("-" if value is None else f"{value:,.0f} ms" for value in times)
    rate = f"{timed.tokens_per_s:.1f}"
    return _aligned(
        (name, str(num_replies), rate, f"{factor:.2f}×" if factor else "", *shown, f"{best.others_cpu:.1%}")
    )


def _aligned(cells: Sequence[str]) -> str:
    first, *rest = (cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=False))
    return " ".join([first.lstrip().ljust(_WIDTHS[0]), *rest])


def _remarks(cells: Cells, num_tokens: int) -> list[str]:
    """What makes a figure of the table less than it seems."""
    lines = []
    for (name, num_replies), tries in cells.tries.items():
        timed = tries[-1].figure
        num_computed = num_replies if name != "generate" else min(num_replies, 4)
        if timed.num_tokens != num_computed * num_tokens:
            wanted = num_computed * num_tokens
            lines.append(
                f"{name}, {num_replies}: replies ended early, {timed.num_tokens} of {wanted} tokens were made."
            )
        if timed.cached_tokens > timed.prompt_tokens / 20:
            lines.append(f"{name}, {num_replies}: {timed.cached_tokens} prompt tokens were not computed but reused.")
    return lines


@dataclass
class Parts:
    """What is measured besides the bursts; None is not measured, or not to be judged."""

    reuse_ttft: float | None = None
    quality: dict[str, dict[str, float] | None] = field(default_factory=lambda: {"en": None, "code": None, "zh": None})
    product: float | None = None
    others_cpu: list[float] = field(default_factory=list)


def last_line(cells: Cells, parts: Parts, replies: Iterable[int]) -> str:
    others = cells.others_cpu + parts.others_cpu
    return json.dumps(
        {
            "bench": "engine",
            "ratios": {name: {str(num): cells.over(name, num) for num in replies} for name in ANCHORS},
            "reuse_ttft": parts.reuse_ttft,
            "ttft_8": ratio(cells.ttft_p50("engine", 8), cells.ttft_p50("llama-server", 8)),
            "quality": parts.quality,
            "product": parts.product,
            "others_cpu": round(max(others), 3) if others else None,
        }
    )
