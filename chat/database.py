"""Postgres from the event loop and from long-lived threads: a connection is borrowed, used and given back; and SQL that
is asked so often that Postgres and Python prepare it once."""

from __future__ import annotations

import asyncio
import select
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

import psycopg
from django.conf import settings
from django.db import InterfaceError, InternalError, OperationalError, close_old_connections, connection, connections

P = ParamSpec("P")
T = TypeVar("T")

AWAY = OperationalError, InterfaceError, InternalError
"""What Django raises while Postgres is away or, as its disk is full, falls down with the question in its hands."""

# Apart, so that slow pages never hold up the sockets.
NUM_PAGE_THREADS = 8
PAGES = ThreadPoolExecutor(max_workers=NUM_PAGE_THREADS, thread_name_prefix="page")
SOCKETS = ThreadPoolExecutor(max_workers=4, thread_name_prefix="socket")
_num_calls = 0


async def db(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that uses the ORM, from a coroutine of a socket or of the hub."""
    return await db_in(SOCKETS, function, *args, **kwargs)


async def db_in(threads: ThreadPoolExecutor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that uses the ORM, from a coroutine, in one of a few threads."""
    global _num_calls
    call = partial(_kept, function, *args, **kwargs)
    _num_calls += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, copy_context().run, call)
    finally:
        _num_calls -= 1


def warm_up() -> None:
    """Begin to open the connections of the page threads, so that the first rush after a start finds them open."""
    if settings.HAS_DATABASE_POOL:
        together = threading.Barrier(NUM_PAGE_THREADS)
        for _ in range(NUM_PAGE_THREADS):
            PAGES.submit(_open, together)


def _open(together: threading.Barrier) -> None:
    with kept():
        connection.ensure_connection()
    together.wait(timeout=5)  # or one thread would take the place of two


def num_calls() -> int:
    """How many calls of `db` run or wait."""
    return _num_calls


def _kept(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    with kept():
        return function(*args, **kwargs)


@contextmanager
def kept() -> Iterator[None]:
    """Use the ORM inside, in one of the few threads that live as long as the process: they keep what they borrow.

    Without a pool nothing is kept: somebody else pools, and counts on it.
    """
    if not settings.HAS_DATABASE_POOL:
        with borrowed():
            yield
        return
    if _is_cut_off():
        connection.close()
    try:
        yield
    finally:
        if connection.errors_occurred:
            connection.close()


@contextmanager
def borrowed() -> Iterator[None]:
    """Use the ORM inside; a connection that broke is replaced, and none is kept while nothing is asked."""
    close_old_connections()
    try:
        yield
    finally:
        connections.close_all()


def _is_cut_off() -> bool:
    """Whether Postgres has said something to this thread's idle connection: that can only be a farewell."""
    raw = connection.connection
    if raw is None or raw.closed:
        return raw is not None
    ready = select.poll()
    ready.register(raw.fileno(), select.POLLIN)
    return bool(ready.poll(0))


def execute(sql: str, params: Sequence[Any] | Mapping[str, Any]) -> psycopg.Cursor[tuple[Any, ...]]:
    """Execute SQL that each connection prepares once; measured, a quarter of what a query set costs both sides.

    Behind somebody else's pool it is not prepared: the next statement may come to another server process.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors:
        return psycopg.Cursor(connection.connection).execute(sql, params, prepare=settings.HAS_DATABASE_POOL)
