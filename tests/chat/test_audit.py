"""The audit log: who did what to what, when and from where. It is added to and never changed."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError, transaction

from chat.models import Audit, Conversation, Generation, User
from tests.chat.people import auditor, signed_in
from tests.conftest import World, wait_for


def lines() -> list[tuple[str, str, str]]:
    return list(Audit.objects.order_by("id").values_list("act", "actor", "object_name"))


def test_postgres_itself_refuses_to_change_or_delete_a_line(world: World) -> None:
    Audit.enter(world.admin, "user.added", world.owner)
    for tamper in (lambda: Audit.objects.update(actor="nobody"), lambda: Audit.objects.all().delete()):
        with pytest.raises(DatabaseError, match="only added to"), transaction.atomic():
            tamper()
    world.admin.delete()
    assert lines() == [("user.added", "ada@example.org", "olga@example.org")]


def test_what_is_done_in_the_admin_is_entered_with_the_address_it_came_from(world: World) -> None:
    client = signed_in(world.admin)
    person = f"/admin/chat/user/{world.owner.id}/change/"
    client.post(person, {"email": world.owner.email, "name": "Olga", "is_active": "on", "role": "auditor"})
    client.post("/admin/auth/group/add/", {"name": "Research", "members": [str(world.owner.id)]})
    group = Group.objects.get()
    client.post(f"/admin/auth/group/{group.id}/delete/", {"post": "yes"})

    assert [line[0] for line in lines()] == ["user.changed", "group.added", "group.deleted"]
    line = Audit.objects.get(act="user.changed")
    assert (line.address, line.object_type, line.object_id) == ("127.0.0.1", "user", str(world.owner.id))
    assert line.details == {"fields": ["Role"]}


def test_an_auditor_reads_and_changes_nothing(world: World) -> None:
    client = signed_in(auditor())
    Audit.enter(world.admin, "user.added", world.owner)
    person = f"/admin/chat/user/{world.owner.id}"
    for address in ("/admin/", "/admin/chat/user/", f"{person}/change/", "/admin/auth/group/", "/admin/chat/audit/"):
        assert client.get(address).status_code == 200, address
    refused: list[tuple[str, dict[str, Any]]] = [
        (f"{person}/change/", {"email": "x@example.org", "name": "X", "role": "admin"}),
        (f"{person}/delete/", {"post": "yes"}),
        (f"{person}/password/", {"password1": "x", "password2": "x"}),
        ("/admin/chat/user/add/", {"email": "y@example.org", "name": "Y"}),
        ("/admin/auth/group/add/", {"name": "Mine"}),
        (f"/admin/chat/audit/{Audit.objects.get().id}/delete/", {"post": "yes"}),
    ]
    for address, fields in refused:
        assert client.post(address, fields).status_code == 403, address
    client.post("/admin/chat/user/", {"action": "deactivate", "_selected_action": [str(world.owner.id)]})
    assert User.objects.filter(is_active=True).count() == 5
    assert len(lines()) == 1


def test_the_export_is_what_the_filters_show_and_runs_no_formula(world: World) -> None:
    Audit.enter(world.admin, "user.added", world.owner)
    Audit.enter(None, "group.added", Group(id=1, name="=HYPERLINK(1)"))
    client = signed_in(world.admin)
    text = b"".join(client.get("/admin/chat/audit/export.csv?act=group.added")).decode()
    head, line = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    assert head[:5] == ["at", "actor", "act", "object_type", "object_name"]
    assert line[1:5] == ["", "group.added", "group", "'=HYPERLINK(1)"]
    assert "HYPERLINK" not in client.get("/admin/chat/audit/?q=olga").content.decode()
    for address in ("add/", f"{Audit.objects.earliest('id').id}/delete/"):
        assert client.post(f"/admin/chat/audit/{address}", {"post": "yes"}).status_code == 403


def test_the_last_administrator_can_neither_be_deactivated_nor_demoted(world: World) -> None:
    client = signed_in(world.admin)
    address = f"/admin/chat/user/{world.admin.id}/change/"
    for fields in ({"is_active": "on", "role": "auditor"}, {"role": "admin"}):
        answer = client.post(address, {"email": world.admin.email, "name": "Ada", **fields})
        assert "only active administrator" in answer.content.decode()
    client.post("/admin/chat/user/", {"action": "deactivate", "_selected_action": [str(world.admin.id)]})
    assert User.objects.get(id=world.admin.id).is_last_admin()
    assert client.get("/admin/chat/user/?role=admin").content.decode().count("ada@example.org")


def test_I8_whoever_is_deactivated_is_out_and_what_runs_for_them_ends(world: World) -> None:
    theirs = signed_in(world.owner)
    queued = Conversation.start(world.owner, "Hello", "c1").generation
    running = Conversation.start(world.owner, "Hello", "c2").generation
    Generation.objects.filter(id=running.id).update(status="running")
    client = signed_in(world.admin)
    client.post("/admin/chat/user/", {"action": "deactivate", "_selected_action": [str(world.owner.id)]})

    assert theirs.get("/").status_code == 302
    assert Generation.objects.get(id=queued.id).status == "stopped"
    assert wait_for(lambda: Generation.objects.get(id=running.id).stop_requested_at)
    assert ("user.deactivated", "ada@example.org", "olga@example.org") in lines()
    client.post("/admin/chat/user/", {"action": "activate", "_selected_action": [str(world.owner.id)]})
    assert lines()[-1][0] == "user.activated"
