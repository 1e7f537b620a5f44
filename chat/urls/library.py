"""Presets and prompts: choosing and keeping them."""

from __future__ import annotations

from django.urls import path

from chat.views import library, prompts

urlpatterns = [
    path("settings/presets/", library.presets, name="presets"),
    path("settings/presets/new/", library.preset_create, name="preset_create"),
    path("settings/presets/<uuid:item_id>/", library.preset_update, name="preset_update"),
    path("settings/presets/<uuid:item_id>/deletion/", library.preset_delete, name="preset_delete"),
    path("settings/prompts/", library.prompts, name="prompts"),
    path("settings/prompts/new/", library.prompt_create, name="prompt_create"),
    path("settings/prompts/<uuid:item_id>/", library.prompt_update, name="prompt_update"),
    path("settings/prompts/<uuid:item_id>/deletion/", library.prompt_delete, name="prompt_delete"),
    path("prompts/", prompts.choices, name="prompt_choices"),
    path("prompts/<uuid:item_id>/", prompts.filling, name="prompt_filling"),
]
