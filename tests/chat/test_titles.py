"""A chat has a title at once, a better one when the reply has a heading, and the one its owner gave it for good."""

from __future__ import annotations

import pytest

from chat.models import Conversation, Generation, Message, Turn
from chat.reply_stream import Told
from inference.contract import Finished
from tests.conftest import World


def answered(turn: Turn, text: str, reason: str = "stop") -> str:
    """The title of the chat when the reply is finished."""
    Generation.objects.filter(id=turn.generation.id).update(status="running")
    generation = Generation.objects.select_related("message").get(id=turn.generation.id)
    generation.finish(Told(text, ""), None, Finished(reason))  # type: ignore[arg-type]
    return Conversation.objects.get().title


@pytest.mark.parametrize(
    ("reply", "title"),
    [
        ("# Growing **tomatoes**\n\nThey want sun.", "Growing tomatoes"),
        ("\n### 阳台上的番茄\n", "阳台上的番茄"),
        ("## " + "word " * 20, "word " * 11 + "word…"),
        ("They want sun.\n\n# Later", "how do i grow tomatoes"),
        ("#hashtag", "how do i grow tomatoes"),
        ("#### Deep down", "how do i grow tomatoes"),
        ("```\n# a comment\n```", "how do i grow tomatoes"),
        ("", "how do i grow tomatoes"),
    ],
)
def test_H2_the_title_is_the_first_words_and_then_the_heading_of_the_reply(
    world: World, reply: str, title: str
) -> None:
    turn = Conversation.start(world.owner, "how do i grow tomatoes", "c1")
    assert Conversation.objects.get().title == "how do i grow tomatoes"
    assert answered(turn, reply) == title


def test_H2_a_name_that_somebody_gave_is_never_overwritten(world: World) -> None:
    turn = Conversation.start(world.owner, "how do i grow tomatoes", "c1")
    Conversation.objects.get().rename("how do i grow tomatoes")  # even where it is the same
    assert answered(turn, "# Growing tomatoes") == "how do i grow tomatoes"


def test_H2_only_a_whole_reply_to_the_first_question_names_a_chat(world: World) -> None:
    turn = Conversation.start(world.owner, "how do i grow tomatoes", "c1")
    assert answered(turn, "# Growing tomatoes", "cancelled") == "how do i grow tomatoes"
    conversation = Conversation.objects.get()
    later = conversation.ask("how do i grow tomatoes", "c2", parent=turn.reply.id)
    assert answered(later, "# The same again") == "how do i grow tomatoes"
    again = conversation.reply_again(Message.objects.get(id=turn.message.id), "c3")
    assert answered(again, "# Growing tomatoes") == "Growing tomatoes"
    once_more = conversation.reply_again(Message.objects.get(id=turn.message.id), "c4")
    assert answered(once_more, "# Tomatoes at last") == "Growing tomatoes"
