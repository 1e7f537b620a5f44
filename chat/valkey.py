"""Connections to Valkey: one place for addresses and time-outs."""

from __future__ import annotations

from functools import cache

import redis
import redis.asyncio
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry


@cache
def client() -> redis.Redis:
    """The process's shared client for short commands."""
    return short_client(32)


def short_client(max_connections: int = 1) -> redis.Redis:
    """A client of one's own for short commands: they fail within a second, and nothing is retried in silence."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=1,
        socket_connect_timeout=1,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
        max_connections=max_connections,
    )


def listener() -> redis.Redis:
    """A client of its own for a thread that waits on a channel for as long as it takes."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=None,
        socket_connect_timeout=2,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


def async_client() -> redis.asyncio.Redis:
    """A client for one event loop; blocking reads bring their own limit."""
    return redis.asyncio.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=None,
        socket_connect_timeout=2,
        retry=redis.asyncio.retry.Retry(NoBackoff(), 0),
        decode_responses=True,
    )
