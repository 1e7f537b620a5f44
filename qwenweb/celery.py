"""The Celery application: a bell, not a ledger. A message says “look”; what is to be done stands in Postgres."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, bootsteps
from celery.beat import EmbeddedService

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qwenweb.settings")

app = Celery("qwenweb")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


class BeatThread(bootsteps.StartStopStep):
    """Beat as a thread of the default worker.

    Celery's own `-B` forks a second process, which would outlive a worker that is killed.
    """

    requires = {"celery.worker.components:Timer"}

    def __init__(self, parent: Any, **options: Any) -> None:
        self.enabled = bool(os.environ.get("QWENWEB_BEAT"))
        super().__init__(parent, **options)

    def create(self, parent: Any) -> Any:
        return EmbeddedService(app, thread=True, scheduler_cls=app.conf.beat_scheduler)


app.steps["worker"].add(BeatThread)
