from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """How people get accounts: closed unless the operator opens it (QWENWEB_SIGNUP)."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.IS_SIGNUP_OPEN)

    def save_user(self, request: HttpRequest, user: Any, form: Any, commit: bool = True) -> Any:
        user.name = user.name or form.cleaned_data["email"].partition("@")[0]
        return super().save_user(request, user, form, commit)
