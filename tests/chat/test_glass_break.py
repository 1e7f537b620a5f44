"""What people write is closed to administrators, but for a glass-break: with a reason, for a while, in sight of all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin as django_admin
from django.db import DatabaseError, transaction
from django.utils import timezone

from chat.models import Audit, Conversation, Feedback, Folder, Generation, GlassBreak, Message, ShareLink, User
from chat.models.snapshot import Draft, Selection
from tests.chat.people import auditor, signed_in
from tests.conftest import World

SECRET = "thesecretplan"


def chat_of(person: User, text: str = f"{SECRET} one") -> Conversation:
    """A chat with a finished reply, whose words are all secret."""
    turn = Conversation.start(person, text, f"c{Generation.objects.count()}")
    Generation.objects.filter(id=turn.generation.id).update(status="completed", model="big")
    Message.objects.filter(id=turn.reply.id).update(
        text=f"{text} reply", html=f"<p>{text} reply</p>", reasoning=f"{text} thought"
    )
    return turn.reply.conversation


def broken(world: World, person: User, conversation: Conversation | None = None, minutes: int = 15) -> str:
    """Break the glass by the form, and where it leads."""
    fields = {
        "person": str(person.id),
        "conversation_id": str(conversation.id) if conversation else "",
        "reason": "A complaint of 3 March",
        "minutes": str(minutes),
    }
    answer = signed_in(world.admin).post("/admin/chat/glassbreak/add/", fields)
    assert answer.status_code == 302, answer.content.decode()
    return str(answer["Location"])


def acts() -> list[str]:
    return list(Audit.objects.order_by("id").values_list("act", flat=True))


def test_no_page_of_the_admin_shows_a_word_that_people_wrote(world: World) -> None:
    conversation = chat_of(world.owner)
    Conversation.objects.filter(id=conversation.id).update(folder=Folder.objects.create(owner=world.owner, name=SECRET))
    conversation.refresh_from_db()
    Feedback.vote(Message.objects.get(role="assistant"), "down")
    draft = Draft(Message.objects.select_related("conversation__owner").get(role="assistant"))
    ShareLink.create(draft, Selection(), audience="members", people=[], days=3, password="", is_live=False)
    client = signed_in(world.admin)
    client.post(f"/admin/chat/user/{world.team_mate.id}/delete/", {"post": "yes"})
    addresses = ["/admin/", "/admin/ledger/", "/admin/usage/"]
    for model, registered in django_admin.site._registry.items():
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        addresses.append(base)
        for row in registered.get_queryset(client.get("/admin/").wsgi_request)[:3]:
            addresses += [f"{base}{row.pk}/{page}/" for page in ("change", "delete", "history")]
    assert len(addresses) > 20
    for address in addresses:
        assert SECRET not in client.get(address).content.decode(), address
    for address in (f"/c/{conversation.id}", f"/c/{conversation.id}/messages/"):
        assert client.get(address).status_code == 404


def test_breaking_the_glass_opens_one_chat_for_its_reader_alone(world: World) -> None:
    one, other = chat_of(world.owner), chat_of(world.owner, "another matter")
    mates = chat_of(world.team_mate, "the mate's own")
    page = broken(world, world.owner, one)
    reader = signed_in(world.admin)
    assert "There is no chat" not in reader.get(page).content.decode()
    assert str(other.id) not in reader.get(page).content.decode()
    html = reader.get(f"{page}c/{one.id}/").content.decode()
    assert f"{SECRET} one reply" in html
    assert "Regenerate" not in html
    for hidden in (other, mates):
        assert reader.get(f"{page}c/{hidden.id}/").status_code == 404
    second = User.objects.create(email="second@example.org", name="S", is_staff=True, is_superuser=True)
    for stranger, status in ((auditor(), 404), (second, 404), (world.owner, 302), (world.outsider, 302)):
        for address in (page, f"{page}c/{one.id}/"):
            assert signed_in(stranger).get(address).status_code == status, stranger.email
        assert signed_in(stranger).post(f"{page}end/").status_code == status
    assert reader.get(f"/c/{one.id}").status_code == 404, "everything else stays closed"

    assert acts() == ["glassbreak.begun", "glassbreak.read"]
    begun, read = Audit.objects.order_by("id")
    assert (begun.actor, begun.object_name) == (world.admin.email, world.owner.email)
    assert begun.details["reason"] == "A complaint of 3 March"
    assert (begun.details["scope"], read.details["read"]) == (str(one.id), str(one.id))
    assert SECRET not in str(list(Audit.objects.values()))
    with pytest.raises(DatabaseError, match="only added to"), transaction.atomic():
        Audit.objects.filter(act="glassbreak.begun").delete()


def test_the_right_ends_with_its_time_by_hand_and_with_the_role(world: World) -> None:
    one = chat_of(world.owner)
    reader = signed_in(world.admin)
    page = broken(world, world.owner, minutes=60)
    glass = GlassBreak.objects.get()
    assert glass.expires_at - glass.created_at == timedelta(minutes=60)
    assert str(one.id) in reader.get(page).content.decode()

    GlassBreak.objects.update(expires_at=timezone.now())
    assert reader.get(page).status_code == reader.get(f"{page}c/{one.id}/").status_code == 404
    page = broken(world, world.owner)
    assert reader.post(f"{page}end/").status_code == 302
    assert reader.get(page).status_code == 404
    assert acts()[-1] == "glassbreak.ended"
    page = broken(world, world.owner)
    User.objects.filter(id=world.admin.id).update(is_superuser=False)
    assert reader.get(page).status_code == 404, "no administrator any more"


def test_the_person_is_told_on_every_page_until_they_say_that_they_know(world: World) -> None:
    one = chat_of(world.owner)
    page = broken(world, world.owner, one)
    glass = GlassBreak.objects.get()
    owner = signed_in(world.owner)
    for address in ("/", f"/c/{one.id}", "/settings/links/", "/settings/usage/"):
        html = owner.get(address).content.decode()
        assert "Ada (ada@example.org) was given the right to read your chats" in html, address
        assert "A complaint of 3 March" in html
        assert 'role="alert"' in html[html.index("notices__item--error") :][:60]
    address = f"/readings/{glass.id}/acknowledgement/"
    for stranger in (world.team_mate, world.outsider, world.admin):
        assert "was given the right" not in signed_in(stranger).get("/").content.decode()
        assert signed_in(stranger).post(address).status_code == 404
    GlassBreak.objects.update(expires_at=timezone.now())
    assert "was given the right" in owner.get("/").content.decode(), "also when it is over"

    assert owner.post(address, {"next": f"/c/{one.id}"})["Location"] == f"/c/{one.id}"
    assert "was given the right" not in owner.get("/").content.decode()
    assert acts() == ["glassbreak.begun", "glassbreak.acknowledged"]
    owner.post(address)
    assert len(acts()) == 2
    assert signed_in(world.admin).get(page).status_code == 404


def test_there_is_no_breaking_without_a_reason_a_person_and_a_time(world: World) -> None:
    mine = chat_of(world.team_mate)
    good = {"person": str(world.owner.id), "conversation_id": "", "reason": "Because", "minutes": "15"}
    client = signed_in(world.admin)
    wrong: list[dict[str, Any]] = [
        {"reason": "  "},
        {"person": ""},
        {"minutes": "100000"},
        {"minutes": ""},
        {"conversation_id": str(mine.id)},
    ]
    for changed in wrong:
        assert client.post("/admin/chat/glassbreak/add/", {**good, **changed}).status_code == 200, changed
    for refused, status in ((auditor(), 403), (world.owner, 302)):
        assert signed_in(refused).post("/admin/chat/glassbreak/add/", good).status_code == status
    assert not GlassBreak.objects.exists()
    assert acts() == []
    broken(world, world.owner)
    glass = GlassBreak.objects.get()
    for page in ("change", "delete"):
        assert client.post(f"/admin/chat/glassbreak/{glass.id}/{page}/", {"post": "yes"}).status_code == 403
    listed = signed_in(User.objects.get(email="aud@example.org")).get("/admin/chat/glassbreak/").content.decode()
    assert "Because" not in listed
    assert "A complaint of 3 March" in listed
