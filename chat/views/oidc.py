"""To the server that people have an account with already, and back; see chat.oidc."""

from __future__ import annotations

from allauth.account.utils import get_next_redirect_url
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.providers.base import AuthProcess
from allauth.socialaccount.providers.openid_connect import views
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from requests import RequestException

from chat.models import Invitation
from chat.oidc import INVITATION, PROVIDER


@require_safe
@never_cache
def sign_in(request: HttpRequest) -> HttpResponse:
    """Send somebody there, who may have an invitation; what else the address asks for is not passed on."""
    if not settings.OIDC_ISSUER:
        raise Http404
    if request.user.is_authenticated:
        return redirect("new_chat")
    known = {}
    if token := request.GET.get("invitation"):
        invitation = Invitation.find(token)
        if invitation is None:
            return render(request, "chat/invitation_gone.html", status=404)
        known = {INVITATION: invitation.token_hash}
    provider = get_adapter().get_provider(request, PROVIDER)
    try:
        answer: HttpResponse = provider.redirect(request, AuthProcess.LOGIN, get_next_redirect_url(request), **known)
    except (RequestException, KeyError) as error:
        answer = render_authentication_error(request, provider, exception=error)
    return answer


@require_safe
@never_cache
def callback(request: HttpRequest, provider_id: str) -> HttpResponse:
    if not settings.OIDC_ISSUER or provider_id != PROVIDER:
        raise Http404
    try:
        answer: HttpResponse = views.callback(request, provider_id)
    except (RequestException, KeyError) as error:
        provider = get_adapter().get_provider(request, PROVIDER)
        answer = render_authentication_error(request, provider, exception=error)
    return answer
