import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0006_models'),
    ]

    operations = [
        migrations.AddField(
            model_name='generation',
            name='handed_over_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='generation',
            name='num_lost',
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='worker',
            name='is_draining',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='worker',
            name='reply_s',
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='worker',
            name='tokens_per_s',
            field=models.FloatField(db_default=0, default=0),
        ),
        migrations.CreateModel(
            name='FairShare',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('priority', models.PositiveSmallIntegerField(null=True, unique=True)),
                ('used_s', models.FloatField(default=0)),
                ('used_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('weight', models.FloatField(default=1)),
                ('user', models.OneToOneField(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='fair_share', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('user', None), ('priority', None), _connector='XOR'), name='fair_share_of_a_person_or_a_class'), models.CheckConstraint(condition=models.Q(('weight__gt', 0)), name='fair_share_has_a_weight')],
            },
        ),
    ]
