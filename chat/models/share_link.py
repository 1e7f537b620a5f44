from __future__ import annotations

import base64
import hashlib
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Self
from uuid import UUID

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import Group
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest, Now
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from chat import hints
from chat.models.conversation import Conversation
from chat.models.generation import Generation
from chat.models.ids import uuid7
from chat.models.message import Message
from chat.models.share_revision import ShareRevision
from chat.models.snapshot import Draft, Selection, SharedMessage, Snapshot
from chat.models.user import User
from chat.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.auth.models import AnonymousUser


class ShareLinkQuerySet(models.QuerySet["ShareLink"]):
    def alive(self) -> Self:
        return self.filter(revoked_at=None, expires_at__gt=Now(), owner__is_active=True)

    def open_to(self, reader: User | AnonymousUser) -> Self:
        """Those that this reader may open, whoever sent the address."""
        public = Q(audience=ShareLink.Audience.PUBLIC)
        if not isinstance(reader, User):
            return self.alive().filter(public) if settings.HAS_PUBLIC_LINKS else self.none()
        is_named = models.Exists(ShareLink.people.through.objects.filter(sharelink=models.OuterRef("id"), user=reader))
        of_groups = ShareLink.groups.through.objects.filter(sharelink=models.OuterRef("id"), group__user=reader)
        members = Q(audience=ShareLink.Audience.MEMBERS)
        return self.alive().filter(public | members | Q(owner=reader) | Q(is_named) | Q(models.Exists(of_groups)))

    def revoke(self) -> int:
        """End them for good; how many of them were not ended before. Of many at once, one does it."""
        affected = list(self.filter(revoked_at=None).values_list("owner_id", "conversation_id"))
        num_revoked = self.filter(revoked_at=None).update(revoked_at=Now())
        for owner_id, conversation_id in set(affected):
            hints.conversation_changed(owner_id, conversation_id)
        return num_revoked


