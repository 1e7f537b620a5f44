"""The end of what is kept: chats that nobody uses, and all that there is of one person."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.core import serializers
from django.core.management import CommandError, call_command
from django.utils import timezone

from chat import reply_stream, tasks, valkey
from chat.models import (
    Audit,
    Conversation,
    Feedback,
    Folder,
    GroupRule,
    Invitation,
    Message,
    ShareLink,
    UsageRecord,
    User,
    retention,
)
from tests.chat.people import auditor, entry, signed_in
from tests.chat.sharing import share, told
from tests.chat.test_glass_break import SECRET, broken, chat_of
from tests.conftest import World


def group(name: str, days: int | None, *people: User) -> Group:
    made = Group.objects.create(name=name)
    GroupRule.objects.create(group=made, keep_days=days)
    for person in people:
        person.groups.add(made)
    return made


def unused(person: User, days: int, **fields: Any) -> Conversation:
    """A chat in which nothing was asked for some days."""
    conversation = chat_of(person)
    at = timezone.now() - timedelta(days=days)
    Conversation.objects.filter(id=conversation.id).update(last_active_at=at, **fields)
    return conversation


def left() -> set[Any]:
    return set(Conversation.objects.values_list("id", flat=True))


def test_chats_that_nobody_uses_go_by_the_longest_time_of_ones_groups(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    group("Short", 30, world.owner, world.team_mate)
    group("Long", 90, world.team_mate)
    group("No rule", None, world.owner, world.outsider)
    gone = [unused(world.owner, 31 + number) for number in range(5)] + [unused(world.team_mate, 91)]
    stay = {
        unused(world.owner, 29).id,
        unused(world.owner, 400, pinned_at=timezone.now()).id,
        unused(world.team_mate, 60).id,
        unused(world.outsider, 4000).id,
        unused(world.admin, 4000).id,
    }
    tasks.remove_unused()
    assert left() == stay
    assert not Message.objects.filter(conversation__in=[each.id for each in gone]).exists()
    receipts = Audit.objects.filter(act="retention.removed")
    assert {(line.object_name, line.actor, line.details["conversation"]) for line in receipts} == {
        ("olga@example.org", "", 5),
        ("tariq@example.org", "", 1),
    }
    tasks.remove_unused()
    assert receipts.count() == 2, "nothing removed, nothing to tell"


def test_a_chat_that_is_used_or_pinned_at_the_last_moment_stays(world: World) -> None:
    group("Short", 30, world.owner)
    for changed in ({"last_active_at": timezone.now()}, {"pinned_at": timezone.now()}):
        stale = Conversation.objects.get(id=unused(world.owner, 31).id)
        Conversation.objects.filter(id=stale.id).update(**changed)
        assert not retention.remove(stale)
        assert stale.id in left()
    assert retention.remove_unused() == 0


def test_the_receipt_counts_rows_links_and_cached_replies_and_admins_read_it(world: World) -> None:
    group("Short", 30, world.owner)
    turn = told(world.owner)
    Feedback.vote(turn.reply, "up")
    path = share(signed_in(world.owner), turn)
    entry(world.owner)
    valkey.client().xadd(reply_stream.key(turn.generation.id), {"kind": "text", "data": SECRET})
    Conversation.objects.update(last_active_at=timezone.now() - timedelta(days=31))
    assert retention.remove_unused() == 1
    details = Audit.objects.get(act="retention.removed").details
    assert details == {
        "conversation": 1,
        "message": 2,
        "generation": 1,
        "feedback": 1,
        "sharelink": 1,
        "sharerevision": 1,
        "cached replies": 1,
    }
    assert not valkey.client().exists(reply_stream.key(turn.generation.id))
    assert signed_in(world.team_mate).get(path).status_code == 404
    assert UsageRecord.objects.count() == 1
    for person in (world.admin, auditor()):
        page = signed_in(person).get("/admin/chat/audit/?act=retention.removed").content.decode()
        assert "olga@example.org" in page
        assert "sharerevision" in page


def test_the_admin_sets_the_days_of_a_group(world: World) -> None:
    client = signed_in(world.admin)
    fields = {"name": "Short", "members": [str(world.owner.id)], "keep_days": "30"}
    assert client.post("/admin/auth/group/add/", fields).status_code == 302
    rule = GroupRule.objects.get()
    assert (rule.keep_days, rule.weight) == (30, 1)
    address = f"/admin/auth/group/{rule.group_id}/change/"
    assert 'value="30"' in client.get(address).content.decode()
    assert client.post(address, {**fields, "keep_days": "0"}).status_code == 200
    assert client.post(address, {**fields, "keep_days": ""}).status_code == 302
    assert GroupRule.objects.get().keep_days is None


def parts(content: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


def test_all_that_is_kept_of_a_person_is_exported_and_nothing_of_others(world: World, tmp_path: Path) -> None:
    mine, other = chat_of(world.owner), chat_of(world.team_mate, "the mate's own words")
    Folder.objects.create(owner=world.owner, name="Plans")
    client = signed_in(world.owner)
    share(client, told(world.owner), password="a long secret password")
    entry(world.owner, model="big", prompt_tokens=17)
    Audit.enter(world.admin, "user.changed", world.owner)
    path = tmp_path / "olga.zip"
    call_command("person", "export", "OLGA@example.org", to=str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    found = parts(path.read_bytes())
    assert found["user.json"][0]["email"] == "olga@example.org"
    assert str(mine.id) in {row["id"] for row in found["conversation.json"]}
    assert {f"{SECRET} one", f"{SECRET} one reply"} <= {row["text"] for row in found["message.json"]}
    assert found["folder.json"][0]["name"] == "Plans"
    assert found["usagerecord.json"][0]["prompt_tokens"] == 17
    assert {row["act"] for row in found["audit.json"]} == {"user.changed", "user.exported"}
    everything = json.dumps(found)
    assert client.session.session_key
    assert client.session.session_key not in everything
    for hidden in ("the mate's own words", str(other.id), world.owner.password, ShareLink.objects.get().password):
        assert hidden not in everything
    with pytest.raises(FileExistsError):
        call_command("person", "export", "olga@example.org", to=str(path))
    with pytest.raises(CommandError, match="Nobody here"):
        call_command("person", "export", "nobody@example.org")


def test_an_administrator_exports_what_somebody_wrote_only_behind_the_glass(world: World) -> None:
    one = chat_of(world.owner)
    wanted = {"action": "export", "_selected_action": [str(world.owner.id)]}

    def asked(person: User) -> Any:
        return signed_in(person).post("/admin/chat/user/", wanted, follow=True)

    assert "Break the glass first" in asked(world.admin).content.decode()
    broken(world, world.owner, one)
    assert "Break the glass first" in asked(world.admin).content.decode(), "one chat is not all"
    broken(world, world.owner)
    answer = asked(world.admin)
    assert SECRET in json.dumps(parts(b"".join(answer.streaming_content)))
    second = User.objects.create(email="second@example.org", name="S", is_staff=True, is_superuser=True)
    assert "Break the glass first" in asked(second).content.decode()
    for refused in (auditor(), world.owner, world.outsider):
        assert "application/zip" not in asked(refused).headers.get("Content-Type", "")
    assert Audit.objects.filter(act="user.exported").count() == 1
    assert "was given the right" in signed_in(world.owner).get("/").content.decode()


@pytest.mark.parametrize("by_admin", [True, False])
def test_whoever_is_erased_leaves_a_number_in_the_ledger_and_no_word(world: World, by_admin: bool) -> None:
    owner_id = world.owner.id
    chat_of(world.owner)
    share(signed_in(world.owner), told(world.owner))
    chat_of(world.team_mate, "the mate's own words")
    entry(world.owner)
    Invitation.objects.create(email="olga@example.org", token_hash="x", used_by=world.owner, expires_at=timezone.now())
    client = signed_in(world.admin)
    client.post(
        f"/admin/chat/user/{owner_id}/change/", {"email": "olga@example.org", "name": "Olga", "is_active": "on"}
    )
    if by_admin:
        page = f"/admin/chat/user/{owner_id}/delete/"
        assert client.post(page, {"post": "yes"}).status_code == 302
    else:
        call_command("person", "erase", "olga@example.org", yes=True)
    for model in apps.get_models():
        if model is not Audit:
            rows = serializers.serialize("json", model._base_manager.all())
            assert not any(word in rows for word in (SECRET, "olga@", "Olga")), model
    assert UsageRecord.objects.get().user is None
    assert UsageRecord.objects.get().user_pseudonym == owner_id
    receipt = Audit.objects.get(act="user.erased")
    assert receipt.details["pseudonym"] == str(owner_id)
    assert (receipt.details["message"], receipt.details["sharelink"], receipt.details["user"]) == (4, 1, 1)
    assert "olga" not in str(receipt.__dict__)
    assert Conversation.objects.filter(owner=world.team_mate).exists()


def test_the_last_administrator_is_not_erased(world: World) -> None:
    with pytest.raises(CommandError, match="only active administrator"):
        call_command("person", "erase", "ada@example.org", yes=True)
    client = signed_in(world.admin)
    page = f"/admin/chat/user/{world.admin.id}/delete/"
    assert "only active administrator" in client.get(page).content.decode()
    client.post(page, {"post": "yes"})
    selected = {"action": "delete_selected", "_selected_action": [str(world.admin.id)], "post": "yes"}
    client.post("/admin/chat/user/", selected)
    assert User.objects.filter(id=world.admin.id).exists()
