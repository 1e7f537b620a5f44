"""The web server: uvicorn with the settings of this project. `python -m qwenweb.serve --port 8000`"""

from __future__ import annotations

import argparse
import gc
import signal
import socket
import sys

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PING_INTERVAL_S = 20
PING_TIMEOUT_S = 30
STOP_S = 8
LONGEST_SOCKET_MESSAGE = 131_072


class PageProtocol(HttpToolsProtocol):
    """HTTP with a limit for what is kept of a request before anybody looks at it: its head."""

    LONGEST_HEAD = 65_536

    _is_in_head = True
    _num_head_bytes = 0

    def data_received(self, data: bytes) -> None:
        if self._is_in_head:
            self._num_head_bytes += len(data)
        super().data_received(data)
        if self._is_in_head and self._num_head_bytes > self.LONGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("The head of this request is too long.")

    def on_headers_complete(self) -> None:
        self._is_in_head, self._num_head_bytes = False, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_in_head = True
        super().on_message_complete()


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m qwenweb.serve", description=__doc__)
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=8000)
    options.add_argument("--fd", type=int, help="a listening socket that is open already, instead of host and port")
    options.add_argument(
        "--behind-proxy", action="store_true", help="take people's addresses from X-Forwarded-For, whoever sends it"
    )
    return options


def main() -> None:
    options = parser().parse_args()
    listener = socket.socket(fileno=options.fd) if options.fd else _listen(options.host, options.port)
    # uvicorn ends by the signal that stopped it; a stop that was asked for is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = uvicorn.Server(config(behind_proxy=options.behind_proxy))
    server.config.load()
    from chat import valkey
    from chat.database import warm_up

    valkey.refuse_eviction()
    # What is loaded by now stays for ever, so the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    warm_up()
    server.run(sockets=[listener])


def config(*, behind_proxy: bool) -> uvicorn.Config:
    return uvicorn.Config(
        "qwenweb.asgi:application",
        loop="uvloop",
        http=PageProtocol,
        ws="websockets-sansio",
        ws_max_size=LONGEST_SOCKET_MESSAGE,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PING_TIMEOUT_S,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=behind_proxy,
        forwarded_allow_ips="*" if behind_proxy else None,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=STOP_S,
    )


def _listen(host: str, port: int) -> socket.socket:
    return socket.create_server((host, port), backlog=2048)


if __name__ == "__main__":
    main()
