"""The second factor of sign-in: who must have one, and what of it lies in the database."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any

from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter, get_adapter
from allauth.mfa.base.forms import AuthenticateForm, BaseAuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.forms import EditWebAuthnForm
from cryptography.fernet import Fernet
from django import forms
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _

from chat.device import in_words
from chat.models import Audit, User
from chat.text import clean_text

# Where people may go who must set one up first: there, out, and to another language.
OPEN = {
    "mfa_index",
    "mfa_activate_totp",
    "mfa_add_webauthn",
    "mfa_view_recovery_codes",
    "mfa_generate_recovery_codes",
    "mfa_reauthenticate",
    "mfa_reauthenticate_webauthn",
    "account_reauthenticate",
    "account_logout",
    "language_update",
    "healthz",
    "readyz",
}


class Adapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Secrets are encrypted with a key made of the server's own: a copy of the database alone signs nobody in."""

    def generate_authenticator_name(self, user: User, type: str) -> str:  # noqa: A002  (the name is allauth's)
        return in_words(context.request.headers.get("User-Agent", ""))

    def encrypt(self, text: str) -> str:
        return _cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _cipher().decrypt(encrypted_text).decode()


@cache
def _cipher() -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(f"second factor {settings.SECRET_KEY}".encode()).digest()))


class OneTimeCode(BaseAuthenticateForm):  # type: ignore[misc]
    """A code of an app is good once, in whatever web process: allauth alone would forget it while it is still good."""

    NUM_REMEMBERED = 5

    def clean_code(self) -> str:
        code: str = super().clean_code()
        if self.authenticator.type == Authenticator.Type.TOTP and not self._is_new(code):
            raise get_adapter().validation_error("incorrect_code")
        return code

    @transaction.atomic
    def _is_new(self, code: str) -> bool:
        app = Authenticator.objects.select_for_update().get(pk=self.authenticator.pk)
        digits = "".join(filter(str.isdigit, code))
        used: list[str] = app.data.get("used", [])
        app.data["used"] = [*used, digits][-self.NUM_REMEMBERED :]
        app.save(update_fields=["data"])
        return digits not in used


class SignInForm(OneTimeCode, AuthenticateForm):  # type: ignore[misc]
    pass


class ConfirmForm(OneTimeCode, ReauthenticateForm):  # type: ignore[misc]
    pass


class PasskeyNameForm(EditWebAuthnForm):  # type: ignore[misc]
    name = forms.CharField(label=_("Name"), max_length=60)

    def clean_name(self) -> str:
        return clean_text(self.cleaned_data["name"])

    def save(self) -> Authenticator:
        renamed = super().save()
        Audit.enter(renamed.user, "second_factor.renamed", renamed.user, context.request, kind=renamed.type)
        return renamed


class SecondFactorMiddleware:
    """Leads whoever must have a second factor and has none to set it up; they can do nothing else."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *args: Any) -> HttpResponse | None:
        if settings.SECOND_FACTOR == "optional":  # before it is asked who this is
            return None
        assert request.resolver_match
        if request.resolver_match.url_name in OPEN or not request.user.is_authenticated:
            return None
        if not request.user.lacks_second_factor:
            return None
        return HttpResponse(status=401) if "HX-Request" in request.headers else redirect("mfa_index")
