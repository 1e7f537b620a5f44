"""Connections to Valkey: one place for addresses and time-outs."""

from __future__ import annotations

import sys
from contextlib import suppress
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


def refuse_eviction() -> None:
    """Leave the process with a sentence where Valkey may throw keys away: words of replies are among them.

    One that is away, or keeps its settings to itself, is not asked again.
    """
    with suppress(redis.RedisError):
        policy = short_client().info("memory").get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            sys.exit(f"Valkey may throw away what is still needed: set its maxmemory-policy, {policy}, to noeviction.")


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
