"""The web process: pages by Django, one websocket per page by Channels."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qwenweb.settings")
pages = get_asgi_application()

from channels.security.websocket import OriginValidator  # noqa: E402  (Django must be set up first)
from channels.sessions import CookieMiddleware  # noqa: E402
from django.conf import settings  # noqa: E402
from django.urls import path  # noqa: E402

from chat.consumers import PageConsumer  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": pages,
        # Exact origins: the host alone would let a page on another port of this machine use the cookie.
        "websocket": OriginValidator(
            CookieMiddleware(URLRouter([path("ws/", PageConsumer.as_asgi())])), settings.ORIGINS
        ),
    }
)
