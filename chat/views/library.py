"""Keeping presets and prompts: the list of each, making, changing and deleting them."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from chat import access
from chat.library_form import LibraryForm
from chat.models import Audit
from chat.models.library import LibraryItem
from chat.views.signed_in import Request, signed_in

# Of which kind the items are, the form says with which they are made.
Form = type[LibraryForm]


@require_safe
@signed_in
def items(request: Request, form: Form) -> HttpResponse:
    found = access.library(request.user, form.kind)
    listed = [(item, item.is_kept_by(request.user)) for item in found]
    return render(request, f"chat/{form.kind.KIND}s.html", {"items": listed})


@require_http_methods(["GET", "POST"])
@signed_in
def item_create(request: Request, form: Form) -> HttpResponse:
    return _described(request, form.kind(owner=request.user), form)


@require_http_methods(["GET", "POST"])
@signed_in
def item_update(request: Request, form: Form, item_id: UUID) -> HttpResponse:
    return _described(request, access.kept_item(request.user, form.kind, item_id), form)


@require_POST
@signed_in
def item_delete(request: Request, form: Form, item_id: UUID) -> HttpResponse:
    item = access.kept_item(request.user, form.kind, item_id)
    if item.is_for_all:
        _enter(request, "deleted", item)
    item.delete()
    return redirect(f"{item.KIND}s")


def _described(request: Request, item: LibraryItem, form_class: Form) -> HttpResponse:
    """The form (GET), then the item as it says."""
    is_new, was_for_all = item._state.adding, not item._state.adding and item.is_for_all
    form = form_class(request.user, request.POST if request.method == "POST" else None, instance=item)
    if form.is_bound and form.is_valid():
        form.save()
        if was_for_all or item.is_for_all:
            _enter(request, "added" if is_new else "changed", item, fields=form.changed_data)
        return redirect(f"{item.KIND}s")
    context = {"form": form, "item": None if is_new else item}
    return render(request, f"chat/{item.KIND}.html", context, status=422 if form.is_bound else 200)


def _enter(request: Request, act: str, item: LibraryItem, **details: object) -> None:
    """What is for everybody is administered: each act stands in the audit log."""
    Audit.enter(request.user, f"{item.KIND}.{act}", item, request, **details)
