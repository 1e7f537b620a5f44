"""What people send, and what comes after a message the page knows."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from chat import access
from chat.forms import AnotherReplyForm, MessageForm, ReplyForm
from chat.models import Conversation, Message, Preset, Refused, Turn
from chat.views.pages import page, placed
from chat.views.signed_in import Request, signed_in


@require_POST
@signed_in
def conversation_create(request: Request) -> HttpResponse:
    """A new conversation with its first turn."""
    form = MessageForm(request.POST)
    fields = valid(form)
    try:
        how = {**placed(request), **asked(request, form)}
        turn = Conversation.start(request.user, fields["text"], fields["client_id"], **how)
    except Refused as refused:
        return refusal(request, refused, None, fields["text"])
    return _answer(request, turn)


@require_http_methods(["GET", "POST"])
@signed_in
def message_create(request: Request, conversation_id: UUID) -> HttpResponse:
    """Add a turn; or, for GET, the turns after one the page knows."""
    conversation = access.conversation(request.user, conversation_id)
    if request.method == "GET":
        return _turns_after(conversation, request.GET.get("after", ""), request.GET.get("ended", ""))
    form = MessageForm(request.POST)
    fields = valid(form)
    try:
        how = asked(request, form)
        turn = conversation.ask(fields["text"], fields["client_id"], fields["parent"], **how)
    except Refused as refused:
        return refusal(request, refused, conversation, fields["text"])
    return _answer(request, turn)


@require_POST
@signed_in
def reply_create(request: Request, conversation_id: UUID, message_id: UUID) -> HttpResponse:
    """Another reply to a message, made as the one it comes instead of but for what the form changes."""
    message = access.message(request.user, conversation_id, message_id)
    if message.role != Message.Role.USER:
        raise Http404
    form = AnotherReplyForm(request.POST)
    fields = valid(form)
    how = form.changed()
    if fields["instead_of"]:
        former = access.reply(request.user, conversation_id, fields["instead_of"])
        how = former.generation.again(**how)
    try:
        turn = message.conversation.reply_again(message, fields["client_id"], **how)
    except Refused as refused:
        return refusal(request, refused, message.conversation)
    return branch_from(request, turn.reply.conversation, message.id)


def asked(request: Request, form: ReplyForm) -> dict[str, Any]:
    """What is asked of the model, as fields of a generation; of a preset the page sends no more than which it is."""
    if form.preset_id is None:
        return form.how
    preset = access.library(request.user, Preset).filter(id=form.preset_id).first()
    if preset is None:
        raise Refused(_("This preset is gone. Choose another one, or a model."))
    return {**form.how, **preset.how}


def valid(form: ReplyForm) -> dict[str, Any]:
    if not form.is_valid():
        raise BadRequest("This form was not sent by the page.")
    return form.cleaned_data


def _answer(request: Request, turn: Turn) -> HttpResponse:
    """The turn as the page inserts it. Rendered without the request: this is the most frequent write of all."""
    address = reverse("conversation_detail", args=[turn.message.conversation_id])
    if not request.htmx:
        return redirect(f"{address}?branched=1" if turn.is_branch else address)
    if turn.is_branch or turn.reply.rival:
        message, reply = turn.reply.conversation.branch(turn.message.id)
        turn = turn._replace(message=message, reply=reply)
    return HttpResponse(
        render_to_string("chat/_turn.html", {"turn": turn, "ticket": access.ticket(turn.generation)}),
        headers={"HX-Push-Url": address},
    )


def branch_from(request: Request, conversation: Conversation, start: UUID | None, news: str = "") -> HttpResponse:
    """What the page shows from a message on, and in a script's hands takes the place of; all of it when that message
    is not shown. `news` is markup that comes with it."""
    if not request.htmx:
        return redirect("conversation_detail", conversation.id)
    return HttpResponse("".join(message_html(message) for message in conversation.branch(start)) + news)


def refusal(request: Request, refused: Refused, conversation: Conversation | None, text: str = "") -> HttpResponse:
    if not request.htmx:
        return page(request, conversation, text=text, refusal=str(refused))
    return HttpResponse(render_to_string("chat/_refusal.html", {"refusal": str(refused)}), status=422)


def _turns_after(conversation: Conversation, after: str, ended: str) -> HttpResponse:
    """The messages below one on the active branch: 204 when there are none, 409 when that one is not on it any more.

    That one comes too when it is a reply that was continued since its end which the page knows.
    """
    branch = conversation.branch()
    ids = [str(message.id) for message in branch]
    if after and after not in ids:
        return HttpResponse(status=409)
    known = ids.index(after) if after else -1
    is_known = not (after and _was_continued(branch[known], ended))
    lacking = branch[known + is_known :]
    return HttpResponse("".join(message_html(message) for message in lacking), status=200 if lacking else 204)


def _was_continued(message: Message, ended: str) -> bool:
    if not ended or message.role != Message.Role.ASSISTANT:
        return False
    ended_at = message.generation.ended_at
    return ended_at is None or ended_at.isoformat() != ended


def message_html(message: Message) -> str:
    generation = message.generation if message.role == Message.Role.ASSISTANT else None
    return render_to_string("chat/_entry.html", {"message": message, "generation": generation})
