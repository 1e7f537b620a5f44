"""Bars as SVG, laid out on the server: what stands in a template needs no script to be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log10

from django.utils.html import format_html

WIDTH = 720
HEIGHT = 160
MOST_LABELS = 6
LABEL_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle in a drawing of WIDTH × HEIGHT, and what it stands for."""

    x: float
    y: float
    width: float
    height: float
    label: str
    value: float

    @property
    def svg(self) -> str:
        """Made here and not in a template, as a year has hundreds."""
        return format_html(
            '<rect class="chart__bar" x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>',
            *(str(number) for number in (self.x, self.y, self.width, self.height)),
            self.label,
            f"{self.value:,.0f}",
        )

    @property
    def short_label(self) -> str:
        return self.label if len(self.label) <= LABEL_LENGTH else f"{self.label[: LABEL_LENGTH - 1]}…"


@dataclass(frozen=True, slots=True)
class Chart:
    """`top` is the value at the upper edge: a round number, so that it can be read off."""

    title: str
    bars: list[Bar]
    labels: list[Bar]
    top: float

    @property
    def top_text(self) -> str:
        return f"{self.top:,.0f}"

    @classmethod
    def of(cls, title: str, values: Sequence[tuple[str, float]]) -> Chart:
        """One bar for each label and value, from the left to the right."""
        top = _round_up(max((value for _, value in values), default=0))
        step = WIDTH / max(1, len(values))
        bars = [
            Bar(
                x=round(number * step, 2),
                y=round(HEIGHT * (1 - value / top), 2),
                width=round(min(step * 0.8, 60), 2),
                height=round(HEIGHT * value / top, 2),
                label=label,
                value=value,
            )
            for number, (label, value) in enumerate(values)
        ]
        return cls(title, bars, bars[:: max(1, ceil(len(bars) / MOST_LABELS))], top)


def _round_up(value: float) -> float:
    """The next number that is one digit and zeros."""
    if value <= 0:
        return 1
    unit = 10 ** int(log10(value)) if value >= 1 else 1
    return float(ceil(value / unit) * unit)
