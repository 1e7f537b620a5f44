"""Keeping presets and prompts: the list of each, making, changing and deleting them."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from chat import access
from chat.library_form import LibraryForm, PresetForm, PromptForm
from chat.models import Audit, Preset, Prompt
from chat.views.signed_in import Request, signed_in


@require_safe
@signed_in
def presets(request: Request) -> HttpResponse:
    return _listed(request, access.presets(request.user))


@require_http_methods(["GET", "POST"])
@signed_in
def preset_create(request: Request) -> HttpResponse:
    return _described(request, Preset(owner=request.user), PresetForm)


@require_http_methods(["GET", "POST"])
@signed_in
def preset_update(request: Request, item_id: UUID) -> HttpResponse:
    return _described(request, access.kept_preset(request.user, item_id), PresetForm)


@require_POST
@signed_in
def preset_delete(request: Request, item_id: UUID) -> HttpResponse:
    return _deleted(request, access.kept_preset(request.user, item_id))


@require_safe
@signed_in
def prompts(request: Request) -> HttpResponse:
    return _listed(request, access.prompts(request.user))


@require_http_methods(["GET", "POST"])
@signed_in
def prompt_create(request: Request) -> HttpResponse:
    return _described(request, Prompt(owner=request.user), PromptForm)


@require_http_methods(["GET", "POST"])
@signed_in
def prompt_update(request: Request, item_id: UUID) -> HttpResponse:
    return _described(request, access.kept_prompt(request.user, item_id), PromptForm)


@require_POST
@signed_in
def prompt_delete(request: Request, item_id: UUID) -> HttpResponse:
    return _deleted(request, access.kept_prompt(request.user, item_id))


def _listed(request: Request, found: QuerySet[Preset] | QuerySet[Prompt]) -> HttpResponse:
    items = [(item, item.is_kept_by(request.user)) for item in found]
    return render(request, f"chat/{found.model.KIND}s.html", {"items": items})


def _described(request: Request, item: Preset | Prompt, form_class: type[LibraryForm]) -> HttpResponse:
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


def _deleted(request: Request, item: Preset | Prompt) -> HttpResponse:
    if item.is_for_all:
        _enter(request, "deleted", item)
    item.delete()
    return redirect(f"{item.KIND}s")


def _enter(request: Request, act: str, item: Preset | Prompt, **details: object) -> None:
    """What is for everybody is administered: each act stands in the audit log."""
    Audit.enter(request.user, f"{item.KIND}.{act}", item, request, **details)
