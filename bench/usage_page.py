"""The page of usage over a million sums by the hour: `python -m bench.usage_page`.

A data folder of its own, and the database that DATABASE_URL names (SQLite in that folder if none).
500 people use 3 models in every second hour; sums by the hour go back 60 days, those by the day a
year. They are put in as an older version left them, and the migrations add what came since.
"""

from __future__ import annotations

import os
import tempfile
import time
from datetime import timedelta

HOURS, DAYS, PEOPLE, MODELS = 1440, 365, 500, 3
BEFORE = "0005"
FILL = """
INSERT INTO accounts_usagesum (span, start, account, key_id, group_id, model, requests, failures,
  prompt_tokens, completion_tokens, cached_tokens, queue_seconds, device_seconds)
WITH RECURSIVE people(p) AS (SELECT 1 UNION ALL SELECT p + 1 FROM people WHERE p < %s),
  models(m) AS (SELECT 1 UNION ALL SELECT m + 1 FROM models WHERE m < %s)
SELECT %s, %s, 'user:' || p, p, p %% 20, 'model-' || m, 2 * %s, 0, 100 * %s, 50 * %s, 0, 0.5 * %s,
  1.5 * %s FROM people, models WHERE (%s + p + m) %% %s = 0
"""


def fill() -> int:
    """How many sums by the hour there are."""
    from django.db import connection
    from django.utils import timezone

    adapt = connection.ops.adapt_datetimefield_value
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    with connection.cursor() as cursor:
        for hour in range(HOURS):
            start = adapt(now - timedelta(hours=hour))
            cursor.execute(FILL, [PEOPLE, MODELS, "hour", start, *[1] * 5, hour, 2])
        for day in range(DAYS):
            start = adapt(now.replace(hour=0) - timedelta(days=day))
            cursor.execute(FILL, [PEOPLE, MODELS, "day", start, *[12] * 5, 0, 1])
        cursor.execute("SELECT COUNT(*) FROM accounts_usagesum WHERE span = 'hour'")
        return int(cursor.fetchone()[0])


def answers(path: str, rounds: int = 5) -> tuple[float, float]:
    """The median of the seconds and of the CPU seconds that staff wait for a page."""
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client(HTTP_HOST="localhost")
    client.force_login(User.objects.get(pk=1))
    walls, spent = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        if client.get(path).status_code != 200:
            raise SystemExit(f"{path} failed.")
        walls.append(time.perf_counter() - wall)
        spent.append(time.process_time() - cpu)
    return sorted(walls)[rounds // 2], sorted(spent)[rounds // 2]


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="bench-usage-page-") as folder:
        os.environ |= {"LLMS_DATA": folder, "DJANGO_SETTINGS_MODULE": "playground.settings"}
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        call_command("migrate", "accounts", BEFORE, verbosity=0)
        call_command("collectstatic", verbosity=0, interactive=False)
        from django.contrib.auth.models import User

        User.objects.create_superuser("staff", password="x")
        print(f"{fill():,} sums by the hour")
        began = time.perf_counter()
        call_command("migrate", verbosity=0)
        print(f"The migration took {time.perf_counter() - began:.1f} s.\n")
        print("| page | ms | CPU ms |\n| --- | ---: | ---: |")
        for path in ("/usage", *(f"/usage?of=all&days={days}" for days in (1, 7, 30, 90, 365))):
            wall, cpu = answers(path)
            print(f"| `{path}` | {1e3 * wall:.0f} | {1e3 * cpu:.0f} |")


if __name__ == "__main__":
    main()
