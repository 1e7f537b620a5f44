"""One reader of all live reply streams, and one listener for hints, per web process."""

from __future__ import annotations

import asyncio
import json
import time
import weakref
from collections import defaultdict
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import structlog
from django.db import DatabaseError
from django.template.loader import render_to_string
from django.utils.translation import override
from redis.exceptions import RedisError

from chat import hints, reply_stream, valkey
from chat.database import db, num_calls
from chat.feed import Feed, Viewer
from chat.models import Generation
from chat.reply_stream import START, Cursor
from chat.stages import GONE, READING, stages

if TYPE_CHECKING:
    from chat.consumers import PageConsumer

log = structlog.get_logger()

_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = weakref.WeakKeyDictionary()


def hub() -> Hub:
    """The hub of this process (strictly: of the running event loop)."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]


class Hub:
    """Feeds by generation and pages by user. It works while there are pages and rests when the last one leaves."""

    CHECK_S = 2.0
    FIRST_CHECK_S = 0.3
    PAUSE_PER_FEED_S = 0.0006
    PAUSE_PER_CALL_S = 0.004
    LONGEST_RUSH_S = 0.3

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] = {}
        self._pages: defaultdict[UUID, set[PageConsumer]] = defaultdict(set)
        self._tasks: list[asyncio.Task[None]] = []
        self._bell = f"hub:{uuid4()}"
        self._bell_cursor = "0-0"
        self._due = asyncio.Event()
        self._is_blocked = False
        self._ringing: asyncio.Task[None] | None = None

    # Pages

    def join(self, page: PageConsumer) -> None:
        self._pages[page.user_id].add(page)
        if not self._tasks:
            self._client = valkey.async_client()
            loops = (self._read_loop(), self._render_loop(), self._check_loop(), self._hint_loop())
            self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def leave(self, page: PageConsumer) -> None:
        self._pages[page.user_id].discard(page)
        if not self._pages[page.user_id]:
            del self._pages[page.user_id]
        if not self._pages and self._tasks:
            tasks, self._tasks = self._tasks, []
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._client.aclose()

    # Following

    def follow(
        self,
        generation_id: str,
        page: PageConsumer,
        after: Cursor,
        begin: Cursor = START,
        kind: type[Viewer] = Viewer,
    ) -> Viewer:
        """Register first, then replay, then tail: the reader starts every feed where its attempt begins."""
        feed = self._feeds.get(generation_id)
        if feed is None:
            feed = self._feeds[generation_id] = Feed(generation_id, begin)
            self._ring()
        viewer = kind(feed, page.push, after, page.language)
        feed.viewers.add(viewer)
        viewer.show()
        return viewer

    def unfollow(self, viewer: Viewer) -> None:
        feed = viewer.feed
        feed.viewers.discard(viewer)
        if not feed.viewers and self._feeds.get(feed.generation_id) is feed:
            del self._feeds[feed.generation_id]

    def _ring(self) -> None:
        """Make a read that blocks return, so that the next takes the new stream in; a lost ring costs a second."""
        if self._is_blocked:
            self._is_blocked = False
            self._ringing = asyncio.create_task(self._send_ring())

    async def _send_ring(self) -> None:
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.xadd(self._bell, {"k": "ring"}, maxlen=1)
                pipeline.expire(self._bell, 60)
                await pipeline.execute()
        except (RedisError, OSError):
            log.warning("hub.ring_lost")

    # Reading and showing

    async def _read_loop(self) -> None:
        while True:
            try:
                await self._read()
            except (RedisError, OSError) as error:
                log.warning("hub.read_failed", error=type(error).__name__)
                await asyncio.sleep(0.2)
            except Exception:
                log.exception("hub.read_broken")
                await asyncio.sleep(0.2)

    async def _read(self) -> None:
        feeds = {reply_stream.key(feed.generation_id): feed for feed in self._feeds.values()}
        cursors: dict[Any, Any] = {key: str(feed.cursor) for key, feed in feeds.items()}
        cursors[self._bell] = self._bell_cursor
        self._is_blocked = True
        answer: Any = await self._client.xread(cursors, block=1000)
        self._is_blocked = False
        ended: list[Feed] = []
        for key, entries in answer or []:
            if key == self._bell:
                self._bell_cursor = entries[-1][0]
            elif (feed := feeds[key]).viewers:
                for entry_id, fields in entries:
                    feed.take(Cursor.parse(entry_id), fields["k"], fields["d"])
                if feed.status:
                    ended.append(feed)
                elif feed.is_dirty and feed.is_new:
                    self._show(feed)
                elif feed.is_dirty:
                    self._due.set()
                elif feed.takes_long:
                    feed.tell(READING)
        if ended:
            await self.end(*ended)
        # The more replies are followed, the more entries one read brings.
        await asyncio.sleep(min(0.02, self.PAUSE_PER_FEED_S / 4 * len(self._feeds)))

    async def _render_loop(self) -> None:
        """Render each dirty feed when its pause is over; a lone delta at once."""
        while True:
            await self._due.wait()
            now = time.monotonic()
            for feed in [feed for feed in self._feeds.values() if feed.is_due(now)]:
                self._show(feed)
                await asyncio.sleep(0)
            waiting = [feed.due_in_s for feed in self._feeds.values() if feed.is_dirty]
            if waiting:
                await asyncio.sleep(max(0.001, min(waiting)))
            else:
                self._due.clear()

    def _show(self, feed: Feed) -> None:
        """Render and push what is new; in a rush of requests, more of a reply waits for those who have nothing yet."""
        rush_s = min(self.LONGEST_RUSH_S, self.PAUSE_PER_CALL_S * num_calls())
        try:
            feed.render(max(Feed.PAUSE_S, self.PAUSE_PER_FEED_S * len(self._feeds), rush_s))
        except Exception:
            # One reply that can't be rendered must not hold up everybody's; its end shows what is stored.
            log.exception("hub.render_failed", generation=feed.generation_id)
            feed.is_dirty = False
            return
        for viewer in list(feed.viewers):
            viewer.show()

    async def end(self, *feeds: Feed) -> None:
        """Show the last of replies whose status is known, then the finished messages; their feeds are done."""
        languages = {viewer.language for feed in feeds for viewer in feed.viewers}
        try:
            finished = await db(_finished_messages, [feed.generation_id for feed in feeds], languages)
        except DatabaseError as error:
            log.warning("hub.end_postponed", error=type(error).__name__)
            return
        for feed in feeds:
            if self._feeds.get(feed.generation_id) is not feed:
                continue
            del self._feeds[feed.generation_id]
            feed.close()
            html = finished.get(feed.generation_id, {})
            frame = {"type": "reply.end", "generation": feed.generation_id, "status": feed.status}
            for viewer in list(feed.viewers):
                viewer.show(even_if_behind=True)
                # Who came in the meantime may speak a language nobody else did.
                viewer.end({**frame, "html": html.get(viewer.language) or next(iter(html.values()), "")})

    # Mending

    async def _check_loop(self) -> None:
        while True:
            await asyncio.sleep(self.FIRST_CHECK_S)
            try:
                await self._check([feed for feed in self._feeds.values() if self._is_silent(feed)])
                self._drop_lost_pages()
            except Exception:
                log.exception("hub.check_failed")

    def _is_silent(self, feed: Feed) -> bool:
        is_new = feed.stage is None and not feed.cursor.n
        return time.monotonic() - feed.heard_at > (self.FIRST_CHECK_S if is_new else self.CHECK_S)

    async def _check(self, feeds: list[Feed]) -> None:
        """Ask Postgres about replies that are silent: it knows those that ended unheard, and why others wait."""
        if not feeds:
            return
        stages_now = await db(stages, [UUID(feed.generation_id) for feed in feeds])
        ended: list[Feed] = []
        for feed in feeds:
            stage = feed.in_detail(stages_now.get(UUID(feed.generation_id), GONE))
            feed.heard_at = time.monotonic()
            if stage.is_over:
                feed.status = stage.status
                ended.append(feed)
            elif stage != feed.stage and (feed.cursor.n <= 1 or stage.stage == "moving"):
                feed.tell(stage)
        if ended:
            await self.end(*ended)

    def _drop_lost_pages(self) -> None:
        for page in [page for pages in self._pages.values() for page in pages]:
            page.end_if_lost()

    # Hints

    async def _hint_loop(self) -> None:
        while True:
            try:
                async with self._client.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(hints.CHANNEL)
                    async for message in channel.listen():
                        await self._take_hint(json.loads(message["data"]))
            except (RedisError, OSError) as error:
                log.warning("hub.hints_failed", error=type(error).__name__)
                await asyncio.sleep(0.5)

    async def _take_hint(self, hint: dict[str, str]) -> None:
        pages = list(self._pages.get(UUID(hint["user"]), ()))
        match hint["type"]:
            case "session.check":
                for page in pages:
                    page.check_session()
            case "reply.over":
                await self._check([feed for feed in [self._feeds.get(hint["generation"])] if feed])
            case "conversation.changed":
                for page in pages:
                    page.hint({"type": "conversation.changed", "conversation": hint["conversation"]})


def _finished_messages(ids: list[str], languages: set[str]) -> dict[str, dict[str, str]]:
    """The message of each of these replies in each of these languages; those that are gone are missing."""
    generations = Generation.objects.select_related("message__feedback").filter(id__in=ids)
    return {str(each.id): {language: _message_html(each, language) for language in languages} for each in generations}


def _message_html(generation: Generation, language: str) -> str:
    with override(language):
        return render_to_string("chat/_message.html", {"message": generation.message, "generation": generation})
