"""Where one finds a chat, or a thing to do: what the box shows while somebody types into it, and a page of its own."""

from __future__ import annotations

from typing import NamedTuple

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from chat.search import search
from chat.views.signed_in import Request, signed_in


class Command(NamedTuple):
    """Something to do: an address to go to, or a theme to choose."""

    label: str
    icon: str
    address: str = ""
    theme: str = ""


@require_safe
@signed_in
def found(request: Request) -> HttpResponse:
    query = request.GET.get("q", "").strip()
    wanted = query.lower()
    context = {
        "query": query,
        "found": search(request.user, query),
        "commands": [command for command in _commands() if wanted in command.label.lower()],
    }
    return render(request, "chat/_found.html" if request.htmx else "chat/search.html", context)


def _commands() -> list[Command]:
    return [
        Command(_("New chat"), "plus", reverse("new_chat")),
        Command(_("Temporary chat"), "clock", f"{reverse('new_chat')}?temporary"),
        Command(_("Archived chats"), "box", reverse("archive")),
        Command(_("Folders"), "folder", reverse("folders")),
        Command(_("Change password"), "key", reverse("account_change_password")),
        Command(_("Theme: system"), "gear", theme="system"),
        Command(_("Theme: light"), "gear", theme="light"),
        Command(_("Theme: dark"), "gear", theme="dark"),
    ]
