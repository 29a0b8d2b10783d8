from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import migrations, models

AMOUNTS = ("requests", "failures", "prompt_tokens", "completion_tokens", "cached_tokens",
           "queue_seconds", "device_seconds")


def add_weeks(apps, schema_editor):
    """The sums by the day that are there already make up those by the week."""
    zone = ZoneInfo(settings.TIME_ZONE)
    days = apps.get_model("accounts", "UsageSum").objects.filter(span="day")
    starts = {}
    for day in days.order_by("start").values_list("start", flat=True).distinct():
        local = day.astimezone(zone)
        monday = (local - timedelta(days=local.weekday())).astimezone(UTC)
        starts.setdefault(monday, []).append(day)
    names = ", ".join(("account", "key_id", "group_id", "model"))
    sums = ", ".join(f"SUM({name})" for name in AMOUNTS)
    connection = schema_editor.connection
    adapt = connection.ops.adapt_datetimefield_value
    with connection.cursor() as cursor:
        for monday, found in starts.items():
            cursor.execute(
                f"INSERT INTO accounts_usagesum (span, start, {names}, {', '.join(AMOUNTS)}) "
                f"SELECT 'week', %s, {names}, {sums} FROM accounts_usagesum "
                f"WHERE span = 'day' AND start BETWEEN %s AND %s GROUP BY {names}",
                [adapt(monday), adapt(found[0]), adapt(found[-1])],
            )


def add_house(apps, schema_editor):
    """All accounts' sums make up those of the house."""
    sums = ", ".join(f"SUM({name})" for name in AMOUNTS)
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO accounts_housesum (span, start, model, {', '.join(AMOUNTS)}) "
            f"SELECT span, start, model, {sums} FROM accounts_usagesum "
            "WHERE span IN ('hour', 'day') GROUP BY span, start, model"
        )


def remove_weeks(apps, schema_editor):
    """The version before knows no weeks."""
    apps.get_model("accounts", "UsageSum").objects.filter(span="week").delete()


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_usage_sums'),
    ]

    operations = [
        migrations.CreateModel(
            name='HouseSum',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('requests', models.BigIntegerField(default=0)),
                ('failures', models.BigIntegerField(default=0)),
                ('prompt_tokens', models.BigIntegerField(default=0)),
                ('completion_tokens', models.BigIntegerField(default=0)),
                ('cached_tokens', models.BigIntegerField(default=0)),
                ('queue_seconds', models.FloatField(default=0.0)),
                ('device_seconds', models.FloatField(default=0.0)),
                ('span', models.CharField(choices=[('hour', 'hour'), ('day', 'day'), ('week', 'week, from Monday on')], max_length=4)),
                ('start', models.DateTimeField()),
                ('model', models.CharField(max_length=200)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('span', 'start', 'model'), name='one_house_sum_for_each')],
            },
        ),
        migrations.AlterField(
            model_name='usagesum',
            name='span',
            field=models.CharField(choices=[('hour', 'hour'), ('day', 'day'), ('week', 'week, from Monday on')], max_length=4),
        ),
        migrations.RunPython(add_weeks, remove_weeks),
        migrations.RunPython(add_house, migrations.RunPython.noop),
    ]
