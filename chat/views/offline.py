"""The page for when the server is not to be reached, and the service worker that keeps it in the browser."""

from __future__ import annotations

import hashlib
import json
import re

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import get_language, override
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chat.language import is_spoken

SOURCE = settings.BASE_DIR / "static" / "js" / "pages" / "offline-worker.js"
PART = re.compile(rf'(?:src|href)="({settings.STATIC_URL}[^"#]+)')


@require_safe
@never_cache
def offline(request: HttpRequest) -> HttpResponse:
    """The page in the language that the address names. Every browser keeps it, so nothing in it is about anybody."""
    return HttpResponse(_page(_language(request)))


@require_safe
@never_cache
def worker(request: HttpRequest) -> HttpResponse:
    """The service worker for one language. Its text changes with all that it keeps, and so the browser renews it."""
    language = _language(request)
    html, source = _page(language), SOURCE.read_text()
    told = {
        "version": hashlib.sha256((html + source).encode()).hexdigest()[:16],
        "page": f"{reverse('offline')}?language={language}",
        "parts": sorted(set(PART.findall(html))),
    }
    return HttpResponse(f"self.OFFLINE = {json.dumps(told)};\n{source}", content_type="text/javascript")


def _language(request: HttpRequest) -> str:
    asked = request.GET.get("language", "")
    return asked if is_spoken(asked) else get_language() or settings.LANGUAGE_CODE


def _page(language: str) -> str:
    """Rendered without a request, which would bring in who asks."""
    with override(language):
        return render_to_string("offline.html")