class ShareLink(models.Model):
    """An address at which others read a copy of a conversation; its revisions hold what they read.

    The token is made of the link's id by the server's secret key, and only its hash is kept. So neither a copy of the
    database nor the key alone opens anything, and yet the owner can see the address again.
    """

    class Audience(models.TextChoices):
        NAMED = "named", gettext_lazy("Named people")
        MEMBERS = "members", gettext_lazy("Everyone signed in")
        PUBLIC = "public", gettext_lazy("Anyone with the link")

    MOST_TRIES = 10
    TRIES_WITHIN = timedelta(minutes=10)
    DEFAULT_DAYS = 30
    NOTHING = gettext_lazy("There is nothing to share here yet.")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="share_links")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="share_links")
    audience = models.CharField(max_length=7, choices=Audience)
    people = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="links_to_read", blank=True)
    groups = models.ManyToManyField(Group, related_name="+", blank=True)
    password = models.CharField(max_length=200, blank=True, editable=False)
    num_tries = models.PositiveIntegerField(default=0, editable=False)
    tries_since = models.DateTimeField(default=timezone.now, editable=False)
    selection = models.JSONField(default=dict, editable=False)
    watched = models.ForeignKey(Generation, on_delete=models.SET_NULL, null=True, editable=False, related_name="+")
    num_views = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = ShareLinkQuerySet.as_manager()

    if TYPE_CHECKING:
        owner_id: UUID
        conversation_id: UUID
        watched_id: UUID | None
        revisions: models.QuerySet[ShareRevision]

    class Meta:
        indexes = (models.Index(fields=["owner", "-created_at"], name="share_link_newest_first"),)

    def __str__(self) -> str:
        # Without the title: this is what administrators see, and logs.
        return f"shared link {self.id}"

    @classmethod
    def create(
        cls,
        draft: Draft,
        selection: Selection,
        *,
        audience: str,
        people: list[User],
        days: int,
        password: str,
        is_live: bool,
        groups: Iterable[Group] = (),
    ) -> ShareLink:
        """Share the draft. Raises Refused when there is nothing in it, or when the server allows no such link."""
        if audience == cls.Audience.PUBLIC and not settings.HAS_PUBLIC_LINKS:
            raise Refused(_("The administrator does not allow links that anyone can open."))
        snapshot = _filled(draft.snapshot(selection, is_live=is_live))
        link = cls(
            owner=draft.owner,
            conversation_id=draft.leaf.conversation_id,
            audience=audience,
            password=make_password(password) if password else "",
            selection=asdict(selection),
            watched=draft.running if is_live else None,
            expires_at=timezone.now() + timedelta(days=min(days, settings.LINK_DAYS)),
        )
        link.token_hash = hash_of(link._token())
        with transaction.atomic():
            link.save(force_insert=True)
            if audience == cls.Audience.NAMED:
                link.people.set(people)
                link.groups.set(groups)
            ShareRevision.add(link.id, snapshot)
        hints.conversation_changed(link.owner_id, link.conversation_id)
        return link

    def _token(self) -> str:
        digest = salted_hmac("chat.models.share_link", str(self.id), algorithm="sha256").digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    @property
    def token(self) -> str:
        """The last part of the address; empty when the server has another secret key than when the link was made."""
        token = self._token()
        return token if hash_of(token) == self.token_hash else ""

    @property
    def is_alive(self) -> bool:
        return self.revoked_at is None and self.expires_at > timezone.now()

    @property
    def chosen(self) -> Selection:
        return Selection(**self.selection)

    @property
    def revision(self) -> ShareRevision:
        """The newest one: what readers get."""
        return self.revisions.order_by("-number")[0]

    def update_to(self, draft: Draft) -> ShareRevision:
        """Let the same address show the draft from now on, by what was chosen when the link was made."""
        snapshot = _filled(draft.snapshot(self.chosen))
        with transaction.atomic():
            type(self).objects.select_for_update().get(id=self.id)
            type(self).objects.filter(id=self.id).update(watched=None)
            return ShareRevision.add(self.id, snapshot)

    def settle(self) -> None:
        """Take the reply that was watched into what is shared, once it has ended; nothing else is read anew."""
        if self.watched is None or not self.watched.is_over:
            return
        with transaction.atomic():
            link = type(self).objects.select_for_update().get(id=self.id)
            if link.watched_id is None:
                return
            reply = Message.objects.select_related("generation").get(generation=link.watched_id)
            latest = link.revision
            messages = [*latest.messages, SharedMessage.of(reply, link.chosen)]
            ShareRevision.add(link.id, Snapshot(latest.title, latest.author, messages))
            type(self).objects.filter(id=link.id).update(watched=None)
        self.watched = None

    def count_view(self) -> bool:
        """Count one more view, and tell whether the link was still good: what was revoked meanwhile shows nothing."""
        mine = type(self).objects.filter(id=self.id)
        return bool(mine.alive().update(num_views=F("num_views") + 1))

    def accepts(self, password: str) -> bool:
        """Whether this is the password. Raises Refused after too many wrong ones.

        A try is counted before it is looked at, so that guesses at the same moment gain nothing.
        """
        mine = type(self).objects.filter(id=self.id)
        mine.filter(tries_since__lt=Now() - self.TRIES_WITHIN).update(num_tries=0, tries_since=Now())
        if not mine.filter(num_tries__lt=self.MOST_TRIES).update(num_tries=F("num_tries") + 1):
            raise Refused(_("Too many wrong passwords. Try again in some minutes."))
        if not check_password(password, self.password):
            return False
        mine.update(num_tries=Greatest(F("num_tries") - 1, 0))
        return True

    def revoke(self) -> None:
        type(self).objects.filter(id=self.id).revoke()

    @classmethod
    def of_listed(cls) -> models.Exists:
        """For a query of conversations: whether each is shared now."""
        mine = cls.objects.filter(conversation=models.OuterRef("pk"), revoked_at=None, expires_at__gt=Now())
        return models.Exists(mine)

    @classmethod
    def by_token(cls, token: str) -> ShareLinkQuerySet:
        return cls.objects.select_related("watched", "owner").filter(token_hash=hash_of(token))


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _filled(snapshot: Snapshot) -> Snapshot:
    if not snapshot.messages:
        raise Refused(str(ShareLink.NOTHING))
    return snapshot
