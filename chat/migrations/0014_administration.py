from django.db import migrations, models

SUM_UP_AGAIN = "DELETE FROM chat_usagesum; DELETE FROM chat_workerday; UPDATE chat_rollup SET until = NULL"


class Migration(migrations.Migration):

    dependencies = [
        ("chat", "0009_share_links"),
    ]

    operations = [
        # The sums of a person's day are new: the ledger is summed up again within minutes.
        migrations.RunSQL(SUM_UP_AGAIN, SUM_UP_AGAIN),
        migrations.AlterField(
            model_name="usagesum",
            name="grain",
            field=models.CharField(
                choices=[("day", "Day"), ("person", "Person"), ("month", "Month"), ("everyone", "Everyone")],
                max_length=8,
            ),
        ),
        migrations.RemoveConstraint(model_name="usagesum", name="usage_sum_is_once"),
        migrations.AddConstraint(
            model_name="usagesum",
            constraint=models.UniqueConstraint(
                fields=("grain", "day", "user_id", "model", "source"),
                include=("prompt_tokens", "completion_tokens"),
                name="usage_sum_is_once",
                nulls_distinct=False,
            ),
        ),
        migrations.AddIndex(
            model_name="feedback", index=models.Index(fields=["created_at"], name="feedback_by_time")
        ),
    ]
