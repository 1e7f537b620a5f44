"""The usage review as a table: the same cells for the page and for the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from chat.models import UsageRecord
from chat.spreadsheet import Cell
from chat.usage_report import By, Line, Report, names_of

NOT_MEASURED = "–"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    title: str | Promise
    value: Callable[[Line], float | None]
    digits: int = 0

    def raw(self, line: Line) -> float | None:
        """The number as the page shows it, rounded."""
        value = self.value(line)
        if value is None:
            return None
        return round(value, self.digits) if self.digits else round(value)


class Row(NamedTuple):
    """`filter` is what the address has to say to see only this line; empty where there is no such filter."""

    name: str
    filter: str
    line: Line


COLUMNS = (
    Column("replies", gettext_lazy("Replies"), lambda line: line.num_replies),
    Column("prompt", gettext_lazy("Prompt tokens"), lambda line: line.prompt_tokens),
    Column("cached", gettext_lazy("of them cached"), lambda line: line.cached_tokens),
    Column("completion", gettext_lazy("Completion tokens"), lambda line: line.completion_tokens),
    Column("thinking", gettext_lazy("of them thinking"), lambda line: line.reasoning_tokens),
    Column("device", gettext_lazy("Device seconds"), lambda line: line.device_s, digits=1),
    Column("energy", gettext_lazy("Joules"), lambda line: line.energy_j),
    Column("wait50", gettext_lazy("Wait p50, ms"), lambda line: line.wait_ms(0.5)),
    Column("wait95", gettext_lazy("Wait p95, ms"), lambda line: line.wait_ms(0.95)),
    Column("ttft50", gettext_lazy("TTFT p50, ms"), lambda line: line.ttft_ms(0.5)),
    Column("ttft95", gettext_lazy("TTFT p95, ms"), lambda line: line.ttft_ms(0.95)),
    Column("stops", gettext_lazy("Stopped"), lambda line: line.num_stops),
    Column("failures", gettext_lazy("Failed"), lambda line: line.num_failures),
    Column("up", gettext_lazy("Thumbs up"), lambda line: line.num_up),
    Column("down", gettext_lazy("Thumbs down"), lambda line: line.num_down),
)

TITLES: dict[By, str | Promise] = {
    "day": gettext_lazy("Day"),
    "user": gettext_lazy("Person"),
    "group": gettext_lazy("Group"),
    "model": gettext_lazy("Model"),
    "source": gettext_lazy("Source"),
}


class Table:
    """The lines of a report by one thing, in the order of `sort`: a column's name, a minus for the biggest first."""

    def __init__(self, report: Report, by: By, sort: str = "", columns: tuple[Column, ...] = COLUMNS) -> None:
        self.by, self.sort, self.columns = by, sort, columns
        self.rows = rows_of(report, by)
        self.total = report.total(by)
        self._order()

    @property
    def title(self) -> str:
        return str(TITLES[self.by])

    @property
    def cells(self) -> list[tuple[Row, str]]:
        """The lines with their cells as HTML."""
        return [(row, self._html(row.line)) for row in self.rows]

    @property
    def totals(self) -> str:
        return self._html(self.total)

    def file(self) -> tuple[list[str], list[list[Cell]]]:
        """Head and lines of the CSV file: those of the page, its last line with the sums too."""
        head = [self.title, *(str(column.title) for column in self.columns)]
        lines = [*((row.name, row.line) for row in self.rows), (_("All"), self.total)]
        return head, [[name, *(column.raw(line) for column in self.columns)] for name, line in lines]

    def _order(self) -> None:
        name, is_down = self.sort.removeprefix("-"), self.sort.startswith("-")
        if name == "name":
            self.rows.sort(key=lambda row: row.name, reverse=is_down)
        for column in self.columns:
            if column.name == name:
                # Lines without a value come last in either direction.
                known = [row for row in self.rows if column.value(row.line) is not None]
                known.sort(key=lambda row: column.value(row.line) or 0, reverse=is_down)
                self.rows = known + [row for row in self.rows if column.value(row.line) is None]

    def _html(self, line: Line) -> str:
        """Made here and not in a template, as a year has thousands of cells; there is nothing but numbers in them."""
        return mark_safe("".join(_cell(column.raw(line), column.digits) for column in self.columns))


def _cell(number: float | None, digits: int) -> str:
    """A number for machines, and as people read it."""
    text = NOT_MEASURED if number is None else f"{number:,.{digits}f}"
    return f'<td><data value="{"" if number is None else number}">{text}</data></td>'


def rows_of(report: Report, by: By) -> list[Row]:
    """The lines of a report with the names that people know."""
    lines = report.lines(by)
    match by:
        case "user":
            names = names_of([line.key for line in lines])
            return [Row(name := names[line.key], name if "@" in name else str(line.key), line) for line in lines]
        case "day":
            return [Row(line.key.isoformat(), line.key.isoformat(), line) for line in lines]
        case "group":
            return [Row(line.key or _("In no group"), line.key, line) for line in lines]
        case "source":
            return [Row(str(UsageRecord.Source(line.key).label), line.key, line) for line in lines]
    return [Row(line.key or _("Unknown"), line.key, line) for line in lines]
