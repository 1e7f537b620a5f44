"""The page at the address of a shared link, as its readers see it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import NamedTuple
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters

from chat import access
from chat.forms import ReplyForm
from chat.models import Message, Refused, ShareLink, User

COOKIE = "shared"
UNLOCKED_S = 43_200
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
}


class WatchedReply(NamedTuple):
    """A reply that is being written, as the page begins to watch it: its message and its generation in one."""

    id: UUID
    status: str
    role: str = Message.Role.ASSISTANT
    is_over: bool = False


def sealed(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let what is unknown, revoked, expired or not for this reader look the same, to the last byte."""

    @wraps(view)
    def guarded(request: HttpRequest, **kwargs: str) -> HttpResponse:
        try:
            # A relative link, so that the page that has it is the same at every address.
            if "sign-in" in request.GET and not request.user.is_authenticated:
                response: HttpResponse = redirect_to_login(request.path)
            else:
                response = view(request, **kwargs)
        except Http404:
            response = render(request, "chat/nothing_shared.html", status=404)
        for name, value in HEADERS.items():
            response[name] = value
        return response

    return guarded


@sealed
def nothing(request: HttpRequest, rest: str) -> HttpResponse:
    raise Http404


@sensitive_post_parameters("password")
@sealed
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """What is shared; before that its password, if it has one."""
    link = access.shared(request.user, token)
    if request.method == "POST":
        return _unlock(request, link)
    if request.method not in {"GET", "HEAD"}:
        raise Http404
    if not _is_unlocked(request, link):
        return render(request, "chat/shared_password.html")
    link.settle()
    if request.method == "GET" and request.user != link.owner and not link.count_view():
        raise Http404
    context = {"link": link, "token": token, "revision": link.revision, "client_id": uuid4()}
    return render(request, "chat/shared.html", context | _watching(request, link))


@sealed
def copy_create(request: HttpRequest, token: str) -> HttpResponse:
    """The reader goes on in a conversation of their own, from the revision that was on the screen."""
    link = access.shared(request.user, token)
    number, form = request.POST.get("revision", ""), ReplyForm(request.POST)
    is_good = request.method == "POST" and number.isascii() and number.isdigit() and len(number) < 9
    if not (is_good and form.is_valid() and _is_unlocked(request, link)):
        raise Http404
    if not isinstance(request.user, User):
        return redirect_to_login(request.path.removesuffix("copies/"))
    revision = access.revision(link, int(number))
    return redirect("conversation_detail", revision.copy_for(request.user, form.cleaned_data["client_id"]))


def _watching(request: HttpRequest, link: ShareLink) -> dict[str, object]:
    if link.watched is None or not isinstance(request.user, User):
        return {}
    ticket = access.watch_ticket(request.user, link)
    return {"watched": WatchedReply(link.watched.id, link.watched.status), "ticket": ticket}


def _unlock(request: HttpRequest, link: ShareLink) -> HttpResponse:
    response: HttpResponse = redirect(request.path)
    if not link.password:
        return response
    try:
        is_right = link.accepts(request.POST.get("password", ""))
    except Refused as refused:
        return render(request, "chat/shared_password.html", {"refusal": str(refused)}, status=429)
    if not is_right:
        return render(request, "chat/shared_password.html", {"is_wrong": True}, status=422)
    response.set_signed_cookie(
        COOKIE,
        str(link.id),
        salt=link.password,
        max_age=UNLOCKED_S,
        path=request.path,
        secure=settings.IS_HTTPS,
        httponly=True,
        samesite="Lax",
    )
    return response


def _is_unlocked(request: HttpRequest, link: ShareLink) -> bool:
    if not link.password or request.user == link.owner:
        return True
    opened = request.get_signed_cookie(COOKIE, default="", salt=link.password, max_age=UNLOCKED_S)
    return opened == str(link.id)
