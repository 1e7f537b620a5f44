"""All that the server keeps of one person: written to a file, or deleted.

What belongs to somebody is what goes when they go, so both ask Django what that is: a new kind of rows needs no line
here. Beside it stand what outlives them: the ledger, in which they become a number, and the audit log.
"""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import IO, Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core import serializers
from django.db import transaction
from django.db.models import FileField, Model, Q, QuerySet
from django.db.models.deletion import Collector
from django.http import HttpRequest
from django.utils.translation import gettext as _

from chat.models import Audit, Conversation, Generation, Invitation, Refused, UsageRecord, User
from chat.models.retention import forget_cached

# With what is in these, whoever finds the file could sign in; to the person themselves they say nothing.
SECRET_APPS = {"mfa"}
SECRET_FIELD = re.compile("password|secret|hash$|^token$")


class _Everything(Collector):
    """Collects every row, and not some of them as a query that deletes faster."""

    def can_fast_delete(self, *args: Any, **kwargs: Any) -> bool:
        return False


def export(person: User) -> IO[bytes]:
    """A zip file with one JSON file for each kind of rows, and the files that belong to them, at its beginning."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever asked closes it
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, rows in _parts(person):
            archive.writestr(f"{name}.json", json.dumps([_fields(row) for row in rows], ensure_ascii=False, indent=1))
            for row in rows:
                _add_files(archive, row)
    file.seek(0)
    return file


def _parts(person: User) -> Iterator[tuple[str, list[Model]]]:
    collector = _Everything(using="default", origin=person)
    collector.collect([person])
    for model, rows in collector.data.items():
        if model._meta.app_label not in SECRET_APPS and not issubclass(model, AbstractBaseSession):
            yield str(model._meta.model_name), sorted(rows, key=lambda row: str(row.pk))
    yield "usagerecord", list(UsageRecord.objects.filter(user_pseudonym=person.id).order_by("id"))
    about = Q(actor_id=person.id) | Q(object_type="user", object_id=str(person.id))
    yield "audit", list(Audit.objects.filter(about).order_by("id"))


def _fields(row: Model) -> dict[str, Any]:
    [plain] = serializers.serialize("python", [row])
    fields = {"id": str(row.pk), **plain["fields"]}
    return {name: _plain(value) for name, value in fields.items() if not SECRET_FIELD.search(name)}


def _plain(value: Any) -> Any:
    if isinstance(value, list | dict | str | int | float | None):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _add_files(archive: zipfile.ZipFile, row: Model) -> None:
    for field in row._meta.get_fields():
        if isinstance(field, FileField) and (stored := getattr(row, field.name)):
            with stored.open() as content:
                archive.writestr(f"files/{row.pk}/{stored.name.rpartition('/')[2]}", content.read())


def erase(person: User, actor: User | None, request: HttpRequest | None = None) -> Counter[str]:
    """Delete a person with all that is theirs; how many rows of each kind that were.

    The ledger keeps what was used, under the number that the receipt in the audit log names. Raises Refused for the
    last administrator.
    """
    if person.is_last_admin():
        raise Refused(_("This is the only active administrator. Make another one first."))
    number = str(person.id)
    generations = list(Generation.objects.filter(requested_by=person).values_list("id", flat=True))
    Generation.stop_all_of(person)
    with transaction.atomic():
        removed = _counted(_traces(person))
        removed += _counted([Conversation.objects.filter(owner=person)])
        removed += _rows(person.delete()[1])
        removed["cached replies"] = forget_cached(generations)
        Audit.enter(actor, "user.erased", None, request, pseudonym=number, **+removed)
    return +removed


def _traces(person: User) -> Iterable[QuerySet[Any]]:
    """What names a person without belonging to them."""
    user_type = ContentType.objects.get_for_model(User)
    yield LogEntry.objects.filter(content_type=user_type, object_id=str(person.id))
    yield Invitation.objects.filter(Q(email__iexact=person.email) | Q(used_by=person))


def _counted(querysets: Iterable[QuerySet[Any]]) -> Counter[str]:
    removed: Counter[str] = Counter()
    for rows in querysets:
        removed += _rows(rows.delete()[1])
    return removed


def _rows(by_label: dict[str, int]) -> Counter[str]:
    return Counter({label.rpartition(".")[2].lower(): number for label, number in by_label.items()})
