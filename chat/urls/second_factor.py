"""Setting up a second factor, and being asked for it: views of allauth, under the names by which it knows them."""

from __future__ import annotations

from allauth.mfa.base import views as base
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from django.urls import path, reverse_lazy

remove_webauthn = webauthn.RemoveWebAuthnView.as_view(success_url=reverse_lazy("mfa_index"))
edit_webauthn = webauthn.EditWebAuthnView.as_view(success_url=reverse_lazy("mfa_index"))

urlpatterns = [
    path("", base.index, name="mfa_index"),
    path("authenticate/", base.authenticate, name="mfa_authenticate"),
    path("reauthenticate/", base.reauthenticate, name="mfa_reauthenticate"),
    path("totp/activate/", totp.activate_totp, name="mfa_activate_totp"),
    path("totp/deactivate/", totp.deactivate_totp, name="mfa_deactivate_totp"),
    path("recovery-codes/", recovery_codes.view_recovery_codes, name="mfa_view_recovery_codes"),
    path("recovery-codes/generate/", recovery_codes.generate_recovery_codes, name="mfa_generate_recovery_codes"),
    path("passkeys/login/", webauthn.login_webauthn, name="mfa_login_webauthn"),
    path("passkeys/reauthenticate/", webauthn.reauthenticate_webauthn, name="mfa_reauthenticate_webauthn"),
    path("passkeys/add/", webauthn.add_webauthn, name="mfa_add_webauthn"),
    path("passkeys/<int:pk>/name/", edit_webauthn, name="mfa_edit_webauthn"),
    path("passkeys/<int:pk>/remove/", remove_webauthn, name="mfa_remove_webauthn"),
]
