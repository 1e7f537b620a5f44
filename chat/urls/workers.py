from __future__ import annotations

from django.urls import path

from chat.views import workers

urlpatterns = [
    path("", workers.workers, name="workers"),
    path("<uuid:worker_id>/drain/", workers.drain_create, name="drain_create"),
    path("<uuid:worker_id>/drain/end/", workers.drain_delete, name="drain_delete"),
]
