from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import OperationalError, models, transaction
from django.db.models import F, Sum
from django.db.models.functions import Length, Now
from django.utils import timezone
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _
from psycopg.errors import QueryCanceled

from chat import hints
from chat.database import AWAY
from chat.models.ids import uuid7
from chat.models.import_rows import Rows
from chat.refused import Refused
from chat.text import clean_text
from chat.transfer.files import LARGEST_FILE, chat_of, documents, title_of

if TYPE_CHECKING:
    from chat.models.user import User

log = structlog.get_logger()


class Import(models.Model):
    """A file whose chats become chats of its owner. It comes in pieces, and a task reads it, each chat in a transaction
    together with its count: whenever the task ends early, another goes on behind the last chat."""

    LARGEST_PIECE = 1_000_000
    SLICE_S = 10.0
    """How long one task works: others wait for the few threads too."""
    SILENT = timedelta(seconds=60)
    """After that long without a chat more its task is taken to be gone."""
    ARRIVES_WITHIN = timedelta(hours=1)
    MOST_LISTED = 100

    class State(models.TextChoices):
        ARRIVING = "arriving"
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="imports")
    name = models.CharField(max_length=200)
    num_bytes = models.PositiveIntegerField()
    language = models.CharField(max_length=10)
    state = models.CharField(max_length=8, choices=State, default=State.ARRIVING)
    num_read = models.PositiveIntegerField(default=0)
    num_made = models.PositiveIntegerField(default=0)
    num_left_out = models.PositiveIntegerField(default=0)
    refused = models.JSONField(default=list)
    failure = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    beat_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    if TYPE_CHECKING:
        owner_id: UUID

    def __str__(self) -> str:
        return f"import {self.id}"

    @property
    def is_over(self) -> bool:
        return self.state == self.State.DONE

    @property
    def num_refused(self) -> int:
        return self.num_read - self.num_made

    @classmethod
    def begin(cls, owner: User, name: str, num_bytes: int) -> Import:
        """Raises Refused for a file that is too large, and while another one of this person is being imported."""
        if num_bytes > LARGEST_FILE:
            words = _(
                "This file has {number} MB; {most} MB can be imported. From a ZIP file, import conversations.json."
            )
            raise Refused(words.format(number=-(-num_bytes // 1024**2), most=LARGEST_FILE // 1024**2))
        if not num_bytes:
            raise Refused(_("Choose a file that is not empty."))
        mine = cls.objects.filter(owner=owner)
        if mine.filter(state__in=[cls.State.WAITING, cls.State.RUNNING]).exists():
            raise Refused(_("Another file is being imported. Wait until it is done."))
        mine.filter(state=cls.State.ARRIVING).delete()
        name = clean_text(name)[-200:] or "?"
        return cls.objects.create(owner=owner, name=name, num_bytes=num_bytes, language=get_language() or "en")

    def add(self, number: int, content: bytes) -> None:
        """Take the piece with this number, from 0; the same one again changes nothing. Raises Refused for a piece
        that can't be of this file."""
        is_last = (number + 1) * self.LARGEST_PIECE >= self.num_bytes
        expected = self.num_bytes - number * self.LARGEST_PIECE if is_last else self.LARGEST_PIECE
        if self.state != self.State.ARRIVING or len(content) != expected:
            raise Refused(_("This piece is not of this file. Choose the file again."))
        ImportPiece.objects.bulk_create([ImportPiece(of=self, number=number, content=content)], ignore_conflicts=True)

    def start(self) -> None:
        """Let a task read it from now on. Raises Refused while pieces are missing."""
        there = self.pieces.aggregate(num_bytes=Sum(Length("content")))["num_bytes"]
        if there != self.num_bytes:
            raise Refused(_("The file did not come whole. Choose it again."))
        type(self).objects.filter(id=self.id, state=self.State.ARRIVING).update(state=self.State.WAITING)

    @classmethod
    def is_due(cls) -> bool:
        """Whether one waits for a task; what never came whole is dropped."""
        cls.objects.filter(state=cls.State.ARRIVING, created_at__lt=Now() - cls.ARRIVES_WITHIN).delete()
        return cls._due().exists() and not cls._working().exists()

    @classmethod
    def go_on(cls) -> bool:
        """Import for a while, one file at a time; whether there is more to do."""
        mine = cls._claimed()
        if mine is None:
            return False
        with override(mine.language):
            is_done = mine._read_on(time.monotonic() + cls.SLICE_S)
        running = cls.objects.filter(id=mine.id, state=cls.State.RUNNING)
        if is_done:
            running.update(state=cls.State.DONE, ended_at=Now(), failure=mine.failure[:300])
            mine.pieces.all().delete()
        else:
            running.update(state=cls.State.WAITING)
        return cls.is_due()

    @classmethod
    def _due(cls) -> models.QuerySet[Import]:
        lost = models.Q(state=cls.State.RUNNING, beat_at__lt=Now() - cls.SILENT)
        return cls.objects.filter(models.Q(state=cls.State.WAITING) | lost)

    @classmethod
    def _working(cls) -> models.QuerySet[Import]:
        return cls.objects.filter(state=cls.State.RUNNING, beat_at__gte=Now() - cls.SILENT)

    @classmethod
    def _claimed(cls) -> Import | None:
        with transaction.atomic():
            mine = cls._due().select_for_update().order_by("created_at").first()
            if mine is None or cls._working().exists():
                return None
            cls.objects.filter(id=mine.id).update(state=cls.State.RUNNING, beat_at=Now())
            return mine

    def _read_on(self, deadline: float) -> bool:
        """Read chats until the deadline, on the monotonic clock; whether the file is at its end."""
        last_made: UUID | None = None
        try:
            with self._file() as file:
                for number, document in enumerate(documents(file)):
                    if number < self.num_read:
                        continue
                    if time.monotonic() > deadline:
                        return False
                    last_made = self._take(document) or last_made
        except Refused as refused:
            self.failure = str(refused)
        finally:
            if last_made:
                hints.conversation_changed(self.owner_id, last_made)
        return True

    @contextmanager
    def _file(self) -> Iterator[IO[bytes]]:
        with tempfile.TemporaryFile() as file:
            for number in range(-(-self.num_bytes // self.LARGEST_PIECE)):
                file.write(self.pieces.get(number=number).content)
            file.seek(0)
            yield file

    def _take(self, document: Any) -> UUID | None:
        """Make a chat and count it, or note why not; its id."""
        try:
            chat = chat_of(document)
            rows = Rows.of(self.owner_id, chat)
            with transaction.atomic():
                rows.store()
                self._count(num_made=F("num_made") + 1, num_left_out=F("num_left_out") + chat.num_left_out)
        except Refused as refused:
            self._refuse(title_of(document), str(refused))
        except Exception as error:
            # Postgres took too long over it, and would again; when Postgres is away, that is not the fault of the chat.
            is_hopeless = isinstance(error.__cause__, QueryCanceled)
            if isinstance(error, AWAY) and not is_hopeless:
                raise
            # Without the words of the error: what people wrote may stand in them.
            log.error("import.chat_failed", id=str(self.id), number=self.num_read, error=type(error).__name__)
            self._refuse(title_of(document), _("It could not be stored."))
        else:
            return rows.conversation.id
        return None

    def _refuse(self, title: str, why: str) -> None:
        listed = [*self.refused, [clean_text(title)[:200], why]][: self.MOST_LISTED]
        self._count(refused=listed)
        self.refused = listed

    def _count(self, **counted: Any) -> None:
        """Enter one more chat that was read; fails when another task has gone on from here."""
        mine = type(self).objects.filter(id=self.id, state=self.State.RUNNING, num_read=self.num_read)
        if not mine.update(num_read=self.num_read + 1, beat_at=Now(), **counted):
            raise OperationalError("Another task goes on with this import.")
        self.num_read += 1


class ImportPiece(models.Model):
    """Some of the bytes of a file; gone when the file has been read."""

    of = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="pieces")
    number = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["of", "number"], name="import_piece_once"),)

    def __str__(self) -> str:
        return f"piece {self.number}"
