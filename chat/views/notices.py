"""What people do with the notices above a page."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from chat import access
from chat.views.signed_in import Request, signed_in


@require_POST
@signed_in
def banner_dismiss(request: Request, banner_id: UUID) -> HttpResponse:
    """Never show it to this person again; an error stays."""
    access.banner(request.user, banner_id).dismiss(request.user)
    return _gone(request)


@require_POST
@signed_in
def glass_break_acknowledge(request: Request, glass_break_id: UUID) -> HttpResponse:
    """The person knows that their chats may be read."""
    access.glass_break_of(request.user, glass_break_id).acknowledge(request)
    return _gone(request)


def _gone(request: Request) -> HttpResponse:
    """Nothing in the place of the notice; without script, the page on which it stood."""
    if request.htmx:
        return HttpResponse()
    where = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(where, {request.get_host()}, require_https=request.is_secure())
    return redirect(where if is_ours else "/")
