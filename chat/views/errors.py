"""What people see when something is not there, not theirs, or broke."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from chat.database import AWAY


def bad_request(request: HttpRequest, exception: object = None) -> HttpResponse:
    return render(request, "400.html", status=400)


def forbidden(request: HttpRequest, exception: object = None) -> HttpResponse:
    return render(request, "403.html", status=403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return render(request, "403_csrf.html", status=403)


def not_found(request: HttpRequest, exception: object = None) -> HttpResponse:
    return render(request, "404.html", status=404)


def server_error(_: HttpRequest) -> HttpResponse:
    """Rendered without the request: what broke may be what its context needs. A database that is away comes back."""
    if isinstance(sys.exc_info()[1], AWAY):
        return HttpResponse(render_to_string("503.html"), status=503, headers={"Retry-After": "3"})
    return HttpResponse(render_to_string("500.html"), status=500)
