"""Folders: their names and system prompts, what is in them, and which one a chat is in."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from chat import access
from chat.models import Folder, Refused
from chat.views.conversations import dialog, done
from chat.views.signed_in import Request, signed_in

MOST_SHOWN = 500


@require_http_methods(["GET", "POST"])
@signed_in
def folders(request: Request) -> HttpResponse:
    """All folders, and the form of a new one."""
    return _described(request, Folder(owner=request.user), is_new=True)


@require_http_methods(["GET", "POST"])
@signed_in
def folder(request: Request, folder_id: UUID) -> HttpResponse:
    return _described(request, access.folder(request.user, folder_id), is_new=False)


@require_POST
@signed_in
def folder_delete(request: Request, folder_id: UUID) -> HttpResponse:
    """Delete a folder; the chats in it stay."""
    access.folder(request.user, folder_id).delete()
    return redirect("folders")


@require_http_methods(["GET", "POST"])
@signed_in
def move(request: Request, conversation_id: UUID) -> HttpResponse:
    """Put a chat into a folder, a new one if it is given a name, or into none."""
    conversation = access.conversation(request.user, conversation_id)
    shown = {"folders": access.folders(request.user)}
    if request.method == "GET":
        return dialog(request, "chat/_move.html", conversation, **shown)
    try:
        conversation.move_to(_chosen(request))
    except Refused as refused:
        return dialog(request, "chat/_move.html", conversation, **shown, refusal=str(refused))
    return done(request, reverse("conversation_detail", args=[conversation_id]))


def _chosen(request: Request) -> Folder | None:
    if name := request.POST.get("name", "").strip():
        folder = Folder(owner=request.user)
        folder.describe(name, "")
        return folder
    try:
        folder_id = UUID(request.POST["folder"]) if request.POST.get("folder") else None
    except ValueError:
        raise BadRequest("This form was not sent by the page.") from None
    return access.folder(request.user, folder_id) if folder_id else None


def _described(request: Request, folder: Folder, *, is_new: bool) -> HttpResponse:
    name, system_prompt, refusal = folder.name, folder.system_prompt, ""
    if request.method == "POST":
        name, system_prompt = request.POST.get("name", ""), request.POST.get("system_prompt", "")
        try:
            folder.describe(name, system_prompt)
        except Refused as refused:
            refusal = str(refused)
        else:
            return redirect("folder", folder.id)
    context = {
        "folder": None if is_new else folder,
        "folders": access.folders(request.user) if is_new else [],
        "chats": [] if is_new else folder.conversations.filter(expires_at=None).order_by("-id")[:MOST_SHOWN],
        "name": name,
        "system_prompt": system_prompt,
        "refusal": refusal,
    }
    return render(request, "chat/folder.html", context, status=422 if refusal else 200)
