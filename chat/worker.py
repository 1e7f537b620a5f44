"""The inference worker: takes queued generations from Postgres, runs them in the engine, tells the reply streams.

It lives in a Celery worker of the queue `gpu`; a Celery message only wakes it. What is to be done stands in Postgres,
and the worker looks there by itself too, so that lost messages, or a Valkey that is away, only cost time.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from redis.exceptions import RedisError

from chat import hints, valkey
from chat.database import AWAY, borrowed
from chat.models import Generation, Worker
from chat.models.queue import KEPT_S
from chat.reply import RunningReply
from chat.reply_stream import Writer
from chat.speed import Speed
from chat.sweeper import rescue
from inference import catalog, open_engine
from inference.contract import Engine
from inference.errors import ModelError

log = structlog.get_logger()

LOOK_AGAIN_S = 2.0
HAND_OVER_S = 5.0
LOOP_ENDS_S = 2.0
ENGINE_LOST = "The model stopped working and is being started again."
COUNTED = ("num_prompt_tokens", "num_completion_tokens", "busy_s", "energy_j")
_running: InferenceWorker | None = None


def running_worker() -> InferenceWorker | None:
    return _running


def start_worker() -> InferenceWorker:
    """Start the one inference worker of this process."""
    global _running
    device = os.environ.get("QWENWEB_DEVICE", "cpu")
    # The thread of a stuck device can't be ended, so the process is; its supervisor starts another.
    name = os.environ.get("QWENWEB_WORKER") or f"{device}@{socket.gethostname()}"
    _running = InferenceWorker(name, device, leave=lambda: os._exit(1))
    _running.start()
    return _running


class InferenceWorker:
    """Three threads around the engine: one claims, one beats, one listens for stops; each reply has one more."""

    def __init__(self, name: str, device: str, leave: Callable[[], object] = lambda: None) -> None:
        """`leave` is called when the engine is lost for good and all that could be done is done."""
        self._leave = leave
        self.row = Worker(name=name, device=device)
        self.engine: Engine | None = None
        self._replies: dict[UUID, RunningReply] = {}
        self._failed: set[UUID] = set()
        self._was_cut_off = False
        self._is_draining = self._is_leaving = False
        self._speed = Speed()
        self._writing_loops = [self._loop(self._claim_loop), self._loop(self._beat_loop)]
        self._lock = threading.Lock()
        self._look = threading.Event()
        self._is_stopping = threading.Event()
        self._writer = Writer(valkey.short_client())

    def start(self) -> None:
        for loop in (*self._writing_loops, self._loop(self._listen_loop)):
            loop.start()

    def _loop(self, work: Callable[[], None]) -> threading.Thread:
        name = work.__name__.strip("_")
        return threading.Thread(target=self._work, args=(name, work), name=name, daemon=True)

    def _work(self, name: str, work: Callable[[], None]) -> None:
        """Without one of its loops a worker would go on claiming what it can't see through, so it leaves."""
        try:
            work()
        except Exception:
            log.exception("worker.loop_broke", loop=name)
            self._leave()

    def wake(self) -> None:
        self._look.set()

    def stop(self) -> None:
        """Drain, then end the engine and say so."""
        self._is_draining = self._is_leaving = True
        self._drain()
        self._end_all(grace_s=5)
        for loop in self._writing_loops:  # into Postgres; the loop that listens may be a second late
            loop.join(timeout=LOOP_ENDS_S)
        self._say(lambda: self.row.beat(state=Worker.State.STOPPED, **self._counted()))

    def _drain(self) -> None:
        """Take nothing more; let replies end for a while, then hand over what still runs (at a token's end)."""
        started_at = time.monotonic()
        while self._replies and self._is_draining and time.monotonic() < started_at + settings.DRAIN_S + HAND_OVER_S:
            if time.monotonic() >= started_at + settings.DRAIN_S:
                for reply in list(self._replies.values()):
                    reply.move()
            time.sleep(0.02)

    def _give_up(self) -> None:
        """The engine is lost: say so, end what runs, and leave."""
        log.error("worker.engine_lost")
        self._say(lambda: self.row.fail(ENGINE_LOST))
        self._end_all(grace_s=5)
        self._leave()

    def _say(self, write: Callable[[], object]) -> None:
        try:
            with borrowed():
                write()
        except AWAY:
            log.warning("worker.unregistered")

    def _end_all(self, grace_s: float) -> None:
        self._is_stopping.set()
        self._look.set()
        if self.engine:
            self.engine.shutdown()
        deadline = time.monotonic() + grace_s
        while self._replies and time.monotonic() < deadline:
            time.sleep(0.02)
        self._writer.close()

    # Taking replies

    def _claim_loop(self) -> None:
        self._until_done("register", self._register)
        self._until_done("load", self._load)
        while not self._is_stopping.is_set():
            self._look.wait(LOOK_AGAIN_S)
            self._look.clear()
            self._until_done("claim", self._claim)

    def _until_done(self, what: str, act: Callable[[], bool]) -> None:
        """Repeat an act until it says so; Postgres may be away for a while."""
        while not self._is_stopping.is_set():
            try:
                with borrowed():
                    if act():
                        return
            except AWAY as error:
                log.warning("worker.waits", doing=what, error=type(error).__name__)
            except Exception:
                log.exception("worker.failed", doing=what)
            self._is_stopping.wait(0.5)

    def _register(self) -> bool:
        self.row.save(force_insert=True)
        self.row.replace_predecessors()
        return True

    def _load(self) -> bool:
        """Open the engine as soon as the model is there; one that can't be used is said, and tried again later."""
        model_dir: Path | None = None
        if os.environ.get("QWENWEB_ENGINE", "") != "scripted":
            model_dir = catalog.resolve(settings.MODEL, settings.DATA_DIR)
            if model_dir is None:
                return False
        try:
            self.engine = open_engine(model_dir, self.row.device)
        except ModelError as error:
            log.error("worker.model_refused", reason=str(error))
            self.row.beat(state=Worker.State.FAILED, notice=str(error)[:300])
            self._is_stopping.wait(10)
            return False
        info = self.engine.info
        self.row.beat(
            state=Worker.State.READY,
            notice="",
            model=info.model,
            revision=info.revision,
            device=info.device,
            context_length=info.context_length,
            num_slots=info.num_slots,
            has_thinking=info.has_thinking,
            adapters=list(info.adapters),
        )
        log.info("worker.ready", model=info.model, device=info.device, dtype=info.dtype, slots=info.num_slots)
        log.info("worker.plan", plan=info.plan, adapters=list(info.adapters))
        return True

    def _num_free(self) -> int:
        """How many replies it can take now."""
        assert self.engine
        if self._is_draining or not self.engine.is_healthy():
            return 0
        return self.engine.info.num_slots - len(self._replies)

    def _claim(self) -> bool:
        assert self.engine
        num_free = self._num_free()
        if num_free <= 0:
            return True
        claimed = Generation.held(self.row, {*self._replies, *self._failed}) if self._was_cut_off else []
        self._was_cut_off = True  # unless this comes back whole
        claimed += Generation.claim(self.row, num_free, self._leave_to)
        for generation in claimed:
            self._begin(RunningReply(generation, self.engine, self._writer))
        self._was_cut_off = False
        return True

    def _leave_to(self, holders: set[UUID]) -> None:
        """Tell other workers that something was left to them; what they do not take soon is anybody's."""
        hints.wake_holders(holders)
        threading.Timer(KEPT_S, self.wake).start()

    def _begin(self, reply: RunningReply) -> None:
        """Nothing is told or computed before there is a thread to go on with; without one, it is taken up again."""
        if self._is_draining:
            reply.move()
        with self._lock:
            self._replies[reply.generation.id] = reply
        thread = threading.Thread(target=self._run, args=(reply,), name=f"reply-{reply.generation.id}", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            with self._lock:
                del self._replies[reply.generation.id]
            reply.leave()
            raise

    def _run(self, reply: RunningReply) -> None:
        try:
            reply.submit()
            reply.run()
        except Exception:
            log.exception("worker.reply_failed", generation=str(reply.generation.id))
            reply.cancel()
            reply.leave()
            self._failed.add(reply.generation.id)
        finally:
            with self._lock:
                # The next attempt may have taken its place already.
                if self._replies.get(reply.generation.id) is reply:
                    del self._replies[reply.generation.id]
                self._speed.note_end(reply)
            self._look.set()

    # Staying alive, stopping replies

    def _beat_loop(self) -> None:
        healthy_at = time.monotonic()
        while not self._is_stopping.wait(settings.HEARTBEAT_S):
            if self.engine is None or self.engine.is_healthy():
                healthy_at = time.monotonic()
                self._beat()
            elif time.monotonic() - healthy_at < settings.LEASE_S:
                log.error("worker.engine_stuck")
            else:
                # The lease ran out with the last beat: others end the replies by now, so there is nothing to wait for.
                self._give_up()

    def _beat(self) -> None:
        try:
            with self._lock:
                speed = self._speed.measured(self._replies.values())
            with borrowed():
                self._follow_wish(wants_drain=self.row.beat(**speed, **self._counted()))
                self._end_unwanted()
                self._give_back_failed()
        except (*AWAY, RedisError) as error:
            log.warning("worker.no_beat", error=type(error).__name__)

    def _give_back_failed(self) -> None:
        """What could not be brought to its end here is queued again, as if its worker were gone: this one lives on."""
        if failed := set(self._failed):
            for generation in Generation.held(self.row, self._replies):
                if generation.id in failed:
                    rescue(generation)
            self._failed -= failed

    def _counted(self) -> dict[str, float | None]:
        """What the engine says it did so far, for the row that the ledger is held against."""
        if self.engine is None:
            return {}
        stats = self.engine.stats()
        return {name: getattr(stats, name) for name in COUNTED}

    def _follow_wish(self, *, wants_drain: bool) -> None:
        if wants_drain and not self._is_draining:
            log.info("worker.draining")
            self._is_draining = True
            threading.Thread(target=self._drain, name="drain", daemon=True).start()
        elif self._is_draining and not wants_drain and not self._is_leaving:
            log.info("worker.takes_replies_again")
            self._is_draining = False
            self._look.set()

    def _end_unwanted(self) -> None:
        """Cancel what was stopped, deleted or taken away, in case the word of it did not get here."""
        with self._lock:
            running = dict(self._replies)
        wanted = dict(
            Generation.objects.running()
            .filter(id__in=running, worker=self.row, stop_requested_at=None)
            .values_list("id", "answer_requested_at")
        )
        for generation_id, reply in running.items():
            if generation_id not in wanted:
                reply.cancel()
            elif wanted[generation_id]:
                reply.answer_now()

    def _listen_loop(self) -> None:
        while not self._is_stopping.is_set():
            try:
                with valkey.listener() as client, client.pubsub(ignore_subscribe_messages=True) as channel:
                    channel.subscribe(hints.WORKER_CHANNEL)
                    while not self._is_stopping.is_set():
                        message = channel.get_message(timeout=1)
                        if message:
                            self._hear(json.loads(message["data"]))
            except (RedisError, OSError):
                self._is_stopping.wait(0.5)

    def _hear(self, wish: dict[str, Any]) -> None:
        """Look for a reply that was left to this worker, or end one, or only its thinking, as a hint asks for."""
        if "wake" in wish:
            if str(self.row.id) in wish["wake"]:
                self.wake()
            return
        reply = self._replies.get(UUID(wish["generation"]))
        if reply and wish.get("end") == "reasoning":
            reply.answer_now()
        elif reply:
            reply.cancel()
