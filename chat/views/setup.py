from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from chat.accounts import sign_in_new
from chat.forms import SetupForm
from chat.models import SetupLink


@require_http_methods(["GET", "POST"])
@never_cache
@sensitive_post_parameters()
def setup(request: HttpRequest, token: str) -> HttpResponse:
    """The one-time link that makes the first administrator, who is signed in right away."""
    if not SetupLink.is_valid(token):
        return render(request, "chat/setup_gone.html", status=404)
    form = SetupForm(request.POST or None)
    if not form.is_valid():
        return render(request, "chat/setup.html", {"form": form}, status=422 if form.is_bound else 200)
    user = SetupLink.redeem(token, **form.cleaned_data)
    if user is None:
        return render(request, "chat/setup_gone.html", status=404)
    sign_in_new(request, user)
    return redirect("new_chat")
