"""The administrators' own pages beside those of Django's admin; auditors see them too."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path
from django.views.decorators.http import require_POST
from django.views.generic import RedirectView

from chat.admin import entrance, usage
from chat.views import glass

guarded = admin.site.admin_view

urlpatterns = [
    path("login/", entrance.sign_in),
    path("usage/", guarded(usage.usage), name="usage_review"),
    path("usage.csv", guarded(usage.usage_csv), name="usage_review_csv"),
    path("usage/.csv", RedirectView.as_view(pattern_name="usage_review_csv", query_string=True)),
    path("usage/feedback.csv", guarded(usage.feedback_csv), name="feedback_review_csv"),
    path("glass/<uuid:glass_break_id>/", guarded(glass.glass_break), name="glass_break"),
    path("glass/<uuid:glass_break_id>/end/", require_POST(guarded(glass.glass_break_end)), name="glass_break_end"),
    path(
        "glass/<uuid:glass_break_id>/c/<uuid:conversation_id>/",
        guarded(glass.glass_break_chat),
        name="glass_break_chat",
    ),
    path("ledger/", guarded(usage.ledger), name="ledger"),
]
