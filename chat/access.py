"""Who may see or change what: the only way to get an object for a user. What is not theirs does not exist for them."""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.core.signing import BadSignature, TimestampSigner
from django.db.models import Exists, Model, QuerySet
from django.http import Http404

from chat.models import (
    Banner,
    Conversation,
    Folder,
    Generation,
    GlassBreak,
    Import,
    Message,
    Prompt,
    ShareLink,
    ShareRevision,
    User,
)
from chat.models.library import LibraryItem
from chat.models.share_link import ShareLinkQuerySet

TICKET_S = 60
WATCH_S = 43_200
_signer = TimestampSigner(salt="chat.access.ticket")
_watch_signer = TimestampSigner(salt="chat.access.watch")

Found = TypeVar("Found", bound=Model)
Item = TypeVar("Item", bound=LibraryItem)


def conversations(user: User) -> QuerySet[Conversation]:
    return Conversation.listed(user)


def conversation(user: User, conversation_id: UUID) -> Conversation:
    return _only(Conversation.objects.filter(owner=user, id=conversation_id))


def archived(user: User) -> QuerySet[Conversation]:
    return Conversation.objects.filter(owner=user, archived_at__isnull=False, expires_at=None).order_by("-archived_at")


def folders(user: User) -> QuerySet[Folder]:
    return Folder.objects.filter(owner=user)


def folder(user: User, folder_id: UUID) -> Folder:
    return _only(Folder.objects.filter(owner=user, id=folder_id))


def library(user: User, kind: type[Item]) -> QuerySet[Item]:
    """The presets, or prompts, of their own, and those for everybody."""
    return kind.used_by(user)


def kept_item(user: User, kind: type[Item], item_id: UUID) -> Item:
    """One that they may change."""
    return _only(kind.kept_by(user).filter(id=item_id))


def prompt(user: User, prompt_id: UUID) -> Prompt:
    return _only(Prompt.used_by(user).filter(id=prompt_id))


def chat_import(user: User, import_id: UUID) -> Import:
    return _only(Import.objects.filter(owner=user, id=import_id))


def chat_imports(user: User) -> QuerySet[Import]:
    return Import.objects.filter(owner=user).exclude(state=Import.State.ARRIVING).order_by("-created_at")


def kept(user: User) -> QuerySet[Conversation]:
    """All of a person's chats, archived ones too, but not those that go by themselves."""
    return Conversation.objects.filter(owner=user, expires_at=None)


def message(user: User, conversation_id: UUID, message_id: UUID) -> Message:
    """A message looked up with its conversation and owner, never by its own id alone."""
    return _only(_messages(user, conversation_id, message_id).filter(deleted_at=None))


def deleted_message(user: User, conversation_id: UUID, message_id: UUID) -> Message:
    """A message that can still be brought back."""
    return _only(_messages(user, conversation_id, message_id).filter(deleted_at__isnull=False))


def reply(user: User, conversation_id: UUID, message_id: UUID) -> Message:
    """A message that is a reply, with its generation and feedback."""
    found = _messages(user, conversation_id, message_id).select_related(
        "conversation", "parent", "generation", "feedback"
    )
    return _only(found.filter(role=Message.Role.ASSISTANT, deleted_at=None))


def _messages(user: User, conversation_id: UUID, message_id: UUID) -> QuerySet[Message]:
    return Message.objects.select_related("conversation").filter(
        conversation__owner=user, conversation=conversation_id, id=message_id
    )


def generation(user: User, generation_id: UUID) -> Generation:
    return _only(
        Generation.objects.select_related("message")
        .only("status", "attempt", "requested_by", "message__conversation")
        .filter(message__conversation__owner=user, message__deleted_at=None, id=generation_id)
    )


def share_link(user: User, link_id: UUID) -> ShareLink:
    """A link of their own, dead or alive."""
    return _only(ShareLink.objects.select_related("conversation", "watched").filter(owner=user, id=link_id))


