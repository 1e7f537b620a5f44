"""One websocket per page. It pushes; what it takes is only what to push. Writes go over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import structlog
from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
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
from chat.feed import AnswerWatcher, Frame, Viewer, Watcher
from chat.hub import hub
from chat.language import is_spoken
from chat.models import Generation, User
from chat.reply_stream import Cursor
from chat.stages import Stage, stage_of, stages

log = structlog.get_logger()

SessionStore = import_module(settings.SESSION_ENGINE).SessionStore

CLOSE_SIGNED_OUT = 4401
CLOSE_FOREIGN_ORIGIN = 4403
CLOSE_LOST = 4008
CLOSE_BAD_FRAMES = 1008
CLOSE_UNAVAILABLE = 1013


class BadFrame(Exception):
    """A frame that is not of the protocol; the text goes back to the page."""


class PageConsumer(AsyncWebsocketConsumer):
    """The socket of one page: it follows replies of its own user and hears what changed."""

    MOST_BAD_FRAMES = 20
    MOST_FOLLOWED = 20
    MOST_UNSENT = 64
    LONGEST_FRAME = 4096
    CHECK_SESSION_S = 30.0
    CHECK_WATCHED_S = 1.0
    FAREWELL_S = 1.0

    user_id: UUID

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[..., Any]) -> None:
        """Take what comes, one after another: Channels' own loop makes a task and changes threads for every frame."""
        self.scope, self.base_send = scope, send
        self.viewers: dict[str, Viewer] = {}
        self._links: dict[str, UUID] = {}
        self._num_bad_frames = 0
        # As the page itself says: its browser may speak another language than the person chose.
        asked = self.scope["query_string"].decode("latin-1").removeprefix("language=")
        self.language = asked if is_spoken(asked) else settings.LANGUAGE_CODE
        self._outbox: deque[str] = deque()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._main = asyncio.current_task()
        try:
            while True:
                message = await receive()
                await getattr(self, get_handler_name(message))(message)
        except StopConsumer:
            pass
        except asyncio.CancelledError:
            if not self._is_ending:
                raise
        finally:
            await self._leave()

    async def connect(self) -> None:
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
        self._start("watch", self._check_session_loop)

    def _is_from_own_page(self) -> bool:
        """Origins are compared letter by letter: parsers differ in what they see in `http://evil\\@host`."""
        origins = [value for name, value in self.scope["headers"] if name == b"origin"]
        return len(origins) == 1 and origins[0].decode("latin-1") in settings.ORIGINS

    async def _leave(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._unfollow_all()
        if hasattr(self, "user"):
            await hub().leave(self)

    # Frames to the page

    def push(self, frame: Frame) -> int:
        """Queue a frame, and never wait: a page that reads slowly must hold up nobody else. How long it was."""
        if self._is_ending:
            return 0
        text = json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
        self._outbox.append(text)
        self._start("send", self._send_outbox)
        return len(text)

    async def _send_outbox(self) -> None:
        # A socket that is closing takes nothing more; its disconnect follows.
        with contextlib.suppress(RuntimeError, OSError):
            while self._outbox:
                await self.send(text_data=self._outbox.popleft())

    def hint(self, frame: Frame) -> None:
        """Push what a page load repairs; a page that reads nothing can do without it."""
        if not self._is_slow:
            self.push(frame)

    @property
    def _is_slow(self) -> bool:
        return len(self._outbox) > self.MOST_UNSENT

    @property
    def _is_ending(self) -> bool:
        return "end" in self._tasks

    def _start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Do something beside taking frames, once at a time."""
        task = self._tasks.get(name)
        if task is None or task.done():
            task = self._tasks[name] = asyncio.create_task(work())
        return task

    # Frames from the page

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self._is_ending:
            return
        try:
            await self._take(_parsed(text_data, self.LONGEST_FRAME))
        except BadFrame as error:
            self._num_bad_frames += 1
            self._complain(error.args[0])
            if self._num_bad_frames >= self.MOST_BAD_FRAMES:
                self.end(CLOSE_BAD_FRAMES)
        except Exception:
            log.exception("socket.frame_failed")
            self._complain(_("That did not work just now. Try again in a moment."))
        if self._is_slow:
            await asyncio.wait({self._tasks["send"]})  # whoever asks without reading waits for the answers

    def _complain(self, words: str | Promise) -> None:
        with override(self.language):
            text = str(words)
        self.push({"type": "error", "text": text})

    async def _take(self, frame: Frame) -> None:
        generation_id = _uuid(frame.get("generation"))
        match frame.get("type"):
            case "reply.follow":
                await self._follow(generation_id, _cursor(frame.get("after")), frame.get("ticket"))
            case "reply.ack":
                if viewer := self.viewers.get(str(generation_id)):
                    viewer.drew(_cursor(frame.get("cursor")))
            case "reply.unfollow":
                if viewer := self.viewers.pop(str(generation_id), None):
                    hub().unfollow(viewer)
            case _:
                raise BadFrame(_("This page sent something the server does not know. Reload it."))

    async def _follow(self, generation_id: UUID, after: Cursor, ticket: object) -> None:
        if former := self.viewers.pop(str(generation_id), None):
            hub().unfollow(former)
        if len(self.viewers) >= self.MOST_FOLLOWED:
            raise BadFrame(format_lazy(_("A page can follow {most} replies at a time."), most=self.MOST_FOLLOWED))
        if access.holds_ticket(self.user_id, generation_id, ticket):
            self.viewers[str(generation_id)] = hub().follow(str(generation_id), self, after)
            return
        link_id = access.watched_by(self.user_id, generation_id, ticket)
        try:
            generation, stage, kind = await db(_followed, self.user, generation_id, link_id)
        except Http404:
            if link_id:
                self._close_reply(str(generation_id))
                return
            raise BadFrame(_("There is no such reply.")) from None
        viewer = hub().follow(str(generation_id), self, after, Cursor(generation.open_attempt, 0), kind)
        if generation.is_over:
            viewer.feed.status = generation.status
            await hub().end(viewer.feed)
            return
        self.viewers[str(generation_id)] = viewer
        if link_id:
            self._links[str(generation_id)] = link_id
            self._start("links", self._check_links_loop)
        if viewer.seen.n <= 1:
            viewer.feed.tell(stage, viewer)

    async def _check_links_loop(self) -> None:
        """Look often: a link may end in many ways, and the page must show nothing two seconds later (I8)."""
        while self._links:
            await asyncio.sleep(self.CHECK_WATCHED_S)
            self._links = {reply: link for reply, link in self._links.items() if reply in self.viewers}
            for generation_id, link_id in list(self._links.items()):
                try:
                    await db(access.watched, self.user, link_id, UUID(generation_id))
                except Http404:
                    self._close_reply(generation_id)
                except Exception:
                    log.warning("socket.link_unchecked")  # as with sessions, a database that is away decides nothing

    def _close_reply(self, generation_id: str) -> None:
        """Show nothing more of a reply; the page loads anew what it may still see."""
        if viewer := self.viewers.pop(generation_id, None):
            hub().unfollow(viewer)
        self.push({"type": "reply.closed", "generation": generation_id})

    def _unfollow_all(self) -> None:
        for viewer in self.viewers.values():
            hub().unfollow(viewer)
        self.viewers.clear()

    # Rights that end

    async def _check_session_loop(self) -> None:
        while True:
            await asyncio.sleep(self.CHECK_SESSION_S)
            await self._check_session()

    def check_session(self) -> None:
        """Look soon whether the rights of this page have ended."""
        self._start("check", self._check_session)

    async def _check_session(self) -> None:
        """Close the socket when its session or user is not good any more; a database that is away decides nothing."""
        try:
            user = await db(_user_of, self._session_key)
        except Exception:
            log.warning("socket.session_unchecked")
            return
        if user is None:
            self.end(CLOSE_SIGNED_OUT, {"type": "session.ended"})

    def end_if_lost(self) -> None:
        """Let a page go that has drawn nothing for long: it connects anew and begins where it is."""
        if any(viewer.is_lost for viewer in self.viewers.values()):
            self.end(CLOSE_LOST)

    def end(self, code: int, *last: Frame) -> None:
        """Show nothing more and close, once; a page that reads nothing is not waited for."""
        if self._is_ending:
            return
        self._unfollow_all()
        for frame in last:
            self.push(frame)
        self._start("end", partial(self._end, code))

    async def _end(self, code: int) -> None:
        try:
            async with asyncio.timeout(self.FAREWELL_S):
                if sending := self._tasks.get("send"):
                    await sending
                await self.close(code=code)
        except (TimeoutError, RuntimeError, OSError):
            if self._main:
                self._main.cancel()


def _user_of(session_key: str) -> User | None:
    """Who is signed in by this session, checked as Django checks a request."""
    user = get_user(SimpleNamespace(session=SessionStore(session_key)))  # type: ignore[arg-type]
    return user if isinstance(user, User) and user.is_active and not user.lacks_second_factor else None


def _followed(user: User, generation_id: UUID, link_id: UUID | None) -> tuple[Generation, Stage, type[Viewer]]:
    """A reply of their own, or the one that a link lets them watch."""
    kind = Viewer
    if link_id is None:
        generation = access.generation(user, generation_id)
    else:
        link = access.watched(user, link_id, generation_id)
        assert link.watched
        generation, kind = link.watched, Watcher if link.chosen.has_thinking else AnswerWatcher
    stage = stages([generation.id]).get(generation.id) or stage_of(generation.status)
    return generation, stage, kind


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
