from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.auth_backends import AuthenticationBackend
from django.conf import settings
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


class AccountBackend(AuthenticationBackend):  # type: ignore[misc]
    def get_user(self, user_id: object) -> User | None:
        """Who a session belongs to; nobody when the user is not active any more."""
        user = User.objects.by_id(user_id)
        return user if user and self.user_can_authenticate(user) else None
