from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ChatConfig(AppConfig):
    name = "chat"
    verbose_name = _("Chat")

    def ready(self) -> None:
        import qwenweb.celery  # noqa: F401  (tasks are sent by this application, from web processes too)
        from chat import signals  # noqa: F401
