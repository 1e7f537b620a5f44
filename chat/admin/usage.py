"""The usage review: who used how much of what, and whether the ledger agrees with what the workers counted."""

from __future__ import annotations

from typing import Any, cast, get_args

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from chat.chart import Chart
from chat.ledger import Closing
from chat.models import Audit, Feedback, UsageRecord, User
from chat.spreadsheet import Cell, csv_file
from chat.usage_form import UsageForm
from chat.usage_report import By, Report, models_used, names_of
from chat.usage_table import TITLES, Row, Table

NUM_TOP = 10
MOST_BARS = 24


@require_safe
def usage(request: HttpRequest) -> HttpResponse:
    form = UsageForm(request.GET)
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": _("Usage"),
        "form": form,
        "zone": settings.TIME_ZONE,
        "groups": Group.objects.order_by("name").values_list("name", flat=True),
        "models": models_used(),
        "sources": UsageRecord.Source.choices,
        "people": User.objects.order_by("email").values_list("email", flat=True)[:1000],
    }
    if not form.is_valid():
        return render(request, "admin/usage.html", context, status=422)
    report = Report(form.filters())
    by = _by(form)
    table = Table(report, by, form.cleaned_data["sort"])
    context |= {
        "table": table,
        "filters": report.filters,
        "charts": _charts(table),
        "tabs": [(name, title, _address(request, by=name, sort="")) for name, title in TITLES.items()],
        "heads": [_head(request, table, "name", table.title)]
        + [_head(request, table, column.name, str(column.title)) for column in table.columns],
        "rows": [(row, cells, _narrower(request, by, row)) for row, cells in table.cells],
        "query": request.GET.urlencode(),
        "top": _top(report),
        "jumps": report.jumps(),
        "unused": report.unused_seats(),
        "reasons": Feedback.Reason.labels,
        "verdicts": report.verdicts,
    }
    return render(request, "admin/usage.html", context)


@require_safe
def usage_csv(request: HttpRequest) -> HttpResponseBase:
    """The table of the page, as it stands there."""
    form = UsageForm(request.GET)
    if not form.is_valid():
        return _no_file(form)
    filters = form.filters()
    head, rows = Table(Report(filters), _by(form), form.cleaned_data["sort"]).file()
    Audit.enter(cast(User, request.user), "usage.exported", request=request, query=request.GET.urlencode())
    return csv_file(f"usage-{filters.first}-{filters.last}.csv", head, rows)


@require_safe
def feedback_csv(request: HttpRequest) -> HttpResponseBase:
    """The thumbs by model and revision, as the page shows them."""
    form = UsageForm(request.GET)
    if not form.is_valid():
        return _no_file(form)
    filters = form.filters()
    head = [_("Model"), _("Revision"), _("Thumbs up"), _("Thumbs down"), _("Up, %"), *map(str, Feedback.Reason.labels)]
    rows: list[list[Cell]] = [
        [verdict.model, verdict.revision, verdict.num_up, verdict.num_down, verdict.percent_up, *verdict.reasons]
        for verdict in Report(filters).verdicts
    ]
    Audit.enter(cast(User, request.user), "feedback.exported", request=request, query=request.GET.urlencode())
    return csv_file(f"feedback-{filters.first}-{filters.last}.csv", head, rows)


def _no_file(form: UsageForm) -> HttpResponse:
    return HttpResponse("\n".join(form.errors.as_text().splitlines()), status=422, content_type="text/plain")


@require_safe
def ledger(request: HttpRequest) -> HttpResponse:
    """The workers, and whether what they counted is what the ledger says."""
    context = {**admin.site.each_context(request), "title": _("Ledger"), "closings": Closing.of_all()}
    return render(request, "admin/ledger.html", context)


def _by(form: UsageForm) -> By:
    return next(by for by in get_args(By) if by == (form.cleaned_data["by"] or "day"))


def _charts(table: Table) -> list[Chart]:
    rows = table.rows if table.by == "day" else table.rows[:MOST_BARS]
    return [
        Chart.of(_("Replies"), [(row.name, row.line.num_replies) for row in rows]),
        Chart.of(_("Tokens, prompt and completion"), [(row.name, row.line.tokens) for row in rows]),
    ]


def _address(request: HttpRequest, **changed: str) -> str:
    """This page with other parameters; empty ones are left out."""
    query = request.GET.dict() | changed
    return f"?{urlencode({name: value for name, value in query.items() if value})}"


def _head(request: HttpRequest, table: Table, name: str, title: str) -> dict[str, str]:
    """A head of a column, which sorts by it: the biggest first, then the other way round."""
    order = {name: "ascending", f"-{name}": "descending"}.get(table.sort, "")
    sort = name if order == "descending" or (name == "name" and order != "ascending") else f"-{name}"
    return {"title": title, "order": order, "address": _address(request, sort=sort)}


def _narrower(request: HttpRequest, by: By, row: Row) -> str:
    """Where a line leads: the same period with this line alone, by day; a day alone, by person."""
    if not row.filter:
        return ""
    if by == "day":
        return _address(request, **{"from": row.filter, "to": row.filter}, by="user", sort="")
    return _address(request, **{by: row.filter}, by="day", sort="")


def _top(report: Report) -> dict[str, Any]:
    """The biggest users with their share of all tokens, and how much the biggest tenth has."""
    biggest = report.biggest
    total = sum(tokens for _, tokens in biggest)
    names = names_of([user_id for user_id, _ in biggest[:NUM_TOP]])
    tenth = biggest[: max(1, round(len(biggest) / 10))]
    return {
        "people": [(names[user_id], f"{tokens:,}", _percent(tokens, total)) for user_id, tokens in biggest[:NUM_TOP]],
        "num_people": len(biggest),
        "num_tenth": len(tenth),
        "share_of_tenth": _percent(sum(tokens for _, tokens in tenth), total),
    }


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0
