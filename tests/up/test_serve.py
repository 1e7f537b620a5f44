"""The web server by itself: what it refuses before any page is asked."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.stack import ROOT, RunningStack, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("serve") / "data") as started:
        yield started


def answer(stack: RunningStack, *parts: bytes) -> bytes:
    """The first line of what comes back; what the server does not want to read any more is not an error."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=20) as connection:
        try:
            for part in parts:
                connection.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return connection.recv(4096).partition(b"\r\n")[0]


def request(stack: RunningStack, line: str, *fields: str) -> bytes:
    return "\r\n".join([line, f"Host: 127.0.0.1:{stack.port}", *fields, "", ""]).encode()


@pytest.mark.parametrize(
    "program", [["qwenweb.serve", "--port", "0"], ["celery", "-A", "qwenweb", "worker", "-P", "solo"]]
)
def test_I10_nothing_starts_beside_a_valkey_that_throws_keys_away(stack: RunningStack, program: list[str]) -> None:
    with redis.Redis.from_url(stack.django_env["REDIS_URL"]) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            command = [sys.executable, "-m", *program]
            refused = subprocess.run(
                command, cwd=ROOT, env=stack.django_env, capture_output=True, text=True, timeout=60
            )
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert refused.returncode == 1
    assert "set its maxmemory-policy, allkeys-lru, to noeviction" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_I9_a_head_without_end_is_refused(stack: RunningStack) -> None:
    begin = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{stack.port}\r\nX-Long: ".encode()
    assert answer(stack, begin, *[b"x" * 10_000] * 8) == b"HTTP/1.1 400 Bad Request"
    assert answer(stack, begin, *[b"x\r\nX-More: " * 1000] * 8) == b"HTTP/1.1 400 Bad Request"
    assert answer(stack, begin, b"x" * 30_000, b"\r\n\r\n") == b"HTTP/1.1 200 OK"


def test_I9_a_body_that_is_too_large_is_refused(stack: RunningStack) -> None:
    head = request(stack, "POST /accounts/login/ HTTP/1.1", "Content-Length: 100000000")
    assert answer(stack, head, *[b"x" * 65_536] * 40) == b"HTTP/1.1 413 Request Entity Too Large"
    chunked = request(stack, "POST /accounts/login/ HTTP/1.1", "Transfer-Encoding: chunked")
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    assert answer(stack, chunked, *[chunk] * 40) == b"HTTP/1.1 413 Request Entity Too Large"


def test_I10_what_is_no_http_gets_a_400(stack: RunningStack) -> None:
    assert answer(stack, b"\x16\x03\x01 hello\r\n\r\n") == b"HTTP/1.1 400 Bad Request"


def test_a_long_address_and_many_requests_on_one_connection_are_answered(stack: RunningStack) -> None:
    get = request(stack, f"GET /healthz?{'x' * 8000} HTTP/1.1")
    with socket.create_connection(("127.0.0.1", stack.port), timeout=20) as connection:
        for _ in range(20):  # in sum more than one head may have
            connection.sendall(get)
            answered = b""
            while not answered.endswith(b"\r\n\r\nok"):
                piece = connection.recv(4096)
                assert piece, answered
                answered += piece
            assert answered.startswith(b"HTTP/1.1 200 OK")


def test_I9_a_message_that_no_page_sends_closes_the_socket(stack: RunningStack) -> None:
    (session,) = stack.people(1)
    headers = {"Cookie": f"session={session}"}
    address = f"ws://127.0.0.1:{stack.port}/ws/"
    with connect(address, additional_headers=headers, origin=Origin(stack.url), proxy=None) as page:
        page.send("x" * 100_000)
        assert json.loads(page.recv())["type"] == "error"
        page.send("x" * 200_000)
        with pytest.raises(ConnectionClosedError) as closed:
            page.recv()
        assert closed.value.rcvd
        assert closed.value.rcvd.code == 1009


def test_a_stranger_is_turned_away_at_the_handshake(stack: RunningStack) -> None:
    upgrade = request(
        stack,
        "GET /ws/ HTTP/1.1",
        f"Origin: {stack.url}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    assert answer(stack, upgrade) == b"HTTP/1.1 403 Forbidden"


def test_a_stop_ends_the_pages_with_the_code_for_a_restart(tmp_path: Path) -> None:
    with running_stack(tmp_path / "data") as stack:
        (session,) = stack.people(1)
        headers = {"Cookie": f"session={session}"}
        address = f"ws://127.0.0.1:{stack.port}/ws/"
        with connect(address, additional_headers=headers, origin=Origin(stack.url), proxy=None) as page:
            web = stack.child("web")
            assert web
            web.terminate()
            with pytest.raises(ConnectionClosedError) as closed:
                page.recv(timeout=15)
            assert closed.value.rcvd
            assert closed.value.rcvd.code == 1012
