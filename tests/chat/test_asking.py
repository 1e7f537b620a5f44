"""A question becomes a message, an empty reply and a queued generation: all of them or none, once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import connections

from chat.models import Conversation, Generation, Message, Refused
from tests.conftest import World


def test_I1_a_question_is_stored_with_its_reply_and_generation(world: World) -> None:
    turn = Conversation.start(world.owner, "How do I sort a list?", "c1")

    assert [message.text for message in turn.message.conversation.branch()] == ["How do I sort a list?", ""]
    assert turn.generation.status == "queued"
    assert turn.reply.parent == turn.message


def test_I2_the_same_client_id_fifty_times_at_once_makes_one_message(world: World) -> None:
    conversation = Conversation.start(world.owner, "First", "c1").message.conversation
    Generation.objects.update(status="completed")

    def send(_: int) -> str:
        try:
            return str(Conversation.objects.get(id=conversation.id).ask("Second", "c2").message.id)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        ids = set(threads.map(send, range(50)))

    assert len(ids) == 1
    assert Message.objects.filter(text="Second").count() == 1
    assert Generation.objects.count() == 2


def test_I2_the_same_client_id_starts_one_conversation(world: World) -> None:
    first = Conversation.start(world.owner, "Hello", "c1")
    again = Conversation.start(world.owner, "Hello", "c1")

    assert again.message.conversation == first.message.conversation
    assert Conversation.objects.count() == 1


def test_two_people_may_use_the_same_client_id(world: World) -> None:
    mine = Conversation.start(world.owner, "Hello", "c1")
    theirs = Conversation.start(world.team_mate, "Good day", "c1")

    assert mine.message.conversation != theirs.message.conversation


@pytest.mark.parametrize("blank", ["", "   ", "\n\t", "\u200b\u200b", "\u00a0", "\u200e", "\x00"])
def test_a_blank_message_is_refused(world: World, blank: str) -> None:
    with pytest.raises(Refused, match="Write something"):
        Conversation.start(world.owner, blank, "c1")
    assert not Conversation.objects.exists()


def test_hostile_characters_are_removed_and_everything_else_is_kept(world: World) -> None:
    text = "a\x00b \ud800 \U0001f468\u200d\U0001f469 e\u0301 \u202eabc"
    turn = Conversation.start(world.owner, text, "c1")

    turn.message.refresh_from_db()
    assert turn.message.text == "ab  \U0001f468\u200d\U0001f469 e\u0301 \u202eabc"


def test_a_message_that_is_far_too_long_is_refused_with_both_numbers(world: World) -> None:
    with pytest.raises(Refused, match=r"200,001 characters.*200,000"):
        Conversation.start(world.owner, "x" * 200_001, "c1")


def test_a_question_waits_for_the_reply_above_it(world: World) -> None:
    conversation = Conversation.start(world.owner, "Hello", "c1").message.conversation

    with pytest.raises(Refused, match="still being written"):
        conversation.ask("And?", "c2")


def test_a_question_below_a_message_of_another_conversation_is_refused(world: World) -> None:
    other = Conversation.start(world.team_mate, "Secret", "c1")
    mine = Conversation.start(world.owner, "Hello", "c1").message.conversation

    with pytest.raises(Refused, match="is gone"):
        mine.ask("And?", "c2", parent=other.reply.id)


def test_replying_again_puts_a_sibling_beside_the_first_reply(world: World) -> None:
    turn = Conversation.start(world.owner, "Hello", "c1")
    Generation.objects.update(status="interrupted")
    again = turn.message.conversation.reply_again(turn.message, "c2")

    assert again.reply.parent_id == turn.message.id
    assert turn.message.conversation.reply_again(turn.message, "c2").reply == again.reply
    conversation = Conversation.objects.get()
    assert conversation.branch() == [turn.message, again.reply]
    assert Message.objects.count() == 3


def test_a_title_comes_from_the_first_words_and_a_manual_one_stays(world: World) -> None:
    conversation = Conversation.start(world.owner, "How do I **sort** a list?", "c1").message.conversation
    assert conversation.title == "How do I sort a list?"

    conversation.rename("  Sorting \n lists ")
    conversation.refresh_from_db()
    assert (conversation.title, conversation.has_manual_title) == ("Sorting lists", True)
    with pytest.raises(Refused):
        conversation.rename("  ")
    with pytest.raises(Refused, match="200 characters"):
        conversation.rename("x" * 201)


def test_removing_a_conversation_removes_everything_in_it_but_usage(world: World) -> None:
    conversation = Conversation.start(world.owner, "Hello", str(uuid4())).message.conversation
    conversation.remove()

    assert not Message.objects.exists()
    assert not Generation.objects.exists()
