"""Django's admin: the records of the team. What people write is not shown here."""

from chat.admin import (
    audit,
    banners,
    entrance,
    feedback,
    glass,
    groups,
    invitations,
    models,
    moderation,
    people,
    quotas,
    share_links,
    usage,
)

__all__ = [
    "audit",
    "banners",
    "entrance",
    "feedback",
    "glass",
    "groups",
    "invitations",
    "models",
    "moderation",
    "people",
    "quotas",
    "share_links",
    "usage",
]
