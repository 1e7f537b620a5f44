"""Sign-in by another server; the names are those by which allauth knows them."""

from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from chat.views import oidc

to_sign_in = RedirectView.as_view(pattern_name="account_login")

urlpatterns = [
    path("oidc/login/", oidc.sign_in, name="oidc_sign_in"),
    path("oidc/cancelled/", to_sign_in, name="socialaccount_login_cancelled"),
    # Where two with the same address come at once, the second begins anew.
    path("oidc/again/", to_sign_in, name="socialaccount_signup"),
    path("<str:provider_id>/callback/", oidc.callback, name="openid_connect_callback"),
]
