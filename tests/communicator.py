"""A page's end of a websocket, without a server between it and the application."""

from __future__ import annotations

import json
from typing import Any

from asgiref.testing import ApplicationCommunicator


class WebsocketCommunicator(ApplicationCommunicator):
    def __init__(self, application: Any, path: str, headers: list[tuple[bytes, bytes]]) -> None:
        path, _, query = path.partition("?")
        scope = {"type": "websocket", "path": path, "query_string": query.encode(), "headers": headers}
        super().__init__(application, scope)

    async def connect(self) -> tuple[bool, int | None]:
        """Whether the socket was accepted; if not, the code it was closed with."""
        await self.send_input({"type": "websocket.connect"})
        answer = await self.receive_output()
        return answer["type"] == "websocket.accept", answer.get("code")

    async def send_to(self, *, bytes_data: bytes | None = None, text_data: str | None = None) -> None:
        await self.send_input({"type": "websocket.receive", "bytes": bytes_data, "text": text_data})

    async def send_json_to(self, data: object) -> None:
        await self.send_input({"type": "websocket.receive", "text": json.dumps(data)})

    async def receive_from(self, within_s: float = 1) -> str:
        """The next text frame; fails when the socket is closed instead."""
        answer = await self.receive_output(within_s)
        assert answer["type"] == "websocket.send", answer
        assert isinstance(answer["text"], str)
        return answer["text"]

    async def disconnect(self) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait()

    async def wait(self, timeout: float = 1) -> None:  # noqa: ASYNC109
        await super().wait(timeout)

    async def receive_output(self, timeout: float = 1) -> Any:  # noqa: ASYNC109  (the name is that of asgiref)
        return await super().receive_output(timeout)

    async def receive_nothing(self, timeout: float = 0.1, interval: float = 0.01) -> bool:  # noqa: ASYNC109
        return bool(await super().receive_nothing(timeout, interval))
