"""The dialog of settings: what this person may change about the page and the account, in one place."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import Resolver404, resolve
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from chat.views.signed_in import Request, signed_in


@require_safe
@signed_in
def settings(request: Request) -> HttpResponse:
    return _dialog(request)


@require_POST
@signed_in
def sessions_end(request: Request) -> HttpResponse:
    """Sign this person out everywhere but here."""
    number = request.user.end_other_sessions(request.session.session_key or "")
    words = ngettext("Signed out on {number} other device.", "Signed out on {number} other devices.", number)
    return _dialog(request, words.format(number=number) if number else _("You are signed in nowhere else."))


@require_POST
@signed_in
def session_end(request: Request, mark: str) -> HttpResponse:
    """Sign this person out on one other device."""
    is_ended = request.user.end_session(mark)
    return _dialog(request, _("Signed out there.") if is_ended else _("That device is signed out already."))


def _dialog(request: Request, saved: str = "") -> HttpResponse:
    """The dialog's content; a page of its own where there is no script to open it."""
    pages = (
        ("/archive/", _("Archived chats")),
        ("/settings/links/", _("Shared links")),
        ("/settings/export/", _("Export")),
        ("/settings/import/", _("Import")),
        ("/settings/deletion/", _("Delete all chats")),
    )
    context = {
        "data": [(address, name) for address, name in pages if _exists(address)],
        "usage": "/settings/usage/" if _exists("/settings/usage/") else "",
        "saved": saved,
        "sessions": request.user.open_sessions(),
    }
    return render(request, "chat/_settings.html" if request.htmx else "chat/settings.html", context)


def _exists(address: str) -> bool:
    try:
        resolve(address)
    except Resolver404:
        return False
    return True
