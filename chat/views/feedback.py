"""What people think of a reply."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST
from django_htmx.http import trigger_client_event

from chat import access
from chat.forms import ReasonsForm, VoteForm
from chat.models import Feedback, Message
from chat.views.messages import branch_from
from chat.views.signed_in import Request, signed_in


@require_POST
@signed_in
def feedback_update(request: Request, conversation_id: UUID, message_id: UUID) -> HttpResponse:
    """Vote, or take the vote back; a bad vote leads to the question why."""
    message = access.reply(request.user, conversation_id, message_id)
    form = VoteForm(request.POST)
    if not form.is_valid():
        raise BadRequest("This is no vote.")
    vote = Feedback.vote(message, form.cleaned_data["value"])
    asks_why = vote is not None and vote.value == Feedback.Value.DOWN
    if request.htmx:
        message = access.reply(request.user, conversation_id, message_id)
        return render(request, "chat/_votes.html", {"message": message, "asks_why": asks_why})
    if asks_why:
        return redirect("reasons_update", conversation_id, message_id)
    return redirect("conversation_detail", conversation_id)


@require_POST
@signed_in
def preference_create(request: Request, conversation_id: UUID, message_id: UUID) -> HttpResponse:
    """Prefer a reply to the one beside it, and go on from it."""
    message = access.reply(request.user, conversation_id, message_id)
    Feedback.prefer(message)
    message.conversation.show(message)
    return branch_from(request, message.conversation, message.parent_id)


@require_http_methods(["GET", "POST"])
@signed_in
def reasons_update(request: Request, conversation_id: UUID, message_id: UUID) -> HttpResponse:
    """Ask why a reply was not good (GET), and keep what is answered."""
    message = access.reply(request.user, conversation_id, message_id)
    feedback = _vote_on(message)
    if request.method == "GET":
        form = ReasonsForm(initial={"reasons": feedback.reasons, "comment": feedback.comment})
        return _dialog(request, message, form)
    form = ReasonsForm(request.POST)
    if not form.is_valid():
        return _dialog(request, message, form)
    feedback.explain(form.cleaned_data["reasons"], form.cleaned_data["comment"])
    if not request.htmx:
        return redirect("conversation_detail", conversation_id)
    return trigger_client_event(HttpResponse(status=204), "dialog:close")


def _vote_on(message: Message) -> Feedback:
    try:
        return message.feedback
    except Feedback.DoesNotExist:
        raise Http404 from None


def _dialog(request: Request, message: Message, form: ReasonsForm) -> HttpResponse:
    context = {"message": message, "form": form, "conversation": message.conversation, "dialog": "chat/_reasons.html"}
    template = "chat/_reasons.html" if request.htmx else "chat/dialog.html"
    return render(request, template, context, status=422 if form.errors else 200)
