"""The web process: pages by Django, one websocket per page by Channels."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import django
from asgiref.sync import SyncToAsync
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qwenweb.settings")
django.setup(set_prefix=False)

from channels.sessions import CookieMiddleware  # noqa: E402  (Django must be set up first)
from django.urls import path  # noqa: E402

from chat.consumers import PageConsumer  # noqa: E402
from chat.database import borrowed  # noqa: E402


class PageHandler(ASGIHandler):
    """Django's handler for views that are all synchronous: one change of threads a request.

    The stock handler changes threads twice for every middleware, and starts a thread for every request.
    """

    threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="page")

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        answer = SyncToAsync(self._answer, thread_sensitive=False, executor=self.threads)
        return await answer(request)

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        # Django's own signals give connections back in the thread of the event loop, which has none.
        with borrowed():
            return self.get_response(request)


application = ProtocolTypeRouter(
    {"http": PageHandler(), "websocket": CookieMiddleware(URLRouter([path("ws/", PageConsumer.as_asgi())]))}
)
