"""One websocket per page. It pushes; what it takes is only what to push. Writes go over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import structlog
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import get_user
from django.http import Http404
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override

from chat import access
from chat.database import db
from chat.feed import Frame, Viewer
from chat.hub import hub
from chat.language import is_spoken
from chat.models import Generation, User
from chat.reply_stream import Cursor
from chat.stages import Stage, stage_of

log = structlog.get_logger()

SessionStore = import_module(settings.SESSION_ENGINE).SessionStore

CLOSE_SIGNED_OUT = 4401
CLOSE_FOREIGN_ORIGIN = 4403
CLOSE_BAD_FRAMES = 1008
CLOSE_UNAVAILABLE = 1013


class BadFrame(Exception):
    """A frame that is not of the protocol; the text goes back to the page."""


class PageConsumer(AsyncWebsocketConsumer):
    """The socket of one page: it follows replies of its own user and hears what changed."""

    MOST_BAD_FRAMES = 20
    MOST_FOLLOWED = 20
    LONGEST_FRAME = 4096
    CHECK_SESSION_S = 30.0

    user_id: UUID

    async def connect(self) -> None:
        self.viewers: dict[str, Viewer] = {}
        self._num_bad_frames = 0
        # As the page itself says: its browser may speak another language than the person chose.
        asked = self.scope["query_string"].decode("latin-1").removeprefix("language=")
        self.language = asked if is_spoken(asked) else settings.LANGUAGE_CODE
        if not self._is_from_own_page():
            await self.close(code=CLOSE_FOREIGN_ORIGIN)
            return
        self._session_key = self.scope["cookies"].get(settings.SESSION_COOKIE_NAME, "")
        try:
            user = await db(_user_of, self._session_key)
        except Exception:
            log.exception("socket.no_user")
            await self.close(code=CLOSE_UNAVAILABLE)
            return
        if user is None:
            await self.close(code=CLOSE_SIGNED_OUT)
            return
        self.user, self.user_id = user, user.id
        await self.accept()
        hub().join(self)
        self._watch = asyncio.create_task(self._check_session_loop())

    def _is_from_own_page(self) -> bool:
        """Origins are compared letter by letter: parsers differ in what they see in `http://evil\\@host`."""
        origins = [value for name, value in self.scope["headers"] if name == b"origin"]
        return len(origins) == 1 and origins[0].decode("latin-1") in settings.ORIGINS

    async def disconnect(self, code: int) -> None:
        if not hasattr(self, "user"):
            return
        self._watch.cancel()
        for viewer in self.viewers.values():
            hub().unfollow(viewer)
        self.viewers.clear()
        await hub().leave(self)

    async def push(self, frame: Frame) -> int:
        text = json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
        # A socket that is closing takes nothing more; its disconnect follows.
        with contextlib.suppress(RuntimeError):
            await self.send(text_data=text)
        return len(text)

    # Frames from the page

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            await self._take(_parsed(text_data, self.LONGEST_FRAME))
        except BadFrame as error:
            self._num_bad_frames += 1
            await self._complain(error.args[0])
            if self._num_bad_frames >= self.MOST_BAD_FRAMES:
                await self.close(code=CLOSE_BAD_FRAMES)
        except Exception:
            log.exception("socket.frame_failed")
            await self._complain(_("That did not work just now. Try again in a moment."))

    async def _complain(self, words: str | Promise) -> None:
        with override(self.language):
            text = str(words)
        await self.push({"type": "error", "text": text})

    async def _take(self, frame: Frame) -> None:
        generation_id = _uuid(frame.get("generation"))
        match frame.get("type"):
            case "reply.follow":
                await self._follow(generation_id, _cursor(frame.get("after")))
            case "reply.ack":
                if viewer := self.viewers.get(str(generation_id)):
                    await viewer.drew(_cursor(frame.get("cursor")))
            case "reply.unfollow":
                if viewer := self.viewers.pop(str(generation_id), None):
                    hub().unfollow(viewer)
            case _:
                raise BadFrame(_("This page sent something the server does not know. Reload it."))

    async def _follow(self, generation_id: UUID, after: Cursor) -> None:
        if former := self.viewers.pop(str(generation_id), None):
            hub().unfollow(former)
        if len(self.viewers) >= self.MOST_FOLLOWED:
            raise BadFrame(format_lazy(_("A page can follow {most} replies at a time."), most=self.MOST_FOLLOWED))
        try:
            generation, stage = await db(_followed, self.user, generation_id)
        except Http404:
            raise BadFrame(_("There is no such reply.")) from None
        viewer = await hub().follow(generation, self, after)
        if not generation.is_over:
            self.viewers[str(generation_id)] = viewer
            if viewer.seen.n <= 1:
                await self.push(stage.frame(str(generation_id), self.language))

    # Rights that end

    async def _check_session_loop(self) -> None:
        while True:
            await asyncio.sleep(self.CHECK_SESSION_S)
            await self.check_session()

    async def check_session(self) -> None:
        """Close the socket when its session or user is not good any more; a database that is away decides nothing."""
        try:
            user = await db(_user_of, self._session_key)
        except Exception:
            log.warning("socket.session_unchecked")
            return
        if user is None:
            await self.push({"type": "session.ended"})
            await self.close(code=CLOSE_SIGNED_OUT)


def _user_of(session_key: str) -> User | None:
    """Who is signed in by this session, checked as Django checks a request."""
    user = get_user(SimpleNamespace(session=SessionStore(session_key)))  # type: ignore[arg-type]
    return user if isinstance(user, User) and user.is_active else None


def _followed(user: User, generation_id: UUID) -> tuple[Generation, Stage]:
    generation = access.generation(user, generation_id)
    return generation, stage_of(generation.status)


def _parsed(text: str | None, longest: int) -> Frame:
    if text is None:
        raise BadFrame(_("Only text is understood here."))
    if len(text) > longest:
        raise BadFrame(_("That is too long."))
    try:
        frame: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise BadFrame(_("That is not JSON.")) from None
    if not isinstance(frame, dict):
        raise BadFrame(_("A JSON object is expected."))
    return frame


def _uuid(value: object) -> UUID:
    try:
        return UUID(value) if isinstance(value, str) else UUID(None)
    except (ValueError, TypeError):
        raise BadFrame(_("“generation” must name a reply.")) from None


def _cursor(value: object) -> Cursor:
    try:
        return Cursor.parse(value if isinstance(value, str) else "")
    except ValueError:
        raise BadFrame(_("A cursor looks like 1-17.")) from None
