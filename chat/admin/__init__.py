"""Django's admin: the records of the team. What people write is not shown here."""

from chat.admin import audit, groups, people, usage

__all__ = ["audit", "groups", "people", "usage"]
