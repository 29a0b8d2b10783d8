"""The page of usage over a million sums by the hour: `python -m bench.usage_page`.

A data folder and an SQLite database of its own, with sums of 500 people, 3 models and 60 days,
every second hour of them, and the sums by the day that belong to them.
"""

from __future__ import annotations

import os
import tempfile
import time

HOURS, PEOPLE, MODELS = 1440, 500, 3
FILL = """
WITH RECURSIVE hours(h) AS (SELECT 0 UNION ALL SELECT h + 1 FROM hours WHERE h + 1 < {hours}),
  people(p) AS (SELECT 1 UNION ALL SELECT p + 1 FROM people WHERE p < {people}),
  models(m) AS (SELECT 1 UNION ALL SELECT m + 1 FROM models WHERE m < {models})
INSERT INTO accounts_usagesum (span, start, account, key_id, group_id, model, requests, failures,
  prompt_tokens, completion_tokens, cached_tokens, queue_seconds, device_seconds)
SELECT 'hour', datetime('now', 'start of day', '+1 day', '-' || (h + 1) || ' hours'), 'user:' || p,
  p, p % 20, 'model-' || m, 2, 0, 100, 50, 0, 0.5, 1.5 FROM hours, people, models
  WHERE (h + p + m) % 2 = 0
"""
DAYS = """
INSERT INTO accounts_usagesum (span, start, account, key_id, group_id, model, requests, failures,
  prompt_tokens, completion_tokens, cached_tokens, queue_seconds, device_seconds)
SELECT 'day', datetime(start, 'start of day'), account, key_id, group_id, model, SUM(requests), 0,
  SUM(prompt_tokens), SUM(completion_tokens), 0, SUM(queue_seconds), SUM(device_seconds)
  FROM accounts_usagesum WHERE span = 'hour' GROUP BY 2, 3, 4, 5, 6
"""


def fill() -> int:
    """How many sums by the hour there are."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(FILL.format(hours=HOURS, people=PEOPLE, models=MODELS))
        cursor.execute(DAYS)
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
        os.environ.pop("DATABASE_URL", None)
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        call_command("collectstatic", verbosity=0, interactive=False)
        from django.contrib.auth.models import User

        User.objects.create_superuser("staff", password="x")
        print(f"{fill():,} sums by the hour\n\n| page | ms | CPU ms |\n| --- | ---: | ---: |")
        for path in ("/usage", "/usage?of=all&days=1", "/usage?of=all", "/usage?of=all&days=90"):
            wall, cpu = answers(path)
            print(f"| `{path}` | {1e3 * wall:.0f} | {1e3 * cpu:.0f} |")


if __name__ == "__main__":
    main()
