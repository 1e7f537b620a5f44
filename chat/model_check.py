"""The check of messages and replies by a model, where the operator names a server for it.

It answers as OpenAI's moderation API does, `POST {"input": text}` with `{"results": [{"flagged": bool, "categories":
{name: bool}}]}`.
"""

from __future__ import annotations

import json
from http.client import HTTPException
from urllib.request import Request, urlopen

import structlog
from django.conf import settings
from django.utils.translation import gettext as _

from chat.refused import Refused

PATIENCE_S = 3.0
MOST_BYTES = 100_000
MOST_CATEGORIES = 10

log = structlog.get_logger()


def flagged(text: str) -> list[str] | None:
    """For what a text was flagged, in the model's words, or None when it was not.

    Raises Refused when the model does not say: what could not be checked is neither sent nor shown.
    """
    headers = {"Content-Type": "application/json"}
    if settings.MODERATION_KEY:
        headers["Authorization"] = f"Bearer {settings.MODERATION_KEY}"
    request = Request(settings.MODERATION_URL, json.dumps({"input": text}).encode(), headers)
    try:
        with urlopen(request, timeout=PATIENCE_S) as answer:
            [result] = json.loads(answer.read(MOST_BYTES))["results"]
            categories = [str(name)[:60] for name, is_found in dict(result.get("categories") or {}).items() if is_found]
            return categories[:MOST_CATEGORIES] if result["flagged"] else None
    except (OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
        log.error("moderation.no_answer", error=type(error).__name__)
        raise Refused(_("Your message could not be checked just now. Try again in a moment.")) from None
