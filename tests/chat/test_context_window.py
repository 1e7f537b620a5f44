"""A message that no model could read is refused before it waits; a conversation too long says what was left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from chat.context_window import refuse_over_long
from chat.models import Conversation, Generation
from chat.refused import Refused
from chat.worker import InferenceWorker
from inference import catalog
from inference.prompt import Prompter
from tests.conftest import World, wait_for

WORD = "hello "


@pytest.mark.model
def test_an_over_long_message_is_refused_with_both_numbers(default_model_dir: Path, settings: Any) -> None:
    settings.MODEL = str(default_model_dir)
    limit = Prompter(default_model_dir).max_prompt_tokens

    refuse_over_long(WORD * (limit - 200))
    with pytest.raises(Refused) as refused:
        refuse_over_long(WORD * (limit + 1))
    counted, allowed = (int(number.replace(",", "")) for number in re.findall(r"[\d,]{4,}", str(refused.value)))
    assert allowed == limit == catalog.max_prompt_tokens(default_model_dir)
    assert counted > limit


@pytest.mark.model
def test_a_refused_message_stores_nothing_and_is_given_back(
    world: World, default_model_dir: Path, settings: Any
) -> None:
    settings.MODEL = str(default_model_dir)
    client = Client()
    client.force_login(world.owner)
    fields = {"client_id": "0190b0a0-0000-7000-8000-000000000001", "text": "词 " * 60_000}
    answer = client.post("/c/", fields)

    assert answer.status_code == 422
    assert "tokens; the model can read" in answer.content.decode()
    assert not Conversation.objects.exists()


def test_a_conversation_that_is_too_long_says_how_much_was_left_out(world: World, worker: InferenceWorker) -> None:
    turn = Conversation.start(world.owner, "[[tokens=3]] Hello", "c1")
    wait_for(lambda: Generation.objects.filter(status="completed").exists())
    Generation.objects.update(num_dropped_messages=4)
    client = Client()
    client.force_login(world.owner)
    page = client.get(f"/c/{turn.message.conversation_id}").content.decode()

    assert "its 4 oldest messages were left out" in page
