from __future__ import annotations

from urllib.parse import urlsplit

from django.core.exceptions import BadRequest
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import Resolver404, resolve
from django.views.decorators.http import require_POST

from chat.forms import LanguageForm
from chat.views.signed_in import Request, signed_in


@require_POST
@signed_in
def language_update(request: Request) -> HttpResponse:
    """Speak to this person in the language they chose, from the page on which they chose it."""
    form = LanguageForm(request.POST)
    if not form.is_valid():
        raise BadRequest("This page does not speak that language.")
    request.user.choose_language(form.cleaned_data["language"])
    return redirect(_page_of(request.headers.get("Referer", "")))


def _page_of(address: str) -> str:
    """The path of one of our pages, else that of a new chat."""
    try:
        path = urlsplit(address).path
        return path if resolve(path).url_name == "conversation_detail" else "/"
    except (Resolver404, ValueError):
        return "/"
