"""A long conversation, written straight into the database of a running stack."""

from __future__ import annotations

from tests.stack import RunningStack

PROGRAM = """
from django.contrib.auth import SESSION_KEY
from chat.markdown import render
from chat.models import Conversation, Generation, Message, User
from chat.sessions import SessionStore
user = User.objects.get(id=SessionStore({session!r})[SESSION_KEY])
conversation = Conversation.objects.create(owner=user, title="Long")
parent, messages, generations = None, [], []
for i in range({num}):
    role, text = ("assistant", f"Answer **{{i}}**\\n\\n" + "Words. " * 60) if i % 2 else ("user", f"Question {{i}}")
    parent = Message(conversation=conversation, parent=parent, role=role, text=text, html=render(text))
    messages.append(parent)
    if role == "assistant":
        run = {{"requested_by": user, "client_id": str(parent.id), "status": "completed"}}
        generations.append(Generation(message=parent, **run))
Message.objects.bulk_create(messages)
Generation.objects.bulk_create(generations)
conversation.active_leaf = parent
conversation.save()
result = [f"/c/{{conversation.id}}", str(messages[10].id)]
"""


def long_chat(stack: RunningStack, session: str, num: int) -> tuple[str, str]:
    """A conversation with so many messages of whose session this is; its address and the id of the eleventh message."""
    address, eleventh = stack.run(PROGRAM.format(session=session, num=num))
    return address, eleventh
