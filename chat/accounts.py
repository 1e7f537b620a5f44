from __future__ import annotations

import time
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.internal.flows.login import get_authentication_records, record_authentication
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest

from chat.models import Audit, User


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """How people get accounts: closed unless the operator opens it (QWENWEB_SIGNUP)."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.IS_SIGNUP_OPEN)

    def save_user(self, request: HttpRequest, user: Any, form: Any, commit: bool = True) -> Any:
        """Where an administrator lets people in, the account waits until it is activated."""
        user.name = user.name or form.cleaned_data["email"].partition("@")[0]
        user.is_active = not settings.NEEDS_APPROVAL
        saved = super().save_user(request, user, form, commit)
        Audit.enter(saved, "user.signed_up", saved, request, is_active=saved.is_active)
        return saved

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Not from somebody who has just signed in: nothing was learnt of them since."""
        records = get_authentication_records(self.request, self.request.user)
        is_fresh = bool(records) and time.time() - records[-1]["at"] < settings.ACCOUNT_REAUTHENTICATION_TIMEOUT
        return not is_fresh and super().is_reauthentication_required(app=app, **kwargs)

    def add_message(self, request: HttpRequest, level: int, *args: Any, **kwargs: Any) -> None:
        """What went well is seen on the page that follows."""
        if level >= messages.ERROR:
            super().add_message(request, level, *args, **kwargs)


def sign_in_new(request: HttpRequest, user: User) -> None:
    """Sign in somebody who has just chosen their password."""
    login(request, user)
    record_authentication(request, user, "password")


class AccountBackend(AuthenticationBackend):  # type: ignore[misc]
    def get_user(self, user_id: object) -> User | None:
        """Who a session belongs to; nobody when the user is not active any more."""
        user = User.objects.by_id(user_id)
        return user if user and self.user_can_authenticate(user) else None
