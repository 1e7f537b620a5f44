from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0014_administration'),
    ]

    operations = [
        migrations.AddField(
            model_name='generation',
            name='expected_ms',
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddIndex(
            model_name='generation',
            index=models.Index(condition=models.Q(('expected_ms__isnull', False)), fields=['claimed_at'], name='generation_expected'),
        ),
    ]
