"""Presets: who keeps and uses them, what they ask of the model, and that a reply keeps what it was asked with."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.test import Client
from django.urls import reverse

from chat.models import Audit, Conversation, Folder, Generation, Preset, Quota, Worker
from chat.reply import _prompt
from chat.worker import InferenceWorker
from tests.chat.people import auditor, signed_in
from tests.conftest import World, wait_for

HTMX = {"HX-Request": "true"}
FIELDS = {"name": "Pirate", "icon": "🦜", "model": "", "system_prompt": "Talk like a pirate."}


@pytest.fixture
def preset(world: World) -> Preset:
    return Preset.objects.create(owner=world.owner, temperature=0.25, enable_thinking=False, **FIELDS)


def send(client: Client, chosen: str, path: str = "/c/", text: str = "Hello", **fields: str) -> Any:
    return client.post(path, {"client_id": uuid4().hex, "text": text, "model": chosen, **fields}, headers=HTMX)


def newest() -> Generation:
    return Generation.objects.select_related("message").latest("id")


def ended() -> Generation:
    return wait_for(lambda: newest() if newest().is_over else None)  # type: ignore[no-any-return]


def said(generation: Generation) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in _prompt(generation)]


def test_a_preset_is_made_changed_and_deleted_by_its_owner_alone(world: World, preset: Preset) -> None:
    owner = signed_in(world.owner)
    for stranger in (world.team_mate, world.outsider, world.admin):
        client = signed_in(stranger)
        for name in ("preset_update", "preset_delete"):
            assert client.post(reverse(name, args=[preset.id]), {**FIELDS, "name": "Mine"}).status_code == 404, name
        assert "Pirate" not in client.get(reverse("presets")).content.decode()
        assert "Pirate" not in client.get("/").content.decode()
        refused = send(client, preset.choice)
        assert (refused.status_code, "This preset is gone" in refused.content.decode()) == (422, True)
    assert not Generation.objects.exists()
    assert Preset.objects.filter(owner=world.owner).get().name == "Pirate"

    assert "🦜 Pirate" in owner.get(reverse("presets")).content.decode()
    edit = reverse("preset_update", args=[preset.id])
    assert "Talk like a pirate." in owner.get(edit).content.decode()
    assert owner.post(edit, {**FIELDS, "name": " Captain  Hook ", "top_p": "0.5"})["Location"] == reverse("presets")
    changed = Preset.objects.get(id=preset.id)
    assert (changed.name, changed.top_p, changed.temperature, changed.owner) == ("Captain Hook", 0.5, None, world.owner)
    owner.post(reverse("preset_create"), {**FIELDS, "is_for_all": "on"})
    assert Preset.objects.filter(name="Pirate").get().owner == world.owner, "only administrators speak for all"
    owner.post(reverse("preset_delete", args=[preset.id]))
    assert set(Preset.objects.filter(owner=world.owner).values_list("name", flat=True)) == {"Pirate"}
    assert not Audit.objects.filter(object_type="preset").exists()


def test_administrators_make_presets_for_all_and_the_audit_log_says_so(world: World) -> None:
    admin, mate = signed_in(world.admin), signed_in(world.team_mate)
    admin.post(reverse("preset_create"), {**FIELDS, "is_for_all": "on"})
    preset = Preset.objects.get(name="Pirate", owner=None)
    edit, delete = (reverse(name, args=[preset.id]) for name in ("preset_update", "preset_delete"))
    for client in (mate, signed_in(world.outsider), signed_in(auditor(world.owner.password))):
        page = client.get(reverse("presets")).content.decode()
        assert ("🦜 Pirate" in page, edit in page) == (True, False)
        assert preset.choice in client.get("/").content.decode()
        assert [client.post(address, FIELDS).status_code for address in (edit, delete)] == [404, 404]
    assert send(mate, preset.choice).status_code == 200
    assert newest().system_prompt == "Talk like a pirate."
    admin.post(edit, {**FIELDS, "icon": "🏴", "is_for_all": "on"})
    admin.post(delete)
    lines = Audit.objects.filter(object_type="preset").order_by("id").values_list("act", "actor", "object_name")
    assert list(lines) == [(f"preset.{act}", "ada@example.org", "Pirate") for act in ("added", "changed", "deleted")]


def test_what_cannot_be_is_refused_in_words(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in(world.owner)
    for fields, words in (
        ({"name": " "}, "This field is required"),
        ({"name": "x" * 81}, "at most 80 characters"),
        ({"icon": "word"}, "not a word"),
        ({"model": "nobody/knows"}, "not one of the available choices"),
        ({"system_prompt": "x" * 8001}, "at most 8000 characters"),
        ({"temperature": "3"}, "less than or equal to 2"),
        ({"temperature": "nan"}, "Enter a number"),
        ({"top_p": "0"}, "greater than or equal to 0.01"),
        ({"max_tokens": "1000000"}, "less than or equal to 4096"),
        ({"thinking_budget": "100"}, "needs thinking to be on"),
    ):
        answer = client.post(reverse("preset_create"), {**FIELDS, **fields})
        assert (answer.status_code, words in answer.content.decode()) == (422, True), fields
    monkeypatch.setattr(Preset, "MOST", 1)
    assert client.post(reverse("preset_create"), FIELDS).status_code == 302
    assert "that is the most" in client.post(reverse("preset_create"), FIELDS).content.decode()
    assert Preset.objects.filter(owner=world.owner).count() == 1


def test_a_preset_is_filled_in_by_the_server_when_it_is_asked(world: World, preset: Preset) -> None:
    client = signed_in(world.owner)
    forged = {"system_prompt": "Tell all.", "asked_sampling": "{}", "thinking": "on", "thinking_budget": "512"}
    send(client, preset.choice, **forged)
    asked = newest()
    assert (asked.system_prompt, asked.asked_sampling) == ("Talk like a pirate.", {"temperature": 0.25})
    assert (asked.enable_thinking, asked.thinking_budget, asked.asked_model) == (False, None, "")

    Preset.objects.filter(id=preset.id).update(enable_thinking=None, system_prompt="Sing.")
    Generation.objects.update(status="completed")
    send(client, preset.choice, f"/c/{Conversation.objects.get().id}/messages/", **forged)
    assert (newest().enable_thinking, newest().thinking_budget) == (True, 512), "left open, so the person says it"
    assert [each.system_prompt for each in Generation.objects.order_by("id")] == ["Talk like a pirate.", "Sing."]
    for nonsense in ("preset:", "preset:x", f"preset:{uuid4()}"):
        assert send(client, nonsense).status_code == 422


def test_a_preset_names_its_model_and_is_refused_where_that_is_gone(world: World, preset: Preset) -> None:
    Worker.objects.create(name="a", state=Worker.State.READY, model="small")
    Preset.objects.filter(id=preset.id).update(model="small")
    client = signed_in(world.owner)
    assert send(client, preset.choice).status_code == 200
    assert newest().asked_model == "small"
    Preset.objects.filter(id=preset.id).update(model="large")
    assert "There is no model “large” here" in send(client, preset.choice).content.decode()
    assert '<option value="large" selected' in client.get(reverse("preset_update", args=[preset.id])).content.decode()


def test_the_folder_speaks_first_then_the_preset_in_one_system_message(world: World, preset: Preset) -> None:
    folder = Folder.objects.create(owner=world.owner, name="Ship", system_prompt="The ship is called Argo.")
    client = signed_in(world.owner)
    send(client, preset.choice, f"/c/?folder={folder.id}")
    assert said(newest()) == [("system", "The ship is called Argo.\n\nTalk like a pirate."), ("user", "Hello")]
    Conversation.objects.get().move_to(None)
    assert said(newest()) == [("system", "Talk like a pirate."), ("user", "Hello")]
    send(client, "", f"/c/?folder={folder.id}")
    assert said(newest()) == [("system", "The ship is called Argo."), ("user", "Hello")]


def test_a_chat_keeps_its_preset_and_a_new_one_begins_without(world: World, preset: Preset) -> None:
    Worker.objects.create(name="a", state=Worker.State.READY, model="small", has_thinking=True)
    client = signed_in(world.owner)
    send(client, preset.choice)
    Generation.objects.update(status="completed")
    chosen = f'<option value="{preset.choice}" selected'
    address = f"/c/{Conversation.objects.get().id}"
    page = " ".join(client.get(address).content.decode().split())
    assert chosen in page
    assert '<fieldset class="choices__row" disabled hidden>' in page, "the preset says how much is thought"
    assert 'aria-pressed="true">Thinking' in page, "and says nothing to what is chosen next"
    assert chosen not in " ".join(client.get("/").content.decode().split())
    assert chosen in " ".join(client.get(f"/?model={preset.choice}").content.decode().split())

    Preset.objects.filter(id=preset.id).update(enable_thinking=None)
    assert "disabled hidden" not in client.get(address).content.decode().split("choices__row")[1][:40]
    client.post(reverse("preset_delete", args=[preset.id]))
    assert client.get(address).status_code == 200
    details = client.get(reverse("reply_details", args=[newest().message.conversation_id, newest().message_id]))
    assert "🦜 Pirate" in details.content.decode()


def test_other_replies_and_versions_are_asked_for_in_the_same_way(world: World, preset: Preset) -> None:
    client = signed_in(world.owner)
    send(client, preset.choice)
    first = Generation.objects.select_related("message__parent").get()
    assert first.message.parent
    preset.delete()
    where = [first.message.conversation_id, first.message.parent.id]
    for name, fields in (
        ("reply_create", {"instead_of": str(first.message_id)}),
        ("version_create", {"text": "In other words"}),
    ):
        Generation.objects.update(status="completed")
        answer = client.post(reverse(name, args=where), {"client_id": uuid4().hex, **fields}, headers=HTMX)
        assert answer.status_code == 200
        again = newest()
        assert again != first
        assert again.again() == first.again()
        assert (again.preset_name, again.system_prompt) == ("🦜 Pirate", "Talk like a pirate.")


def test_a_version_is_asked_of_any_model_where_that_of_the_first_is_gone(world: World) -> None:
    Worker.objects.create(name="a", state=Worker.State.READY, model="small")
    turn = Conversation.start(world.owner, "Hello", "c1", asked_model="small", enable_thinking=False)
    Generation.objects.update(status="completed")
    Worker.objects.all().delete()
    address = reverse("version_create", args=[turn.message.conversation_id, turn.message.id])
    assert signed_in(world.owner).post(address, {"client_id": "v", "text": "Hi"}, headers=HTMX).status_code == 200
    assert (newest().asked_model, newest().enable_thinking) == ("", False)


def test_the_model_samples_as_the_preset_says_and_runs_again_exactly_though_it_changed(
    world: World, worker: InferenceWorker, preset: Preset
) -> None:
    Preset.objects.filter(id=preset.id).update(max_tokens=9, enable_thinking=True, thinking_budget=2)
    client = signed_in(world.owner)
    send(client, preset.choice, text="[[tokens=30;reasoning=5]] Hello")
    first = ended()
    assert (first.sampling["temperature"], first.sampling["max_tokens"], first.reasoning_tokens) == (0.25, 9, 2)
    assert first.sampling["top_p"] == 0.8, "what it leaves open is as the model's makers recommend"
    assert (first.finish_reason, first.completion_tokens) == ("length", 9)

    Preset.objects.filter(id=preset.id).update(
        temperature=2, max_tokens=1, system_prompt="Sing.", enable_thinking=False
    )
    where = [first.message.conversation_id, first.message_id]
    client.post(reverse("repetition_create", args=where), {"client_id": "r"}, headers=HTMX)
    again = ended()
    assert again != first
    assert (again.sampling, again.system_prompt, again.message.text) == (
        first.sampling,
        first.system_prompt,
        first.message.text,
    )
    assert "Run again: the same text" in client.get(f"/c/{where[0]}").content.decode()


def test_the_server_limits_what_a_preset_lets_a_reply_be(world: World, preset: Preset) -> None:
    Preset.objects.filter(id=preset.id).update(max_tokens=100_000)
    send(signed_in(world.owner), preset.choice)
    assert newest().asked_sampling["max_tokens"] == 4096


def test_what_a_preset_tells_the_model_counts_against_the_quota(world: World, preset: Preset) -> None:
    Quota.objects.create(most=1_000_000)
    reserved = []
    for system_prompt in ("", "x" * 700):
        Preset.objects.filter(id=preset.id).update(system_prompt=system_prompt)
        send(signed_in(world.owner), preset.choice)
        reserved.append(newest().reserved_tokens)
    assert reserved[1] - reserved[0] == 700


def test_every_server_begins_with_presets_for_all_in_the_readers_language(world: World) -> None:
    Preset.objects.all().delete()
    import_module("chat.migrations.0010_presets").add_starters(apps, None)
    page = signed_in(world.outsider).get(reverse("presets")).content.decode()
    for name in ("Coding and debugging", "Writing and SEO", "Summarising documents", "Explaining and tutoring"):
        assert name in page
    assert Preset.objects.filter(owner=None, system_prompt__gt="").count() == 6
    for starter in Preset.objects.all():
        assert str(starter.title) == starter.name
        starter.clean_fields()


def test_strangers_are_sent_to_sign_in(world: World, preset: Preset) -> None:
    for name in ("presets", "preset_create"):
        assert Client().get(reverse(name)).status_code == 302, name
    for name in ("preset_update", "preset_delete"):
        assert Client().post(reverse(name, args=[preset.id]), FIELDS).status_code == 302, name
    assert Preset.objects.filter(id=preset.id).exists()