def share_links(user: User) -> ShareLinkQuerySet:
    return ShareLink.objects.filter(owner=user).order_by("-created_at", "-id")


def shared(reader: User | AnonymousUser, token: str) -> ShareLink:
    """The link at this address, if it is alive and this reader may open it; it may still ask for a password."""
    return _only(ShareLink.by_token(token).open_to(reader))


def revision(link: ShareLink, number: int) -> ShareRevision:
    """A revision looked up with its link."""
    return _only(link.revisions.filter(number=number))


def watched(reader: User, link_id: UUID, generation_id: UUID) -> ShareLink:
    """A link that lets this reader watch that reply while it is written."""
    return _only(ShareLink.objects.select_related("watched").open_to(reader).filter(id=link_id, watched=generation_id))


def watch_ticket(reader: User, link: ShareLink) -> str:
    """For the page of a reader who has opened a link, its password included: it may follow the reply watched there."""
    return f"{link.id}:{_watch_signer.sign(_watching(reader.id, link.watched_id, link.id)).rpartition('/')[2]}"


def watched_by(user_id: UUID, generation_id: UUID, ticket: object) -> UUID | None:
    """The link that such a ticket was given for; None when it is no ticket of that user to that reply."""
    link_id, _, signature = ticket.partition(":") if isinstance(ticket, str) else ("", "", "")
    try:
        _watch_signer.unsign(f"{_watching(user_id, generation_id, link_id)}{signature}", max_age=WATCH_S)
        return UUID(link_id)
    except (BadSignature, ValueError):
        return None


def _watching(user_id: UUID, generation_id: UUID | None, link_id: object) -> str:
    return f"{user_id}/{generation_id}/{link_id}/"


def banner(user: User, banner_id: UUID) -> Banner:
    """A banner that stands on this person's pages and that they may dismiss."""
    return _only(Banner.objects.shown_to(user).filter(id=banner_id).exclude(level=Banner.Level.ERROR))


def glass_break(reader: User, glass_break_id: UUID) -> GlassBreak:
    """The right that this administrator has to read somebody's chats just now."""
    return _only(GlassBreak.objects.open().select_related("person").filter(reader=reader, id=glass_break_id))


def glass_break_of(person: User, glass_break_id: UUID) -> GlassBreak:
    """One that this person is told of."""
    return _only(GlassBreak.objects.select_related("person").filter(person=person, id=glass_break_id))


def all_of(reader: User, person: User) -> User:
    """A person all of whose chats this administrator may read just now: the glass is broken over all of them."""
    theirs = GlassBreak.objects.open().filter(reader=reader, person=person, conversation_id=None)
    return _only(User.objects.filter(Exists(theirs), id=person.id))


def conversations_behind(glass: GlassBreak) -> QuerySet[Conversation]:
    """What may be read by a right that `glass_break` gave out in the same request."""
    return glass.conversations


def conversation_behind(glass: GlassBreak, conversation_id: UUID) -> Conversation:
    return _only(glass.conversations.filter(id=conversation_id))


def ticket(generation: Generation) -> str:
    """For the page of whoever asked for a reply: it shows for a minute whose that is, without a look into Postgres."""
    return _signer.sign(_owned(generation.requested_by_id, generation.id)).rpartition("/")[2]


def holds_ticket(user_id: UUID, generation_id: UUID, ticket: object) -> bool:
    """Whether this is a ticket of that user to that reply. One that is not proves nothing: look the reply up."""
    try:
        _signer.unsign(f"{_owned(user_id, generation_id)}{ticket}", max_age=TICKET_S)
    except BadSignature:
        return False
    return True


def _owned(user_id: UUID, generation_id: UUID) -> str:
    return f"{user_id}/{generation_id}/"


def _only(found: QuerySet[Found]) -> Found:
    first = found.first()
    if first is None:
        raise Http404
    return first
