"""Which language people are spoken to in: the one they chose, else their browser's, else English."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.middleware.locale import LocaleMiddleware
from django.utils import translation


class LanguageMiddleware(LocaleMiddleware):
    """Django's, which goes by the browser; what somebody who is signed in has chosen comes first."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        chosen = getattr(request.user, "language", "")
        if is_spoken(chosen):
            translation.activate(chosen)
            request.LANGUAGE_CODE = chosen


def is_spoken(code: str) -> bool:
    return any(code == spoken for spoken, _ in settings.LANGUAGES)
