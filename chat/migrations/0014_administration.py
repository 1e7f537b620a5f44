import chat.models.ids
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

SUM_UP_AGAIN = "DELETE FROM chat_usagesum; DELETE FROM chat_workerday; UPDATE chat_rollup SET until = NULL"


class Migration(migrations.Migration):

    dependencies = [
        ("chat", "0013_sign_in"),
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
        migrations.CreateModel(
            name='Banner',
            fields=[
                ('id', models.UUIDField(default=chat.models.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('level', models.CharField(choices=[('info', 'Information'), ('warning', 'Warning'), ('error', 'Error: nobody can dismiss it')], default='info', max_length=7, verbose_name='level')),
                ('text', models.TextField(help_text='Plain text; addresses become links.', max_length=1000, verbose_name='text')),
                ('audience', models.CharField(choices=[('everyone', 'Everyone'), ('admins', 'Administrators and auditors')], default='everyone', max_length=8, verbose_name='who sees it')),
                ('starts_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='start')),
                ('ends_at', models.DateTimeField(blank=True, help_text='Empty: until it is deleted.', null=True, verbose_name='end')),
                ('dismissed_by', models.ManyToManyField(editable=False, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'banner',
                'verbose_name_plural': 'banners',
                'constraints': [models.CheckConstraint(condition=models.Q(('ends_at', None), ('ends_at__gt', models.F('starts_at')), _connector='OR'), name='banner_ends_after_its_start', violation_error_message='The end comes before the start.')],
            },
        ),
        migrations.CreateModel(
            name='GlassBreak',
            fields=[
                ('id', models.UUIDField(default=chat.models.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('reader_name', models.CharField(max_length=254, verbose_name='reader')),
                ('conversation_id', models.UUIDField(blank=True, null=True, verbose_name='chat')),
                ('reason', models.CharField(max_length=500, verbose_name='reason')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='from')),
                ('expires_at', models.DateTimeField(verbose_name='until')),
                ('ended_at', models.DateTimeField(null=True, verbose_name='ended')),
                ('acknowledged_at', models.DateTimeField(null=True, verbose_name='the person knows since')),
                ('person', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('reader', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'reading of chats',
                'verbose_name_plural': 'reading of chats',
                'indexes': [models.Index(condition=models.Q(('acknowledged_at', None)), fields=['person'], name='glass_break_untold')],
            },
        ),
        migrations.AddField(
            model_name='sharelink',
            name='groups',
            field=models.ManyToManyField(blank=True, related_name='+', to='auth.group'),
        ),
        migrations.CreateModel(
            name='GroupRule',
            fields=[
                ('group', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='rule', serialize=False, to='auth.group')),
                ('weight', models.FloatField(default=1, help_text='With 2 somebody gets twice the time of the devices before they wait behind others.', verbose_name='weight in the queue')),
                ('keep_days', models.PositiveIntegerField(blank=True, help_text='Chats in which nothing is asked for so long are deleted, but for pinned ones. Empty: no rule.', null=True, verbose_name='days that chats are kept')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('weight__gt', 0)), name='group_rule_has_a_weight')],
            },
        ),
        migrations.CreateModel(
            name='ModelAccess',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('model', models.CharField(help_text='Its name, as people choose it.', max_length=200, unique=True, verbose_name='model')),
                ('groups', models.ManyToManyField(blank=True, help_text='Without any, nobody may ask it.', related_name='+', to='auth.group', verbose_name='groups')),
            ],
            options={
                'verbose_name': 'model for some groups',
                'verbose_name_plural': 'models for some groups',
            },
        ),
        migrations.CreateModel(
            name='ModerationRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(help_text='People read it when it refuses.', max_length=60, unique=True, verbose_name='name')),
                ('pattern', models.CharField(help_text='A regular expression; large and small letters are the same.', max_length=500, verbose_name='pattern')),
                ('side', models.CharField(choices=[('messages', 'Messages'), ('replies', 'Replies'), ('both', 'Messages and replies')], default='both', max_length=8, verbose_name='where')),
                ('action', models.CharField(choices=[('refuse', 'Refuse: the message is not sent, the reply ends there'), ('replace', 'Replace what was found'), ('mark', 'Note it in the audit log alone')], default='mark', max_length=7, verbose_name='what is done')),
                ('replacement', models.CharField(blank=True, default='***', max_length=100, verbose_name='replacement')),
                ('is_active', models.BooleanField(default=True, verbose_name='active')),
            ],
            options={
                'verbose_name': 'moderation rule',
                'verbose_name_plural': 'moderation rules',
                'ordering': ('id',),
            },
        ),
    ]
