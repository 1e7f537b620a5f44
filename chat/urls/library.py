"""Presets and prompts: choosing and keeping them."""

from __future__ import annotations

from django.urls import URLPattern, path

from chat.library_form import LibraryForm, PresetForm, PromptForm
from chat.views import library, prompts


def _kept(form: type[LibraryForm]) -> list[URLPattern]:
    """The pages on which the items of one kind are kept."""
    kind, known = form.kind.KIND, {"form": form}
    at = f"settings/{kind}s/"
    return [
        path(at, library.items, known, name=f"{kind}s"),
        path(f"{at}new/", library.item_create, known, name=f"{kind}_create"),
        path(f"{at}<uuid:item_id>/", library.item_update, known, name=f"{kind}_update"),
        path(f"{at}<uuid:item_id>/deletion/", library.item_delete, known, name=f"{kind}_delete"),
    ]


urlpatterns = [
    *_kept(PresetForm),
    *_kept(PromptForm),
    path("prompts/", prompts.choices, name="prompt_choices"),
    path("prompts/<uuid:item_id>/", prompts.filling, name="prompt_filling"),
]
