from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from chat import hints
from chat.context_window import TEMPLATE_TOKENS, refuse_over_long
from chat.markdown import title_from
from chat.models.comparison import generations, rival_of
from chat.models.generation import Generation
from chat.models.ids import uuid7
from chat.models.insert import Statement, execute_together, insert
from chat.models.message import Message
from chat.models.moderation_rule import ModerationRule
from chat.models.organised import Organised
from chat.models.quota import Quota
from chat.models.titled import Titled
from chat.models.tree import Tree
from chat.models.worker import Worker
from chat.refused import Refused
from chat.text import clean_text

if TYPE_CHECKING:
    from chat.models.folder import Folder
    from chat.models.user import User


class OctetLength(models.Func):
    function = "octet_length"
    output_field = models.IntegerField()


class Turn(NamedTuple):
    """What a person wrote, the reply that answers it, and the run of the model that fills the reply."""

    message: Message
    reply: Message
    generation: Generation
    is_branch: bool = False
    """Whether the message answers one from which the conversation had gone on already."""


class Window(NamedTuple):
    """A stretch of a branch, oldest first; `earlier` asks for what comes before it, and is None at the beginning."""

    messages: list[Message]
    earlier: UUID | None


class Conversation(Organised, Titled):
    """A tree of messages that belongs to one person; `active_leaf` says which branch the page opens on."""

    MESSAGE_LENGTH = 200_000
    WINDOW_LENGTH = 40
    REMOVED_AT_ONCE = 50

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="conversations")
    active_leaf = models.ForeignKey(Message, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    last_active_at = models.DateTimeField(default=timezone.now)

    if TYPE_CHECKING:
        owner_id: UUID
        active_leaf_id: UUID | None

    class Meta:
        indexes = (
            models.Index(fields=["owner", "-last_active_at", "-id"], name="conversation_newest_first"),
            models.Index(fields=["expires_at"], name="conversation_temporary", condition=Q(expires_at__isnull=False)),
        )

    def __str__(self) -> str:
        # Without the title: this is what administrators see, and logs.
        return f"conversation {self.id}"

    @classmethod
    def start(
        cls,
        owner: User,
        text: str,
        client_id: str,
        *,
        folder: Folder | None = None,
        is_temporary: bool = False,
        **how: Any,
    ) -> Turn:
        """A new conversation with its first turn. The same `client_id` again gives the turn that is there already.

        `how` is what is asked of the model: fields of the generation.
        """
        text = cls._accepted(text, owner.id)
        conversation = cls(owner=owner, title=title_from(text), folder=folder)
        if is_temporary:
            conversation.expires_at = timezone.now() + cls.TEMPORARY_FOR
        return conversation._add_turn(text, client_id, parent=None, **how)

    def ask(self, text: str, client_id: str, parent: UUID | None = None, **how: Any) -> Turn:
        """Add a message below `parent` (the active leaf if None), its empty reply and the generation that fills it.

        Raises Refused for a blank or over-long text, and while the reply above is still being written. Below a message
        from which the conversation went on, as a page that is out of date sends it, a branch begins.
        """
        text = self._accepted(text, self.owner_id)
        above = parent or self.active_leaf_id
        is_branch = above != self.active_leaf_id
        leaf = self.messages.select_related("generation").filter(id=above).first() if above else None
        if parent and (leaf is None or leaf.deleted_at):
            raise Refused(_("The message you answered is gone. Reload the page to go on from here."))
        if leaf and leaf.role == Message.Role.ASSISTANT and not leaf.generation.is_over:
            turn = self._turn_of(self.owner_id, client_id)
            if turn is None:
                raise Refused(_("A reply is still being written. Stop it, or wait until it is done."))
            return turn
        turn = self._add_turn(text, client_id, parent=leaf, **how)
        return turn._replace(is_branch=is_branch and self.active_leaf_id == turn.reply.id)

    def edit(self, message: Message, text: str, client_id: str) -> Turn:
        """Ask anew in other words: a version beside the message, with a reply of its own; nothing is overwritten.

        It is asked for as the last reply to the message was, from whichever model where that one is gone.
        """
        last = Generation.objects.filter(message__parent=message).order_by("-id").first()
        how = last.again() if last else {}
        if last and not Worker.is_known(last.asked_model, self.owner_id):
            how["asked_model"] = ""
        return self._add_turn(self._accepted(text, self.owner_id), client_id, parent=message.parent, **how)

    def reply_again(self, message: Message, client_id: str, **how: Any) -> Turn:
        """Another reply to a message of this conversation, beside the earlier ones; `how` is for its generation."""
        for reply in message.children.filter(role=Message.Role.ASSISTANT, deleted_at=None).select_related("generation"):
            if reply.generation.client_id != client_id and not reply.generation.is_over:
                raise Refused(_("A reply to this message is still being written."))
        return self._insert(message, client_id, is_new_message=False, **how)

    def branch(self, start: UUID | None = None) -> list[Message]:
        """The messages from the root to the active leaf, oldest first, replies with their generation and feedback.

        Those from `start` on, if that is one of them. Each knows its siblings. Two queries, however large the tree.
        """
        tree = self._tree()
        ids = tree.branch(self.active_leaf_id)
        if start in ids:
            ids = ids[ids.index(start) :]
        return self._messages(tree, ids)

    def window(self, before: UUID | None = None, start: UUID | None = None) -> Window:
        """The end of the branch, or what comes before one of its messages: some messages, at least those from `start`
        on. Raises Refused when `before` is not on the branch any more."""
        tree = self._tree()
        ids = tree.branch(self.active_leaf_id)
        if before and before not in ids:
            raise Refused(_("This conversation goes another way now. Reload the page."))
        end = ids.index(before) if before else len(ids)
        begin = max(0, end - self.WINDOW_LENGTH)
        if start in ids[:begin]:
            begin = ids.index(start)
        return Window(self._messages(tree, ids[begin:end]), ids[begin] if begin else None)

    def show(self, message: Message) -> None:
        """Open from now on, here and on other devices, on the branch through this message that was used last."""
        self._open_on(self._tree().newest_leaf(message.id))

    def copy_to(self, message: Message) -> Conversation:
        """A new conversation that goes on from a message of this one, with copies of it and of those above it.

        Raises Refused while that message is being written.
        """
        ids = self._tree().branch(message.id)
        by_id = self.messages.select_related("generation").in_bulk(ids)
        copy = Conversation(owner_id=self.owner_id, title=self.title, has_manual_title=self.has_manual_title)
        messages: list[Message] = []
        generations: list[Generation] = []
        for original in (by_id[id_] for id_ in ids):
            messages.append(original.copied(copy, below=messages[-1] if messages else None))
            if original.role == Message.Role.ASSISTANT:
                generations.append(original.generation.copied(messages[-1]))
        if not all(generation.is_over for generation in generations):
            raise Refused(_("This reply is still being written. Stop it, or wait until it is done."))
        with transaction.atomic():
            copy.save()
            Message.objects.bulk_create(messages)
            Generation.objects.bulk_create(generations)
            copy._open_on(messages[-1].id)
        return copy

    def delete_message(self, message: Message) -> None:
        """Delete a message with all below it, so that it can be brought back for a while; open replies are stopped."""
        with transaction.atomic():
            self._lock()
            tree = self._tree()
            gone = tree.subtree(message.id)
            self.messages.filter(id__in=gone, deleted_at=None).update(deleted_at=Now())
            if self.active_leaf_id in gone:
                self._open_on(tree.leaf_without(message.id))
        for generation in Generation.objects.open().filter(message__in=gone).select_related("message"):
            generation.stop()
        hints.conversation_changed(self.owner_id, self.id)

    def restore_message(self, message: Message) -> None:
        """Bring back what was deleted with this message, and show it; raises Refused when that was too long ago."""
        with transaction.atomic():
            self._lock()
            back = self._tree().subtree(message.id)
            deleted = self.messages.filter(id__in=back, deleted_at=message.deleted_at)
            if not deleted.filter(deleted_at__gt=Now() - Message.RESTORABLE).update(deleted_at=None):
                raise Refused(_("This was deleted too long ago to be brought back."))
            self.show(message)

    def _messages(self, tree: Tree, ids: list[UUID]) -> list[Message]:
        """The messages of a stretch of a branch; each knows its siblings."""
        by_id = self.messages.select_related("generation", "feedback").in_bulk(ids)
        messages = [by_id[id_] for id_ in ids if id_ in by_id]
        for message in messages:
            message.siblings, message.is_unanswered = tree.siblings(message.id), not tree.has_replies(message.id)
        if messages:
            messages[-1].rival = rival_of(messages[-1], tree)
        return messages

    def remove(self) -> dict[str, int]:
        """Delete the conversation with everything in it; replies still being written are stopped. How many rows of
        each model that were."""
        return self._remove(self.owner_id, [self.id])

    @classmethod
    def remove_all_of(cls, owner: User) -> None:
        """Delete every conversation of a person, some at once."""
        while ids := list(cls.objects.filter(owner=owner).values_list("id", flat=True)[: cls.REMOVED_AT_ONCE]):
            cls._remove(owner.id, ids)

    @classmethod
    def _remove(cls, owner_id: UUID, ids: list[UUID]) -> dict[str, int]:
        with transaction.atomic():
            running = Generation.objects.running().filter(message__conversation__in=ids)
            running_ids = list(running.values_list("id", flat=True))
            _, rows = cls.objects.filter(id__in=ids).delete()
        for generation_id in running_ids:
            hints.stop(generation_id)
        for conversation_id in ids:
            hints.conversation_changed(owner_id, conversation_id)
        return rows

    @classmethod
    def _accepted(cls, text: str, author_id: UUID) -> str:
        text = clean_text(text).strip()
        if not any(character.isprintable() and not character.isspace() for character in text):
            raise Refused(_("Write something first."))
        if len(text) > cls.MESSAGE_LENGTH:
            words = _("This message has {number:,} characters; it can have {most:,}. Send it in parts.")
            raise Refused(words.format(number=len(text), most=cls.MESSAGE_LENGTH))
        refuse_over_long(text)
        return ModerationRule.checked_message(text, author_id)

    def _add_turn(self, text: str, client_id: str, parent: Message | None, **how: Any) -> Turn:
        message = Message(conversation=self, parent=parent, role=Message.Role.USER, text=text)
        return self._insert(message, client_id, is_new_message=True, **how)

    def _lock(self) -> None:
        """Let nothing be added until the transaction ends, and know where the page opens by now."""
        self.refresh_from_db(fields=["active_leaf"], from_queryset=Conversation.objects.select_for_update())

    def _tree(self) -> Tree:
        rows = self.messages.order_by("id").values_list("id", "parent_id", "deleted_at")
        return Tree((id_, parent_id, deleted_at is not None) for id_, parent_id, deleted_at in rows)

    def _open_on(self, leaf_id: UUID | None) -> None:
        self.active_leaf_id = leaf_id
        self.save(update_fields=["active_leaf"])
        hints.conversation_changed(self.owner_id, self.id)

    def _insert(
        self, message: Message, client_id: str, *, is_new_message: bool, compared_with: str = "", **how: Any
    ) -> Turn:
        """Write a turn, all of it or nothing (I1); the unique client id makes a repeat lose and find the first (I2).

        With a second model to compare with, the turn has two replies; the conversation opens on the first.
        """
        made = generations(message, client_id, how, compared_with)
        self.active_leaf, self.last_active_at = made[0].message, timezone.now()
        messages = [*([message] if is_new_message else []), *(each.message for each in made)]
        given = dict.fromkeys((*GENERATION, *how, *(COMPARED if compared_with else ())))
        try:
            with Quota.admitting(self.owner_id, lambda: self._most_tokens(message, made[0]), len(made)) as reserved:
                for generation in made:
                    generation.reserved_tokens = reserved
                execute_together(
                    self._own_statement(),
                    *(insert(each, *MESSAGE) for each in messages),
                    *(insert(each, *given) for each in made),
                )
        except (IntegrityError, Refused):
            turn = self._turn_of(self.owner_id, client_id)
            if turn is None:
                raise
            return turn
        for row in (self, *messages, *made):
            row._state.adding = False
        hints.wake()
        hints.conversation_changed(self.owner_id, self.id)
        return Turn(message, made[0].message, made[0])

    def _most_tokens(self, message: Message, generation: Generation) -> int:
        """How many tokens the reply to a message takes at most, its prompt included.

        What the reply above took, its own text and the new message are all of the prompt. Where that is not known, a
        token covers at least one byte.
        """
        above = Generation.objects.filter(message=message.parent_id, prompt_tokens__gt=0).first()
        num_bytes = len(message.text.encode()) + len(generation.system_prompt.encode()) + TEMPLATE_TOKENS
        if above:
            return above.prompt_tokens + above.completion_tokens + num_bytes + generation.most_new_tokens
        return self.most_prompt_tokens() + num_bytes + generation.most_new_tokens

    def most_prompt_tokens(self) -> int:
        """As many as all its messages have bytes: a token covers at least one."""
        sums = self.messages.aggregate(num_bytes=models.Sum(OctetLength("text")), num_messages=models.Count("id"))
        return int((sums["num_bytes"] or 0) + sums["num_messages"] * TEMPLATE_TOKENS)

    def _own_statement(self) -> Statement:
        """What makes this conversation point at its new leaf."""
        if self._state.adding:
            return insert(self, *CONVERSATION)
        sql = "UPDATE chat_conversation SET active_leaf_id = %s, last_active_at = %s WHERE id = %s"
        return sql, (self.active_leaf_id, self.last_active_at, self.id)

    @classmethod
    def _turn_of(cls, owner_id: UUID, client_id: str) -> Turn | None:
        generation = (
            Generation.objects.select_related("message__parent", "message__conversation", "rival__message")
            .filter(requested_by=owner_id, client_id=client_id)
            .first()
        )
        if generation is None or generation.message.parent is None:
            return None
        if generation.rival:
            generation.message.rival = generation.rival.message
        return Turn(generation.message.parent, generation.message, generation)

    @classmethod
    def last_asked(cls, owner: User) -> Generation | None:
        """How a person asked last, in any conversation; None when that was by a preset, which is for one chat."""
        newest = cls.listed(owner).values("active_leaf")[:1]
        return Generation.objects.filter(message_id=models.Subquery(newest), preset_id=None).first()

    @classmethod
    def listed(cls, owner: User) -> models.QuerySet[Self]:
        """A person's conversations, newest first, as the sidebar shows them: without archived and temporary ones."""
        mine = cls.objects.filter(owner=owner, archived_at=None, expires_at=None)
        return mine.order_by("-last_active_at", "-id")

    @classmethod
    def with_state(cls, listed: models.QuerySet[Self]) -> models.QuerySet[Any]:
        """Each with the state of its newest reply (`reply_status`, `reply_ended_at`), which the list shows."""
        return listed.annotate(
            reply_status=F("active_leaf__generation__status"), reply_ended_at=F("active_leaf__generation__ended_at")
        )

    @classmethod
    def remove_expired(cls) -> int:
        """Delete the temporary conversations whose time is over; how many there were."""
        expired = list(cls.objects.filter(expires_at__lt=Now())[:100])
        for conversation in expired:
            conversation.remove()
        return len(expired)

    def open_at(self, message_id: UUID) -> None:
        """Show the branch that has this message, for now: nothing is stored."""
        if self.messages.filter(id=message_id, deleted_at=None).exists():
            self.active_leaf_id = self._tree().newest_leaf(message_id)


CONVERSATION = (
    *("id", "owner_id", "title", "active_leaf_id", "created_at", "last_active_at"),
    *("folder_id", "expires_at"),
)
MESSAGE = ("id", "conversation_id", "parent_id", "role", "text", "created_at")
GENERATION = ("id", "message_id", "requested_by_id", "client_id", "reserved_tokens")
COMPARED = ("asked_model", "rival_id")
