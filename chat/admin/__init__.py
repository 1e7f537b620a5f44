"""Django's admin: the records of the team. What people write is not shown here."""

from chat.admin import audit, entrance, feedback, groups, invitations, people, quotas, share_links, usage

__all__ = ["audit", "entrance", "feedback", "groups", "invitations", "people", "quotas", "share_links", "usage"]
