from __future__ import annotations

from typing import Any

from django.db import models


class Imported(models.Model):
    """What a file said of a reply that was imported: `from` names the program that wrote the file. It is null for a
    reply that was made here. It stands apart from the fields of a generation, as nobody here knows it to be true: no
    model here made the reply, so none is named, and no usage is counted."""

    imported = models.JSONField(null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def shown_model(self) -> str:
        """The model that made the reply, as far as is known."""
        model = self.imported.get("model") if self.imported else getattr(self, "model", "")
        return model if isinstance(model, str) else ""

    @property
    def said(self) -> list[tuple[str, Any]]:
        """What the file said, name by name, for who looks into it."""
        told = self.imported or {}
        return [(name, value) for name, value in told.items() if name != "from" and not isinstance(value, dict | list)]
