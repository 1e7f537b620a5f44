"""What somebody used themselves, and what their quotas leave."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from chat.chart import Chart
from chat.models import Quota
from chat.usage_form import PeriodForm
from chat.usage_report import Filters, Report
from chat.usage_table import COLUMNS, Table
from chat.views.signed_in import Request, signed_in

OWN = tuple(column for column in COLUMNS if column.name in {"replies", "prompt", "completion", "thinking", "device"})


@require_safe
@signed_in
def own_usage(request: Request) -> HttpResponse:
    """By day and by model, for the person who looks."""
    form = PeriodForm(request.GET)
    context: dict[str, Any] = {
        "form": form,
        "zone": settings.TIME_ZONE,
        "standings": Quota.standings(request.user.id),
    }
    if form.is_valid():
        filters = Filters(form.cleaned_data["first"], form.cleaned_data["last"], user=request.user.id)
        report = Report(filters)
        tables = Table(report, "day", columns=OWN), Table(report, "model", columns=OWN)
        tokens = [(row.name, row.line.tokens) for row in tables[0].rows]
        context |= {"filters": filters, "tables": tables, "chart": Chart.of(_("Tokens a day"), tokens)}
    return render(request, "chat/usage.html", context, status=200 if form.is_valid() else 422)


@require_safe
@signed_in
def quota_notice(request: Request) -> HttpResponse:
    """The page asks here after each message how much is left, and shows it when that is little."""
    low = [standing for standing in Quota.standings(request.user.id) if standing.is_low]
    return render(request, "chat/_quota_notice.html", {"low": low})
