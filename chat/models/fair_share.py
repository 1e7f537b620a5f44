from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.db import connection, models
from django.db.models.functions import Now


class FairShare(models.Model):
    """How many seconds of the devices a person, or a class of replies, has had lately: what the queue goes by.

    `used_s` was right at `used_at`, and half of it is forgotten in each `HALF_LIFE_S` after. With `weight` 2 twice as
    much is used for the same place in the queue.
    """

    HALF_LIFE_S = 300.0

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="fair_share"
    )
    priority = models.PositiveSmallIntegerField(null=True, unique=True)
    used_s = models.FloatField(default=0)
    used_at = models.DateTimeField(db_default=Now())
    weight = models.FloatField(default=1)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=models.Q(user=None) ^ models.Q(priority=None), name="fair_share_of_a_person_or_a_class"
            ),
            models.CheckConstraint(condition=models.Q(weight__gt=0), name="fair_share_has_a_weight"),
        )

    def __str__(self) -> str:
        return f"share of {self.user_id or f'class {self.priority}'}"

    @classmethod
    def charge(cls, user_id: UUID, priority: int, device_s: float) -> None:
        """Add the time on a device that a reply took."""
        if device_s <= 0:
            return
        with connection.cursor() as cursor:
            whose: str
            value: UUID | int
            for whose, value in (("user_id", user_id), ("priority", priority)):
                cursor.execute(CHARGE.format(whose=whose), [value, device_s, cls.HALF_LIFE_S])


CHARGE = """
    INSERT INTO chat_fairshare AS share ({whose}, used_s, used_at, weight) VALUES (%s, %s, now(), 1)
    ON CONFLICT ({whose}) DO UPDATE
    SET used_s = excluded.used_s
                 + share.used_s * power(0.5::float8, extract(epoch FROM now() - share.used_at)::float8 / %s),
        used_at = now()
"""
