"""The web process: pages by Django, one websocket per page by Channels."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qwenweb.settings")
pages = get_asgi_application()

from channels.sessions import CookieMiddleware  # noqa: E402  (Django must be set up first)
from django.urls import path  # noqa: E402

from chat.consumers import PageConsumer  # noqa: E402

application = ProtocolTypeRouter(
    {"http": pages, "websocket": CookieMiddleware(URLRouter([path("ws/", PageConsumer.as_asgi())]))}
)
