from __future__ import annotations

from django.contrib.auth.models import Group
from django.db import models
from django.utils.translation import gettext_lazy as _


class GroupRule(models.Model):
    """What holds for the members of a group; of several groups the largest weight and the longest time hold."""

    LEAST_WEIGHT = 0.1

    group = models.OneToOneField(Group, on_delete=models.CASCADE, primary_key=True, related_name="rule")
    weight = models.FloatField(
        _("weight in the queue"),
        default=1,
        help_text=_("With 2 somebody gets twice the time of the devices before they wait behind others."),
    )
    keep_days = models.PositiveIntegerField(
        _("days that chats are kept"),
        null=True,
        blank=True,
        help_text=_("Chats in which nothing is asked for so long are deleted, but for pinned ones. Empty: no rule."),
    )

    class Meta:
        constraints = (models.CheckConstraint(condition=models.Q(weight__gt=0), name="group_rule_has_a_weight"),)

    def __str__(self) -> str:
        return f"rule of group {self.group_id}"
