"""A server that is measured from outside: started on a port of its own, asked over HTTP, read token by token."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import asdict
from http.client import HTTPConnection, HTTPException
from typing import Any

from bench.engine import places
from bench.engine.figures import Reply, Timed
from bench.engine.missing import Missing
from bench.engine.workload import Messages, burst
from tests.stack import free_port

START_WITHIN_S = 180
ANSWER_WITHIN_S = 900


class Server(ABC):
    name: str

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @abstractmethod
    def command(self, port: int) -> list[str]:
        """How it is started."""

    @abstractmethod
    def body(self, messages: Messages, num_tokens: int) -> dict[str, object]:
        """What is asked besides the messages: greedy, exactly `num_tokens`, its own way of saying so."""

    def time(self, num_replies: int, num_tokens: int) -> Timed:
        if self._process is None:
            self._start()
        assert self._process
        self._process.send_signal(signal.SIGCONT)
        try:
            return Timed.of(self._ask_all(burst(num_replies), num_tokens))
        finally:
            # Some spin while they wait, and others are measured now.
            self._process.send_signal(signal.SIGSTOP)

    def close(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        places.KEPT.mkdir(parents=True, exist_ok=True)
        self._port = free_port()
        log = places.KEPT / f"{self.name}.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                self.command(self._port), stdout=output, stderr=output, env=places.variables_of_others()
            )
        deadline = time.monotonic() + START_WITHIN_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Missing(f"{self.name} did not start; {log} says why.")
            time.sleep(0.2)
        # The first request makes caches, and compiles what is compiled late.
        self._ask_all(burst(2), 8)

    def _is_ready(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def _ask_all(self, conversations: list[Messages], num_tokens: int) -> list[Reply]:
        replies: list[Reply | Missing] = []

        def ask(messages: Messages) -> None:
            try:
                replies.append(self._ask(messages, num_tokens))
            except (OSError, HTTPException, Missing) as error:
                replies.append(Missing(f"{self.name} did not answer: {error}"))

        threads = [threading.Thread(target=ask, args=(messages,)) for messages in conversations]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for reply in replies:
            if isinstance(reply, Missing):
                raise reply
        return [reply for reply in replies if isinstance(reply, Reply)]

    def _ask(self, messages: Messages, num_tokens: int) -> Reply:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_WITHIN_S)
        turns = [asdict(message) for message in messages]
        body = json.dumps({"stream": True, "messages": turns, **self.body(messages, num_tokens)})
        asked_at = time.monotonic()
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise Missing(f"{response.status} {response.read(300).decode(errors='replace')}")
        arrivals: list[float] = []
        usage: dict[str, Any] = {}
        for line in response:
            if line.startswith(b"data: {"):
                now, event = time.monotonic(), json.loads(line[6:])
                if "error" in event:
                    raise Missing(str(event["error"])[:300])
                usage = event.get("usage") or usage
                if any(choice["delta"].get("content") for choice in event.get("choices", [])):
                    arrivals.append(now)
        connection.close()
        if not arrivals or not usage:
            raise Missing("it sent nothing.")
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        num_tokens = usage["completion_tokens"]
        return Reply(asked_at, time.monotonic(), tuple(arrivals), num_tokens, usage["prompt_tokens"], cached)
