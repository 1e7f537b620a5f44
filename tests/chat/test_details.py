"""How a reply was made is told, and it can be made again exactly."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from chat.models import Conversation, Generation, Message, Turn
from chat.worker import InferenceWorker
from tests.chat.test_tree import HTMX, address, client, finish, post, signed_in, turn
from tests.conftest import World, wait_for

__all__ = ["client", "turn"]


def test_details_tell_how_a_reply_was_made(turn: Turn, client: Client) -> None:
    finish(
        turn,
        model="Qwen/Qwen9",
        revision="abc123",
        device="cuda:1",
        dtype="bfloat16",
        sampling={"temperature": 0.25, "top_k": 17},
        seed=4711,
        prompt_tokens=111,
        cached_tokens=99,
        completion_tokens=50,
        reasoning_tokens=12,
        queue_ms=21.4,
        prefill_ms=33,
        decode_ms=2000,
    )
    for headers in (HTMX, {}):
        html = " ".join(client.get(address("reply_details", turn.reply), headers=headers).content.decode().split())
        for told in (
            *("Qwen/Qwen9", "abc123", "cuda:1", "bfloat16", "temperature 0.25", "top_k 17", "4711", "25.0 tokens/s"),
            "111 read, 99 of them from the cache; 50 written, 12 of them thinking",
            "21 ms waiting, 33 ms reading, 2000 ms writing",
            "Run again exactly",
        ):
            assert told in html
    assert client.get(address("reply_details", turn.message)).status_code == 404


def wait_for_reply(client: Client, turn: Turn) -> str:
    """The page when its last reply has ended."""
    wait_for(lambda: not Generation.objects.open().exists())
    return client.get(reverse("conversation_detail", args=[turn.message.conversation_id])).content.decode()


def test_run_again_exactly_makes_the_same_text_and_says_so(world: World, worker: InferenceWorker) -> None:
    turn = Conversation.start(world.owner, "[[tokens=12;reasoning=3]] Hello", "c1")
    client = signed_in(world.owner)
    wait_for_reply(client, turn)
    first = Generation.objects.get()
    post(client, "repetition_create", turn.reply)
    page = wait_for_reply(client, turn)
    assert "Run again: the same text" in page
    again = Generation.objects.latest("id")
    assert (again.seed, again.sampling, again.repeats) == (first.seed, first.sampling, first)
    assert again.message.text == Message.objects.get(id=turn.reply.id).text != ""


def test_run_again_exactly_marks_the_first_difference(world: World, worker: InferenceWorker) -> None:
    turn = Conversation.start(world.owner, "[[say]]One two three", "c1")
    client = signed_in(world.owner)
    wait_for_reply(client, turn)
    Message.objects.filter(id=turn.reply.id).update(text="One too many")
    post(client, "repetition_create", turn.reply)
    page = " ".join(wait_for_reply(client, turn).split())
    assert "differs from character 6 on" in page
    assert "One t<mark>wo three</mark>" in page


def test_a_reply_that_was_made_in_pieces_is_not_run_again_exactly(turn: Turn, client: Client) -> None:
    for fields in ({"attempt": 2, "seed": 1}, {"status": "stopped", "seed": 1}, {"seed": None}):
        finish(turn, **fields)
        assert "Run again exactly" not in client.get(address("reply_details", turn.reply)).content.decode()
        answer = client.post(address("repetition_create", turn.reply), {"client_id": "r"}, headers=HTMX)
        assert (answer.status_code, "in one piece" in answer.content.decode()) == (422, True)
