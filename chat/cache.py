"""What all web processes remember together for a while, such as how often somebody tried a password."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import redis
import structlog
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.cache.backends.locmem import LocMemCache
from redis.exceptions import RedisError

from chat import valkey

T = TypeVar("T")

AWAY_S = 2.0

log = structlog.get_logger()


class SharedCache(BaseCache):
    """Django's cache in Valkey, as JSON, so that nothing that lies there is ever run.

    While Valkey is away each process remembers for itself: a limit is then wider, and nobody is shut out.
    """

    alone_until = 0.0

    def __init__(self, _location: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._alone = LocMemCache("alone", params)

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        def there(client: redis.Redis) -> Any:
            found = client.get(self.make_key(key, version))
            return default if found is None else json.loads(str(found))

        return self._do(there, lambda: self._alone.get(key, default, version))

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        self._do(
            lambda client: client.set(self.make_key(key, version), json.dumps(value), px=self._ms(timeout)),
            lambda: self._alone.set(key, value, timeout, version),
        )

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self._do(
            lambda client: bool(
                client.set(self.make_key(key, version), json.dumps(value), px=self._ms(timeout), nx=True)
            ),
            lambda: self._alone.add(key, value, timeout, version),
        )

    def delete(self, key: str, version: int | None = None) -> bool:
        return self._do(
            lambda client: bool(client.delete(self.make_key(key, version))), lambda: self._alone.delete(key, version)
        )

    def clear(self) -> None:
        self._alone.clear()
        for key in valkey.client().scan_iter(f"{self.key_prefix}:*"):
            valkey.client().delete(key)

    def _ms(self, timeout: Any) -> int | None:
        """How long it is remembered; None is until it is deleted."""
        seconds = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return None if seconds is None else max(1, int(seconds * 1000))

    @staticmethod
    def _do(there: Callable[[redis.Redis], T], alone: Callable[[], T]) -> T:
        """Valkey is asked no more for a while after it did not answer, so that a page waits for it once."""
        if time.monotonic() >= SharedCache.alone_until:
            try:
                return there(valkey.client())
            except RedisError as error:
                SharedCache.alone_until = time.monotonic() + AWAY_S
                log.warning("cache.alone", error=type(error).__name__)
        return alone()
