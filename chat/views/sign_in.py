from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from allauth.account.views import LoginView

from chat import oidc


class SignIn(LoginView):  # type: ignore[misc]
    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Besides, the other server that signs people in, and what it is to know of where they want to go."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        there = context.get("redirect_field_value")
        query = urlencode({context["redirect_field_name"]: there}, safe="/") if there else ""
        return {**context, "oidc_name": oidc.name(), "oidc_query": query}
