"""How people who were invited come in."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from urllib.parse import urlencode

import structlog
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from chat import oidc
from chat.accounts import sign_in_new
from chat.forms import InvitationForm, InvitationRequestForm
from chat.models import Audit, Invitation, User

log = structlog.get_logger()


@require_http_methods(["GET", "POST"])
@never_cache
@sensitive_post_parameters()
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """The form behind an invitation's link; whoever makes an account with it is signed in right away."""
    found = Invitation.find(token)
    if found is None:
        return _gone(request)
    form = InvitationForm(found, request.POST or None)
    if not form.is_valid():
        return _offered(request, form, token)
    fields = form.cleaned_data
    # Hashing is slow on purpose, so it is done before the row of the invitation is locked.
    user = User(email=fields["email"], name=fields["name"], password=make_password(fields["password"]))
    try:
        is_in_time = found.redeem(user, partial(user.save, force_insert=True))
    except IntegrityError:  # two made an account of the same address at the same moment
        form.add_error("email", _("There is an account with this address already: sign in with it."))
        return _offered(request, form, token)
    if not is_in_time:
        return _gone(request)
    Audit.enter(user, "invitation.used", found, request, role=str(user.role))
    sign_in_new(request, user)
    return redirect("new_chat")


def _offered(request: HttpRequest, form: InvitationForm, token: str) -> HttpResponse:
    """The form; where people sign in with another server, the way to it that takes the invitation along."""
    context = {"form": form, "oidc_name": oidc.name(), "oidc_query": urlencode({"invitation": token})}
    return render(request, "chat/invitation.html", context, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "POST"])
@never_cache
def invitation_create(request: HttpRequest) -> HttpResponse:
    """Ask for an invitation by mail, where a domain's people may. The answer tells nobody who has an account."""
    if not settings.SIGNUP_DOMAINS:
        raise Http404
    form = InvitationRequestForm(request.POST or None)
    if not form.is_valid():
        status = 422 if form.is_bound else 200
        return render(request, "chat/invitation_request.html", {"form": form}, status=status)
    email = form.cleaned_data["email"]
    is_welcome = email.rpartition("@")[2] in settings.SIGNUP_DOMAINS
    if is_welcome and not User.objects.filter(email__iexact=email).exists():
        _invite(request, email)
    return render(request, "chat/invitation_request.html", {"is_sent": True})


def _invite(request: HttpRequest, email: str) -> None:
    """One letter a quarter of an hour for an address, however often it is asked for."""
    just_now = timezone.now() - timedelta(minutes=15)
    if Invitation.objects.filter(email=email, created_by=None, created_at__gt=just_now).exists():
        return
    made = Invitation(email=email, expires_at=timezone.now() + Invitation.LASTS)
    token = made.renew()
    made.save()
    Audit.enter(None, "invitation.asked", made, request)
    try:
        made.send(request.build_absolute_uri(reverse("invitation", args=[token])))
    except OSError:
        log.exception("invitation.unsent")


def _gone(request: HttpRequest) -> HttpResponse:
    return render(request, "chat/invitation_gone.html", status=404)
