from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from chat.views.sign_in import SignIn

urlpatterns = [
    path("admin/workers/", include("chat.urls.workers")),
    path("admin/", include("chat.urls.review")),
    path("admin/", admin.site.urls),
    path("accounts/login/", SignIn.as_view()),
    path("accounts/", include("allauth.account.urls")),
    path("accounts/factor/", include("chat.urls.second_factor")),
    path("accounts/", include("chat.urls.oidc")),
    path("", include("chat.urls")),
]

handler403 = "chat.views.errors.forbidden"
handler404 = "chat.views.errors.not_found"
handler500 = "chat.views.errors.server_error"
