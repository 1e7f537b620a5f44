"""Postgres from the event loop and from long-lived threads: a connection is borrowed, used and given back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import close_old_connections, connections

P = ParamSpec("P")
T = TypeVar("T")

# Channels runs all database calls of all sockets in one thread; these have their own few.
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="database")


async def db(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that uses the ORM, from a coroutine."""
    return await asyncio.get_running_loop().run_in_executor(_threads, partial(_borrowed, function, *args, **kwargs))


def _borrowed(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    with borrowed():
        return function(*args, **kwargs)


@contextmanager
def borrowed() -> Iterator[None]:
    """Use the ORM inside; a connection that broke is replaced, and none is kept while nothing is asked."""
    close_old_connections()
    try:
        yield
    finally:
        connections.close_all()
