"""The inference workers as administrators see them, with the button that drains one."""

from __future__ import annotations

from uuid import UUID

from django.contrib.admin import site
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from chat.models import Worker, queue


@require_safe
@never_cache
@staff_member_required
def workers(request: HttpRequest) -> HttpResponse:
    context = {**site.each_context(request), "title": _("Workers"), "workers": Worker.latest()}
    context["expected"] = queue.error_of_expected()
    return render(request, "admin/workers.html", context)


@require_POST
@staff_member_required
@permission_required("chat.change_worker", raise_exception=True)
def drain_create(request: HttpRequest, worker_id: UUID) -> HttpResponse:
    get_object_or_404(Worker.live(), id=worker_id).drain()
    return redirect("workers")


@require_POST
@staff_member_required
@permission_required("chat.change_worker", raise_exception=True)
def drain_delete(request: HttpRequest, worker_id: UUID) -> HttpResponse:
    get_object_or_404(Worker.live(), id=worker_id).undrain()
    return redirect("workers")
