"""Django's admin: the records of the team. What people write is not shown here."""

from chat.admin import audit, groups, people, quotas, usage

__all__ = ["audit", "groups", "people", "quotas", "usage"]
