from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import migrations, models

AMOUNTS = ("requests", "failures", "prompt_tokens", "completion_tokens", "cached_tokens",
           "queue_seconds", "device_seconds")


def add_four_weeks(apps, schema_editor):
    """The sums by the week that are there already make up those of four weeks."""
    zone = ZoneInfo(settings.TIME_ZONE)
    weeks = apps.get_model("accounts", "UsageSum").objects.filter(span="week")
    starts = {}
    for week in weeks.order_by("start").values_list("start", flat=True).distinct():
        local = week.astimezone(zone)
        first = (local - timedelta(days=(local.toordinal() - 1) % 28)).astimezone(UTC)
        starts.setdefault(first, []).append(week)
    names = ", ".join(("account", "key_id", "group_id", "model"))
    sums = ", ".join(f"SUM({name})" for name in AMOUNTS)
    connection = schema_editor.connection
    adapt = connection.ops.adapt_datetimefield_value
    with connection.cursor() as cursor:
        for first, found in starts.items():
            cursor.execute(
                f"INSERT INTO accounts_usagesum (span, start, {names}, {', '.join(AMOUNTS)}) "
                f"SELECT '4wks', %s, {names}, {sums} FROM accounts_usagesum "
                f"WHERE span = 'week' AND start BETWEEN %s AND %s GROUP BY {names}",
                [adapt(first), adapt(found[0]), adapt(found[-1])],
            )


def remove_four_weeks(apps, schema_editor):
    """The version before does not know them."""
    apps.get_model("accounts", "UsageSum").objects.filter(span="4wks").delete()


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0006_weeks_and_house_sums'),
    ]

    operations = [
        migrations.AlterField(
            model_name='usagesum',
            name='span',
            field=models.CharField(choices=[('hour', 'hour'), ('day', 'day'), ('week', 'week, from Monday on'), ('4wks', 'four weeks, from a Monday on')], max_length=4),
        ),
        migrations.AlterField(
            model_name='housesum',
            name='span',
            field=models.CharField(choices=[('hour', 'hour'), ('day', 'day'), ('week', 'week, from Monday on'), ('4wks', 'four weeks, from a Monday on')], max_length=4),
        ),
        migrations.RunPython(add_four_weeks, remove_four_weeks),
    ]
