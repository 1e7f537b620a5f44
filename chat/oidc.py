"""Sign-in by another server that people have an account with already (OpenID Connect): whom it may bring."""

from __future__ import annotations

from functools import partial
from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp
from django.conf import settings
from django.http import HttpRequest
from django.shortcuts import render
from django.utils.translation import gettext as _

from chat.models import Audit, Invitation, User
from chat.text import clean_text

PROVIDER = "oidc"
# Under this name the hash of an invitation's token waits in the session until its person comes back.
INVITATION = "invitation"


def name() -> str:
    """What the page calls the other server; "" where there is none."""
    return str(settings.OIDC_NAME) if settings.OIDC_ISSUER else ""


class Adapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """Lets new people in as sign-up does, and joins an account of the same address only where the operator says so."""

    def list_apps(self, request: HttpRequest, provider: str = "", client_id: str = "") -> list[SocialApp]:
        """The one server of the settings; none can be added in the database."""
        named = {"provider_id": PROVIDER, "name": settings.OIDC_NAME, "settings": {"server_url": settings.OIDC_ISSUER}}
        known = {"client_id": settings.OIDC_CLIENT_ID, "secret": settings.OIDC_CLIENT_SECRET}
        return [SocialApp(provider="openid_connect", **named, **known)] if settings.OIDC_ISSUER else []

    def can_authenticate_by_email(self, login: Any, email: str) -> bool:
        return bool(settings.OIDC_JOIN) and _is_verified(login)

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Say no in words, where there would be a form to choose another address."""
        if sociallogin.is_existing:
            if sociallogin._did_authenticate_by_email:
                Audit.enter(sociallogin.user, "user.joined", sociallogin.user, request)
        elif INVITATION in sociallogin.state and not _invitation(sociallogin):
            raise _invitation_gone(request)
        elif reason := _refusal(sociallogin):
            raise ImmediateHttpResponse(render(request, "socialaccount/refused.html", {"reason": reason}, status=403))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        is_of_domain = sociallogin.user.email.rpartition("@")[2] in settings.SIGNUP_DOMAINS
        is_welcome = bool(settings.IS_SIGNUP_OPEN) or (is_of_domain and _is_verified(sociallogin))
        return is_welcome or INVITATION in sociallogin.state  # which is used up, or refused, as they are saved

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> Any:
        user = super().populate_user(request, sociallogin, data)
        user.email = user.email.lower()
        name = clean_text(str(data.get("name") or user.email.partition("@")[0]))
        user.name = " ".join(name.split())[:120]
        return user

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> Any:
        """Where an administrator lets people in, the account waits until it is activated, unless they were invited."""
        user, save = sociallogin.user, partial(super().save_user, request, sociallogin, form)
        for address in sociallogin.email_addresses:
            address.verified = _is_verified(sociallogin)
        if INVITATION in sociallogin.state:
            invitation = _invitation(sociallogin)
            # It was good a moment ago; by now somebody else may have used it.
            if invitation is None or not invitation.redeem(user, save):
                raise _invitation_gone(request)
            Audit.enter(user, "invitation.used", invitation, request, role=str(user.role), by=PROVIDER)
        else:
            user.is_active = not settings.NEEDS_APPROVAL
            save()
            Audit.enter(user, "user.signed_up", user, request, is_active=user.is_active, by=PROVIDER)
        return user


def _invitation(sociallogin: Any) -> Invitation | None:
    """The one with which somebody set out, while it is good."""
    token_hash = sociallogin.state.get(INVITATION)
    return Invitation.find_hashed(token_hash) if token_hash else None


def _invitation_gone(request: HttpRequest) -> ImmediateHttpResponse:
    return ImmediateHttpResponse(render(request, "chat/invitation_gone.html", status=404))


def _refusal(sociallogin: Any) -> str:
    """Why somebody new cannot be let in, whoever may sign up; "" when nothing is in the way."""
    email = sociallogin.user.email
    if not email:
        return _("It did not tell your e-mail address.")
    if User.objects.filter(email__iexact=email).exists():
        return _("There is an account with this address already: sign in with its password.")
    invitation = _invitation(sociallogin)
    if invitation and invitation.email not in ("", email):
        return _("The invitation is for another address: {email}").format(email=invitation.email)
    return ""


def _is_verified(sociallogin: Any) -> bool:
    """Whether the other server says that the address is theirs; some spell it as a word."""
    told = (sociallogin.account.get_provider_account().get_user_data() or {}).get("email_verified")
    return told is True or told == "true"
