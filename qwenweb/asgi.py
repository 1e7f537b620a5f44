"""The web process: pages by Django, one websocket per page by Channels."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from io import BytesIO
from typing import Any, cast

import django
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qwenweb.settings")
django.setup(set_prefix=False)

from channels.sessions import CookieMiddleware  # noqa: E402  (Django must be set up first)
from django.urls import path, set_script_prefix  # noqa: E402

from chat.consumers import PageConsumer  # noqa: E402
from chat.database import PAGES, db_in  # noqa: E402


class PageHandler(ASGIHandler):
    """Django's handler for views that are all synchronous: one change of threads a request.

    The stock handler changes threads for each signal and each middleware, and starts a thread and two tasks for every
    request. Its signals give connections back, which are kept here.
    """

    LARGEST_BODY = 2_097_152
    LARGEST_PART = 65_536

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        try:
            body = await self._body(receive)
        except RequestAborted:
            return
        if body is None:
            response: HttpResponseBase = HttpResponse("This is too large.", status=413, headers={"Connection": "close"})
        else:
            response = await db_in(PAGES, self._answer, scope, body)
        if isinstance(response, StreamingHttpResponse) and not response.is_async:
            response.streaming_content = self._parts(cast("Iterator[bytes]", response.streaming_content), receive)
        await self.send_response(response, send)
        response.close()

    async def _body(self, receive: Callable[[], Awaitable[Any]]) -> BytesIO | None:
        """What was sent; None when it is too large. Raises RequestAborted when it does not come to its end."""
        body = BytesIO()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RequestAborted
            body.write(message.get("body", b""))
            if body.tell() > self.LARGEST_BODY:
                return None
            if not message.get("more_body", False):
                body.seek(0)
                return body

    async def _parts(self, parts: Iterator[bytes], receive: Callable[[], Awaitable[Any]]) -> AsyncIterator[bytes]:
        """An answer that is made while it is sent, each part in a page thread, and no further once nobody listens.

        The stock handler makes all of it before it sends the first part.
        """
        disconnect = asyncio.ensure_future(receive())
        try:
            while not disconnect.done() and (part := await db_in(PAGES, self._some, parts)):
                yield part
        finally:
            disconnect.cancel()

    def _some(self, parts: Iterator[bytes]) -> bytes:
        """As many parts as make a packet worth a change of threads; nothing at the end."""
        some = bytearray()
        for part in parts:
            some += part
            if len(some) >= self.LARGEST_PART:
                break
        return bytes(some)

    def _answer(self, scope: dict[str, Any], body: BytesIO) -> HttpResponseBase:
        set_script_prefix(get_script_prefix(scope))
        request, refusal = self.create_request(scope, body)
        if refusal:
            return refusal
        assert request
        return self.get_response(request)


application = ProtocolTypeRouter(
    {"http": PageHandler(), "websocket": CookieMiddleware(URLRouter([path("ws/", PageConsumer.as_asgi())]))}
)
