"""What the owner of a chat does with its shared links."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import trigger_client_event

from chat import access
from chat.models import Conversation, Refused, ShareLink
from chat.models.snapshot import Draft, difference
from chat.share_form import LEAST_PASSWORD, ShareForm
from chat.views.chats import open_conversation
from chat.views.signed_in import Request, signed_in

LINKS_SHOWN = 200


@require_safe
@signed_in
def share(request: Request) -> HttpResponse:
    """The dialog for the conversation that is open now: a page that began as a new chat does not know its address."""
    conversation_id = open_conversation(request)
    if conversation_id is None:
        raise Http404
    return _share_dialog(request, access.conversation(request.user, conversation_id))


@require_http_methods(["GET", "POST"])
@sensitive_post_parameters("password")
@signed_in
def link_create(request: Request, conversation_id: UUID) -> HttpResponse:
    """Show what would be shared, up to a message; share it; or, for `preview`, show what would be shared now."""
    conversation = access.conversation(request.user, conversation_id)
    if request.method == "GET" or "preview" in request.POST:
        return _share_dialog(request, conversation)
    form = None
    try:
        form = ShareForm(_draft(request, conversation), request.POST)
        if not form.is_valid():
            return _share_dialog(request, conversation, form)
        link = _created(form)
    except Refused as refused:
        return _share_dialog(request, conversation, form, str(refused))
    return _link(request, link, is_new=True)


def _created(form: ShareForm) -> ShareLink:
    values = form.cleaned_data
    return ShareLink.create(
        form.draft,
        form.selection,
        audience=values["audience"],
        people=values["people"],
        groups=values["groups"],
        days=values["days"],
        password=values["password"],
        is_live=form.is_live,
    )


@require_safe
@signed_in
def links(request: Request) -> HttpResponse:
    """All links of this person, the latest first."""
    rows = (
        access.share_links(request.user)
        .select_related("conversation")
        .prefetch_related("people", "groups")[:LINKS_SHOWN]
    )
    return render(request, "chat/links.html", {"links": rows})


@require_safe
@signed_in
def link_detail(request: Request, link_id: UUID) -> HttpResponse:
    return _link(request, access.share_link(request.user, link_id))


@require_http_methods(["GET", "POST"])
@signed_in
def revision_create(request: Request, link_id: UUID) -> HttpResponse:
    """Show how the chat differs from what is shared; or, for POST, share it as it was shown."""
    link = access.share_link(request.user, link_id)
    if not link.is_alive:
        raise Http404
    try:
        draft = _draft(request, link.conversation)
        if request.method == "GET" or request.POST.get("digest") != draft.digest:
            return _update_dialog(request, link, draft)
        link.update_to(draft)
    except Refused as refused:
        return _link(request, link, refusal=str(refused))
    return _link(request, link, is_new=True)


@require_POST
@signed_in
def revocation_create(request: Request, link_id: UUID) -> HttpResponse:
    """End a link; one that has ended stays so."""
    link = access.share_link(request.user, link_id)
    link.revoke()
    if not request.htmx:
        return redirect("links")
    link.refresh_from_db(fields=["revoked_at"])
    return _link(request, link, is_new=True)


def _draft(request: Request, conversation: Conversation) -> Draft:
    """Up to the message that was asked for, looked up in this conversation; else all of the branch that is open."""
    asked = request.POST.get("upto") or request.GET.get("upto")
    try:
        message_id = UUID(asked) if asked else conversation.active_leaf_id
    except ValueError:
        raise BadRequest("This names no message.") from None
    if message_id is None:
        raise Refused(str(ShareLink.NOTHING))
    return Draft(access.message(conversation.owner, conversation.id, message_id))


def _share_dialog(
    request: Request, conversation: Conversation, form: ShareForm | None = None, refusal: str = ""
) -> HttpResponse:
    try:
        form = form or ShareForm(_draft(request, conversation))
        if "preview" in request.POST:
            form = ShareForm(form.draft, request.POST)
            form.full_clean()
            form.errors.clear()  # it is not sent yet
    except Refused as refused:
        return _dialog(request, "chat/_nothing_to_share.html", conversation, refusal=str(refused))
    context = {
        "form": form,
        "draft": form.draft,
        "snapshot": form.draft.snapshot(form.selection, is_live=form.is_live),
        "alive": access.share_links(request.user).alive().filter(conversation=conversation),
        "has_public": settings.HAS_PUBLIC_LINKS,
        "most_days": settings.LINK_DAYS,
        "least_password": LEAST_PASSWORD,
        "refusal": refusal,
    }
    status = 422 if form.errors or refusal else 200
    return _dialog(request, "chat/_share.html", conversation, status, **context)


def _update_dialog(request: Request, link: ShareLink, draft: Draft) -> HttpResponse:
    snapshot, latest = draft.snapshot(link.chosen), link.revision
    context = {
        "link": link,
        "latest": latest,
        "draft": draft,
        "snapshot": snapshot,
        "changes": difference(latest.messages, snapshot.messages),
        "is_renamed": latest.title != snapshot.title,
        "is_stale": request.method == "POST",
    }
    status = 422 if request.method == "POST" else 200
    return _dialog(request, "chat/_update_link.html", link.conversation, status, **context)


def _link(request: Request, link: ShareLink, *, is_new: bool = False, refusal: str = "") -> HttpResponse:
    """One link with its address; without script, what was done leads to a page that can be loaded again."""
    if is_new and not request.htmx:
        return redirect("link_detail", link.id)
    address = request.build_absolute_uri(reverse("shared", args=[link.token])) if link.token else ""
    context = {"link": link, "revision": link.revision, "address": address, "is_new": is_new, "refusal": refusal}
    response = _dialog(request, "chat/_link.html", link.conversation, 422 if refusal else 200, **context)
    return trigger_client_event(response, "chats:changed") if is_new else response


def _dialog(
    request: Request, template: str, conversation: Conversation, status: int = 200, **shown: Any
) -> HttpResponse:
    """The dialog's content; a page of its own where there is no script to open it."""
    context = {"conversation": conversation, "dialog": template, **shown}
    return render(request, template if request.htmx else "chat/share_page.html", context, status=status)
