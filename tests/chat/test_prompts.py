"""The prompt library: who keeps and uses which prompts, and how the composer gets them."""

from __future__ import annotations

import html
import re
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from chat.models import Audit, Prompt
from tests.chat.people import auditor, signed_in
from tests.conftest import World

HTMX = {"HX-Request": "true"}
TEXT = "Write to {{who}} about {{ topic }},\n<b>kindly</b> & {{tone: friendly}}; once more: {{who:nobody}}."


@pytest.fixture
def prompt(world: World) -> Prompt:
    return Prompt.objects.create(owner=world.owner, name="Letter", text=TEXT)


def offered(client: Client) -> list[str]:
    """The names in the menu of the composer."""
    page = client.get(reverse("prompt_choices"), headers=HTMX).content.decode()
    return re.findall(r'<span class="choosing__name">(.*?)</span>', page)


def test_a_prompt_is_made_changed_deleted_and_used_by_its_owner_alone(world: World, prompt: Prompt) -> None:
    for stranger in (world.team_mate, world.outsider, world.admin):
        client = signed_in(stranger)
        for name in ("prompt_update", "prompt_delete"):
            assert client.post(reverse(name, args=[prompt.id]), {"name": "x", "text": "x"}).status_code == 404, name
        assert client.get(reverse("prompt_filling", args=[prompt.id]), headers=HTMX).status_code == 404
        assert "Letter" not in client.get(reverse("prompts")).content.decode()
        assert offered(client) == []
    assert Prompt.objects.get().text == TEXT

    client = signed_in(world.owner)
    assert "Letter" in client.get(reverse("prompts")).content.decode()
    edit = reverse("prompt_update", args=[prompt.id])
    assert "{{ topic }}" in html.unescape(client.get(edit).content.decode())
    assert client.post(edit, {"name": " A  note ", "text": "Note: "})["Location"] == reverse("prompts")
    client.post(reverse("prompt_create"), {"name": "Bee", "text": "Buzz", "is_for_all": "on"})
    assert offered(client) == ["A note", "Bee"]
    assert Prompt.objects.get(name="Bee").owner == world.owner, "only administrators speak for all"
    client.post(reverse("prompt_delete", args=[prompt.id]))
    assert offered(client) == ["Bee"]
    assert not Audit.objects.exists()


def test_administrators_make_prompts_for_all_and_the_audit_log_says_so(world: World, prompt: Prompt) -> None:
    admin = signed_in(world.admin)
    admin.post(reverse("prompt_create"), {"name": "Minutes", "text": "Write minutes.", "is_for_all": "on"})
    minutes = Prompt.objects.get(name="Minutes", owner=None)
    edit, delete = (reverse(name, args=[minutes.id]) for name in ("prompt_update", "prompt_delete"))
    for person in (world.owner, world.team_mate, world.outsider, auditor(world.owner.password)):
        client = signed_in(person)
        assert offered(client) == (["Letter", "Minutes"] if person == world.owner else ["Minutes"])
        assert edit not in client.get(reverse("prompts")).content.decode()
        assert [client.post(address, {"name": "x", "text": "x"}).status_code for address in (edit, delete)] == [404] * 2
    admin.post(edit, {"name": "Minutes", "text": "Write short minutes."})  # for oneself from now on
    assert offered(signed_in(world.team_mate)) == []
    admin.post(edit, {"name": "Minutes", "text": "Write short minutes.", "is_for_all": "on"})
    assert offered(signed_in(world.team_mate)) == ["Minutes"]
    admin.post(delete)
    acts = Audit.objects.filter(object_type="prompt").order_by("id").values_list("act", "actor")
    done = ("added", "changed", "changed", "deleted")
    assert list(acts) == [(f"prompt.{act}", "ada@example.org") for act in done]


def test_what_cannot_be_is_refused_in_words(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in(world.owner)
    for fields, words in (
        ({"name": " ", "text": "x"}, "This field is required"),
        ({"name": "x", "text": "\n"}, "Enter a text"),
        ({"name": "x" * 81, "text": "x"}, "at most 80 characters"),
        ({"name": "x", "text": "x" * 20_001}, "at most 20000 characters"),
    ):
        answer = client.post(reverse("prompt_create"), fields)
        assert (answer.status_code, words in answer.content.decode()) == (422, True), fields
    monkeypatch.setattr(Prompt, "MOST", 0)
    assert "that is the most" in client.post(reverse("prompt_create"), {"name": "x", "text": "x"}).content.decode()
    assert not Prompt.objects.exists()


def test_the_menu_carries_what_is_to_be_inserted_and_where_variables_are_asked_for(
    world: World, prompt: Prompt
) -> None:
    Prompt.objects.create(owner=world.owner, name="Plain", text='Say "<hello>"\nand {{}} go.')
    client = signed_in(world.owner)
    menu = client.get(reverse("prompt_choices"), headers=HTMX).content.decode()
    assert 'data-insert="Say &quot;&lt;hello&gt;&quot;\nand {{}} go."' in menu
    assert f'data-address="/prompts/{prompt.id}/"' in menu
    assert "<b>" not in menu

    dialog = client.get(f"/prompts/{prompt.id}/", headers=HTMX).content.decode()
    assert re.findall(r'<label for="gap-\d" dir="auto">(.*?)</label>', dialog) == ["who", "topic", "tone"]
    assert re.findall(r'<textarea[^>]*name="(\w+)"[^>]*>\n(.*?)</textarea>', dialog, re.DOTALL) == [
        ("who", "nobody"),
        ("topic", ""),
        ("tone", "friendly"),
    ]
    assert (
        '<template>Write to <i data-gap="who"></i> about <i data-gap="topic"></i>,\n&lt;b&gt;kindly&lt;/b&gt; &amp;'
        ' <i data-gap="tone"></i>; once more: <i data-gap="who"></i>.</template>'
    ) in dialog
    # What only a script has a use for leads to the page of prompts.
    for address in ("/prompts/", f"/prompts/{prompt.id}/"):
        assert client.get(address)["Location"] == reverse("prompts")


@pytest.mark.parametrize("text", ["{{" + " " * 19_000, "{{ }}", "{{:x}}", "{{a" * 6_000, "{a}} {{b}", "{{a{b}}}"])
def test_what_only_looks_like_a_variable_is_text(world: World, text: str) -> None:
    prompt = Prompt.objects.create(owner=world.owner, name="Odd", text=text)
    menu = signed_in(world.owner).get(reverse("prompt_choices"), headers=HTMX).content.decode()
    assert f'data-insert="{text}"' in menu
    assert str(prompt.with_gaps) == text


def test_strangers_are_sent_to_sign_in(world: World, prompt: Prompt) -> None:
    for name in ("prompts", "prompt_create", "prompt_choices"):
        assert Client().get(reverse(name)).status_code == 302, name
    for name in ("prompt_update", "prompt_delete"):
        assert Client().post(reverse(name, args=[prompt.id]), {"name": "x", "text": "x"}).status_code == 302, name
    assert signed_in(world.owner).get(f"/prompts/{uuid4()}/", headers=HTMX).status_code == 404
    assert Client().get(f"/prompts/{prompt.id}/", headers=HTMX).status_code == 401
    assert Prompt.objects.get().name == "Letter"
