"""What the page says of the model while no answer can come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from inference import catalog
from inference.catalog import Entry
from inference.errors import ModelError
from inference.weights import Progress
from tests.conftest import World


def test_a_model_that_is_being_fetched_is_loading_for_who_waits(
    world: World, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATA_DIR = tmp_path
    client = Client()
    client.force_login(world.owner)
    shown: list[str] = []

    class Slow:
        origin, is_of_hub = "nowhere", False

        def fill(self, into: Path, workshop: Path, progress: Progress) -> str:
            shown.append(client.get(reverse("model")).content.decode())
            raise ModelError("It ends here.")

    entry = Entry("slow", "Slow", (Slow(),))
    with pytest.raises(ModelError):
        entry.fetch(tmp_path, lambda *_: None)
    assert "The model is loading" in shown[0]

    assert not catalog.is_fetching(tmp_path)
