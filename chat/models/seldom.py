from __future__ import annotations

import time
from typing import Any, ClassVar

from django.db import models


class Seldom(models.Model):
    """Rows of a kind that most servers have none of: that there are none is known for a while without a query.

    What is made in another process is heard of within `EMPTY_FOR_S`.
    """

    EMPTY_FOR_S = 5.0
    _empty_until: ClassVar[float] = 0.0

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        super().save(*args, **kwargs)
        type(self)._empty_until = 0.0

    @classmethod
    def are_none(cls) -> bool:
        if time.monotonic() < cls._empty_until:
            return True
        if cls._base_manager.exists():
            return False
        cls._empty_until = time.monotonic() + cls.EMPTY_FOR_S
        return True
