from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin


class Values(admin.AllValuesFieldListFilter):
    """All values of a column to filter by; the empty one has a name too."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield {**choice, "display": choice["display"] or self.empty_value_display}
