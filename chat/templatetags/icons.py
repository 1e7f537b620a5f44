"""Icons in templates: a tag, since a message has many and an include of each costs a tenth of a page."""

from __future__ import annotations

from functools import cache

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
@cache
def icon(name: str, extra_class: str = "") -> SafeString:
    """One of the drawings in static/icons.svg; for the eye only."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true"><use href="{}#{}" /></svg>', extra_class, static("icons.svg"), name
    )
