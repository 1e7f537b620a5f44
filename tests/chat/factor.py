"""A phone with an authenticator app, as far as the tests need one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
import time

from django.test import Client


def code_of(secret: str, at: float | None = None) -> str:
    """The six digits that an app shows for this secret, now or at some time (RFC 6238)."""
    counter = int(time.time() if at is None else at) // 30
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", counter), hashlib.sha1).digest()
    number = struct.unpack(">I", digest[(place := digest[-1] & 15) : place + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


def set_up(client: Client) -> tuple[str, list[str]]:
    """Set up an app as the page says; its secret and the recovery codes."""
    page = client.get("/accounts/factor/totp/activate/").content.decode()
    [secret] = re.findall(r"<code[^>]*>([A-Z2-7]{32})</code>", page)
    answer = client.post("/accounts/factor/totp/activate/", {"code": code_of(secret)})
    assert answer["Location"] == "/accounts/factor/recovery-codes/", answer.content
    codes = re.findall(r"<li>(\d{8})</li>", client.get(answer["Location"]).content.decode())
    return secret, codes
