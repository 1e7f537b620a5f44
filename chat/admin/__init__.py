"""Django's admin: the records of the team. What people write is not shown here."""

from chat.admin import audit, groups, invitations, people, quotas, usage

__all__ = ["audit", "groups", "invitations", "people", "quotas", "usage"]
